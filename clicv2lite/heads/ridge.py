"""The plain linear probe: standardised pooled features and ridge regression (book chapter 8).

ICNet's head, which the paper calls a linear probe, has millions of parameters and convolutions of its own. This one has
one weight per feature, so what it finds was in the features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clicv2lite.arrays import Floats
from clicv2lite.errors import UserError

ALPHAS = np.logspace(-2, 6, 25)  # three a decade; the best on leave-one-out error is taken


@dataclass(frozen=True)
class RidgeHead:
    """score = weight . (feature - mean) / scale + intercept, all float64."""

    mean: Floats  # (F,)
    scale: Floats  # (F,), 1 for a constant feature
    weight: Floats  # (F,)
    intercept: float
    alpha: float  # the penalty that leave-one-out chose

    kind = "ridge"
    reads = "features"
    bounded = False

    def predict(self, features: Tensor) -> Floats:
        """(..., F) features -> (...,) scores, without bounds."""
        x = features.detach().cpu().numpy().astype(np.float64)
        return (x - self.mean) / self.scale @ self.weight + self.intercept

    def maps(self, shares: Tensor) -> Floats:
        """(B, h, w, F) shares of features -> (B, h, w) shares of the score: linear, so their mean is the score."""
        return self.predict(shares)

    def tensors(self) -> dict[str, Tensor]:
        """What a head file stores."""
        arrays = {"mean": self.mean, "scale": self.scale, "weight": self.weight}
        single = {"intercept": self.intercept, "alpha": self.alpha}
        return {k: torch.from_numpy(np.array(v, dtype=np.float64)) for k, v in (arrays | single).items()}

    def config(self) -> dict[str, Any]:
        """What rebuilds the head beside its tensors."""
        return {"width": len(self.weight)}

    @classmethod
    def restore(cls, config: dict[str, Any], tensors: dict[str, Tensor]) -> "RidgeHead":
        """The head that `config` and `tensors` describe; raises ValueError when they do not fit each other."""
        arrays = {name: tensors[name].double().numpy() for name in ("mean", "scale", "weight")}
        if any(a.shape != (config["width"],) for a in arrays.values()):
            raise ValueError(f"the weights do not have {config['width']} values")
        return cls(**arrays, intercept=float(tensors["intercept"]), alpha=float(tensors["alpha"]))


def fit_ridge(features: Tensor, scores: Floats, groups: NDArray[np.str_] | None = None) -> RidgeHead:
    """Fit ridge regression, its penalty chosen by leave-one-out error on the same rows (one f of equation 5).

    Args:
        features: (n, F) pooled features. scores: (n,) ratings.
        groups: (n,) names of what was rated together. Ratings that are normalised within a group, as Savoias' are within a
            category, say nothing about differences between groups; with names, only differences within groups are fitted.
            The head needs no name to predict.

    Raises:
        UserError: if every group has one row.
    """
    from sklearn.preprocessing import StandardScaler  # not above: scoring fits nothing, and this import takes a second

    scaler = StandardScaler()
    x, y = scaler.fit_transform(features.detach().cpu().numpy().astype(np.float64)), np.array(scores, dtype=np.float64)
    _, member, size = np.unique(np.zeros(len(y)) if groups is None else groups, return_inverse=True, return_counts=True)
    if size.max() < 2:
        raise UserError("ratings: no group has two of them, so there is no difference within one to fit")
    for group in range(len(size)):
        rows = member == group
        x[rows] -= x[rows].mean(0)
        y[rows] -= y[rows].mean()
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    kept = s**2 / (s**2 + ALPHAS[:, None])  # (penalties, ranks): the share of each direction that a penalty leaves
    residual = y - kept * (u.T @ y) @ u.T
    leverage = kept @ (u**2).T + 1 / size[member]  # without a row its group's mean moves too
    several = size[member] > 1
    errors = np.square(residual[:, several] / (1 - leverage[:, several])).mean(1)
    alpha = float(ALPHAS[errors.argmin()])
    weight = vt.T @ (s / (s**2 + alpha) * (u.T @ y))
    return RidgeHead(scaler.mean_, scaler.scale_, weight, float(np.mean(scores)), alpha)
