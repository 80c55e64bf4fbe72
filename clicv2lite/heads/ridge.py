"""The plain linear probe: ridge regression on standardised pooled features (book chapter 8).

The paper calls ICNet's head a linear probe, but that head has millions of parameters and its own convolutions. This head has
one weight per feature: what it finds must be in the features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clicv2lite.arrays import Floats
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.ranges import shown

ALPHAS = np.logspace(-2, 6, 25)  # three per decade; the one with the smallest leave-one-out error is used
ALONE = 0.25  # a feature with more than this share of its variance in one row has no weight ...
MANY = 100  # ... among so many rows and more


@dataclass(frozen=True)
class RidgeHead:
    """score = weight . (feature - mean) / scale + intercept, all float64."""

    mean: Floats  # (F,)
    scale: Floats  # (F,), 1 for a constant feature
    weight: Floats  # (F,), 0 where one row decides
    intercept: float
    alpha: float  # the penalty that leave-one-out chose

    kind = "ridge"
    reads = "features"
    bounded = False

    def predict(self, features: Tensor) -> Floats:
        """Features (..., F) -> scores (...,), without bounds."""
        x = features.detach().cpu().numpy().astype(np.float64)
        return (x - self.mean) / self.scale @ self.weight + self.intercept

    def maps(self, shares: Tensor) -> Floats:
        """Shares of features (B, h, w, F) -> shares of the score (B, h, w). The head is linear, so their mean is the score."""
        return self.predict(shares)

    def to(self, device: torch.device) -> "RidgeHead":
        """It computes in float64 on the CPU, wherever the features come from."""
        return self

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that a head file stores."""
        arrays = {"mean": self.mean, "scale": self.scale, "weight": self.weight}
        single = {"intercept": self.intercept, "alpha": self.alpha}
        return {k: torch.from_numpy(np.array(v, dtype=np.float64)) for k, v in (arrays | single).items()}

    def config(self) -> dict[str, Any]:
        """All other values that are needed to rebuild the head."""
        return {"width": len(self.weight)}

    @classmethod
    def restore(cls, config: dict[str, Any], tensors: dict[str, Tensor]) -> "RidgeHead":
        """Rebuild the head from `config` and `tensors`; KeyError or ValueError if they do not fit together."""
        arrays = {name: tensors[name].double().numpy() for name in ("mean", "scale", "weight")}
        if any(a.shape != (config["width"],) for a in arrays.values()):
            raise ValueError(f"the weights do not have {shown(config['width'])} values")
        if not all(t.isfinite().all() for t in tensors.values()) or not (arrays["scale"] > 0).all():
            raise ValueError("a weight is not finite, or a scale not above 0")
        return cls(**arrays, intercept=float(tensors["intercept"]), alpha=float(tensors["alpha"]))


def fit_ridge(features: Tensor, scores: Floats, groups: NDArray[np.str_] | None = None) -> RidgeHead:
    """Fit ridge regression (a mapping f of equation 5). The leave-one-out error on the same rows chooses the penalty.

    A feature that is nearly constant but for one row says nothing of other images, and in a new one it may lie thousands of
    deviations away: it gets no weight. A ResNet has many such features, channels that hardly any image switches on.

    >>> import numpy as np, torch
    >>> from clicv2lite.heads.ridge import fit_ridge
    >>> features = torch.linspace(0, 1, 20)[:, None]  # 20 images, one feature
    >>> head = fit_ridge(features, scores=np.linspace(0.2, 0.7, 20))
    >>> head.predict(torch.tensor([[0.0], [1.0]])).round(2)
    array([0.2, 0.7])

    Args:
        features: (n, F) pooled features. scores: (n,) ratings.
        groups: (n,) names of groups that were rated together. Ratings that are normalised within each group say nothing about
            differences between groups (Savoias normalises within each category). With names, only differences within groups
            are fitted. The head needs no names to predict.

    Raises:
        UserError: if every group has only one row.
    """
    with extra("probe"):
        from sklearn.preprocessing import StandardScaler  # imported here: scoring does not need it, and it takes a second

    scaler = StandardScaler()
    x, y = scaler.fit_transform(features.detach().cpu().numpy().astype(np.float64)), np.array(scores, dtype=np.float64)
    if len(x) >= MANY:
        x[:, np.square(x).max(0) > ALONE * len(x)] = 0  # the mean square of a standardised feature is 1
    _, member, size = np.unique(np.zeros(len(y)) if groups is None else groups, return_inverse=True, return_counts=True)
    if size.max() < 2:
        raise UserError(
            "ratings: no group has two of them, so there is no difference within one to fit; rate two or more of a kind"
        )
    for group in range(len(size)):
        rows = member == group
        x[rows] -= x[rows].mean(0)
        y[rows] -= y[rows].mean()
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    kept = s**2 / (s**2 + ALPHAS[:, None])  # (penalties, directions): the share of a direction that a penalty keeps
    residual = y - kept * (u.T @ y) @ u.T
    leverage = kept @ (u**2).T + 1 / size[member]  # second term: without a row, the mean of its group moves, too
    several = size[member] > 1
    errors = np.square(residual[:, several] / (1 - leverage[:, several])).mean(1)
    alpha = float(ALPHAS[errors.argmin()])
    weight = vt.T @ (s / (s**2 + alpha) * (u.T @ y))
    return RidgeHead(scaler.mean_, scaler.scale_, weight, float(np.mean(scores)), alpha)
