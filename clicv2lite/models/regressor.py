"""Adapt the scorer to your own ratings, in the manner of scikit-learn (book chapter 12)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from clicv2lite.arrays import Floats
from clicv2lite.data.inputs import listed
from clicv2lite.errors import UserError
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.models.by_name import load_encoder
from clicv2lite.models.model import Model, pooled


class ComplexityRegressor(RegressorMixin, BaseEstimator):
    """Ridge regression of your ratings on the frozen features of your images.

    Works with scikit-learn's `clone`, `cross_val_predict` and `learning_curve` on lists of images (each fold encodes its
    images again; `load().features` and `heads.ridge.fit_ridge` encode once). `score` is R squared, as for every regressor
    there.

    Args:
        encoder: what `--encoder` of `clicv2lite probe` takes: "default", a folder, a file, "random" or a timm name.

    Attributes:
        model_: after `fit`, a :class:`clicv2lite.models.model.Model` of the encoder and the new head. Its `complexity_map`
            shows where; its own `score` stays in 0..1, `predict` does not.
    """

    def __init__(self, encoder: str = "default") -> None:
        self.encoder = encoder

    def fit(self, images: Any, ratings: ArrayLike, groups: ArrayLike | None = None) -> "ComplexityRegressor":
        """Fit on images, as :class:`clicv2lite.models.model.Model` takes them, and their ratings (n,), in any range.

        Args:
            images: n of them. ratings: (n,).
            groups: (n,) names of what was rated together, where ratings of different groups cannot be compared; only
                differences within groups are then fitted. `predict` needs none.

        Raises:
            UserError: if an image cannot be used, the numbers of images and ratings differ, there are fewer than 2, or a
                rating is not a finite number.
        """
        try:
            wanted = np.asarray(ratings, dtype=np.float64)
        except (TypeError, ValueError):
            raise UserError("ratings: not all of them are numbers; give one number an image") from None
        if wanted.ndim != 1 or len(wanted) < 2 or not np.isfinite(wanted).all():
            raise UserError(f"ratings: shape {wanted.shape}; give two or more finite numbers, one an image")
        found, _ = listed(images)
        if len(found) != len(wanted):
            raise UserError(f"ratings: {len(wanted)} of them for {len(found)} images; give one an image")
        encoder = load_encoder(self.encoder)
        names = None if groups is None else np.asarray(groups, dtype=np.str_)
        if names is not None and names.shape != wanted.shape:
            raise UserError(f"groups: shape {names.shape} for {len(wanted)} ratings; give one name a rating")
        self.model_ = Model(encoder, fit_ridge(pooled(encoder, found), wanted, names))
        return self

    def predict(self, images: Any) -> Floats:
        """(n,) ratings of n images, in the range of those it was fitted on but not clipped to it.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
            UserError: if an image cannot be used.
        """
        check_is_fitted(self, "model_")
        return self.model_.head.predict(pooled(self.model_.encoder, listed(images)[0]))
