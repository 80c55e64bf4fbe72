"""Exercises of chapter 8: two correlations and ridge regression."""

import numpy as np
import torch
from torch import Tensor

from clicv2lite.exercises.exercise import Exercise
from clicv2lite.extras import extra
from clicv2lite.probe.metrics import pcc, srcc

with extra("notebooks"):
    from scipy.stats import rankdata

Values = np.ndarray


def _two_columns(generator: torch.Generator) -> tuple[Values, Values]:
    x = torch.rand(40, generator=generator, dtype=torch.float64) + 1
    y = 3 * x + torch.randn(40, generator=generator, dtype=torch.float64) + 2
    return x.numpy(), y.numpy()


def _with_ties(generator: torch.Generator) -> tuple[Values, Values]:
    x, y = _two_columns(generator)
    return (4 * x).round(), y


def _cosine(x: Values, y: Values) -> float:
    return float(x @ y / np.sqrt(x @ x * (y @ y)))


def _centred(x: Values) -> Values:
    return x - x.mean()


pearson = Exercise(
    pcc,
    _two_columns,
    {
        "the means are not subtracted; this is the cosine of the raw values": _cosine,
        "this is the covariance; divide by both standard deviations": lambda x, y: (_centred(x) * _centred(y)).mean(),
        "this is R², the square of it": lambda x, y: pcc(x, y) ** 2,
        "this is the slope of the regression line": lambda x, y: _centred(x) @ _centred(y) / (_centred(x) @ _centred(x)),
        "this is Spearman's coefficient, of the ranks": srcc,
        "one divisor is n, another is n - 1; they must cancel": lambda x, y: pcc(x, y) * (len(x) - 1) / len(x),
    },
    where="clicv2lite.probe.metrics.pcc",
)

spearman = Exercise(
    srcc,
    _with_ties,
    {
        "equal values got different ranks by their order; they share their mean rank": lambda x, y: pcc(
            rankdata(x, "ordinal"), rankdata(y)
        ),
        "equal values got their smallest rank; they share their mean rank": lambda x, y: pcc(rankdata(x, "min"), rankdata(y)),
        "this is Pearson's coefficient of the values; take the ranks first": pcc,
        "argsort gives the order of the values, not the rank of each value": lambda x, y: pcc(
            np.argsort(x, kind="stable"), np.argsort(y)
        ),
    },
    where="clicv2lite.probe.metrics.srcc",
)


def _a_regression(generator: torch.Generator) -> tuple[Tensor, Tensor, float, Tensor]:
    scale = 1 + 4 * torch.rand(6, generator=generator, dtype=torch.float64)
    x, new = (scale * torch.randn(n, 6, generator=generator, dtype=torch.float64) + scale for n in (30, 9))
    y = x @ torch.randn(6, generator=generator, dtype=torch.float64) + 5
    return x, y + torch.randn(30, generator=generator, dtype=torch.float64), 10.0, new


def _ridge(
    x: Tensor, y: Tensor, alpha: float, new: Tensor, own_scale: bool = False, correction: int = 0, offset: bool = True
) -> Tensor:
    mean, std = x.mean(0), x.std(0, correction=correction)
    z = (x - mean) / std
    weight = torch.linalg.solve(z.T @ z + alpha * torch.eye(x.shape[1], dtype=x.dtype), z.T @ (y - y.mean()))
    there = (new - new.mean(0)) / new.std(0, correction=0) if own_scale else (new - mean) / std
    return there @ weight + (y.mean() if offset else 0)


def _raw_ridge(x: Tensor, y: Tensor, alpha: float, new: Tensor) -> Tensor:
    z = x - x.mean(0)
    weight = torch.linalg.solve(z.T @ z + alpha * torch.eye(x.shape[1], dtype=x.dtype), z.T @ (y - y.mean()))
    return (new - x.mean(0)) @ weight + y.mean()


ridge_scores = Exercise(
    _ridge,
    _a_regression,
    {
        "the penalty alpha is missing: this is least squares": lambda x, y, alpha, new: _ridge(x, y, 0, new),
        "the mean rating is missing: add it to the prediction": lambda x, y, alpha, new: _ridge(x, y, alpha, new, offset=False),
        "new images are scaled by their own mean and deviation; use those of the fitted images": lambda x, y, alpha, new: (
            _ridge(x, y, alpha, new, own_scale=True)
        ),
        "the columns are centred but not divided by their deviation, so the penalty hits small columns": _raw_ridge,
        "the deviation is divided by n - 1; standardise with n, as scikit-learn does": lambda x, y, alpha, new: _ridge(
            x, y, alpha, new, correction=1
        ),
    },
    where="clicv2lite.heads.ridge.fit_ridge at this alpha",
    tolerance=1e-6,
)
