"""Fit the scorer to your own ratings, with the interface of scikit-learn (book chapter 12)."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from clicv2lite.ambient import own_settings
from clicv2lite.arrays import Floats
from clicv2lite.data.inputs import listed
from clicv2lite.device import choose_device
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.models.by_name import load_encoder
from clicv2lite.models.model import Model, pooled

with extra("probe"):
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.utils.validation import check_is_fitted


class ComplexityRegressor(RegressorMixin, BaseEstimator):
    """Ridge regression of your ratings on the frozen features of your images.

    >>> from skimage import data
    >>> from clicv2lite import ComplexityRegressor
    >>> images = [data.coffee(), data.rocket(), data.astronaut()]
    >>> regressor = ComplexityRegressor().fit(images, ratings=[3, 1, 5])
    >>> regressor.predict(images).argsort()  # the rocket is the simplest, the astronaut the most complex
    array([1, 0, 2])

    It works with scikit-learn's `clone`, `cross_val_predict` and `learning_curve` on lists of images. Each fold then encodes
    its images again; `clicv2lite.load().features` and `heads.ridge.fit_ridge` encode them only once. `score` is R squared, as
    in every scikit-learn regressor.

    Args:
        encoder: "default", "lite", "plus", a folder, a file, "random" or a timm name, as for `clicv2lite probe --encoder`;
            or an `nn.Module`.
        device: where it computes, as for :func:`clicv2lite.models.model.load_model`.

    Attributes:
        model_: after `fit`, a :class:`clicv2lite.models.model.Model` with the encoder and the new head. Its `complexity_map`
            shows where the complexity is. Its `score` stays in 0..1, `predict` of the regressor does not.
    """

    def __init__(self, encoder: str | Path | nn.Module = "default", device: str = "auto") -> None:
        self.encoder, self.device = encoder, device

    @own_settings()
    def fit(self, images: Any, ratings: ArrayLike, groups: ArrayLike | None = None) -> "ComplexityRegressor":
        """Fit on images, in any form that :class:`clicv2lite.models.model.Model` takes, and their ratings.

        Args:
            images: n images. ratings: (n,), in any range.
            groups: (n,) names of groups that were rated together, if ratings of different groups cannot be compared. Then only
                differences within groups are fitted. `predict` needs no names.

        Raises:
            UserError: if an image cannot be used, the numbers of images and ratings differ, there are fewer than 2, or a
                rating or feature is not a finite number.
        """
        try:
            if np.iscomplexobj(ratings):  # NumPy would drop the imaginary parts
                raise TypeError
            wanted = np.asarray(ratings, dtype=np.float64)
        except (TypeError, ValueError):
            raise UserError("ratings: not all of them are numbers; give one real number per image") from None
        if wanted.ndim != 1 or len(wanted) < 2:
            raise UserError(f"ratings: shape {wanted.shape}; give two or more numbers, one per image")
        if not (finite := np.isfinite(wanted)).all():
            first = int(np.flatnonzero(~finite)[0])
            raise UserError(f"ratings: number {first} is {wanted[first]}; give a finite one, or leave the image out")
        found, _ = listed(images)
        if len(found) != len(wanted):
            raise UserError(f"ratings: {len(wanted)} of them for {len(found)} images; give one per image")
        encoder = load_encoder(self.encoder).to(choose_device(self.device))
        names = None if groups is None else np.asarray(groups, dtype=np.str_)
        if names is not None and names.shape != wanted.shape:
            raise UserError(f"groups: shape {names.shape} for {len(wanted)} ratings; give one name per rating")
        self.model_ = Model(encoder, fit_ridge(pooled(encoder, found), wanted, names))
        return self

    @own_settings()
    def predict(self, images: Any) -> Floats:
        """Ratings (n,) of n images, on the scale of the fitted ratings, but not clipped to their range.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
            UserError: if an image cannot be used.
        """
        check_is_fitted(self, "model_")
        return self.model_.head.predict(pooled(self.model_.encoder, listed(images)[0]))
