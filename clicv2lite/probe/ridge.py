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

Floats = NDArray[np.float64]
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

    def predict(self, features: Tensor) -> Floats:
        """(..., F) features -> (...,) scores, not clipped."""
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


def fit_ridge(features: Tensor, scores: Floats) -> RidgeHead:
    """Fit ridge regression, its penalty chosen by leave-one-out error on the same rows (one f of equation 5).

    Args:
        features: (n, F) pooled features. scores: (n,) ratings.
    """
    from sklearn.linear_model import RidgeCV  # not above: scoring fits nothing, and this import takes a second
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = features.detach().cpu().numpy().astype(np.float64)
    pipeline = make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(x, scores)
    scaler, ridge = pipeline[0], pipeline[1]
    return RidgeHead(scaler.mean_, scaler.scale_, ridge.coef_, float(ridge.intercept_), float(ridge.alpha_))
