"""Exercises of chapter 1: rank correlation, and the mean and variance of a correlation over categories."""

import numpy as np
import torch
from torch import Tensor

from clicv2lite.exercises.exercise import Exercise
from clicv2lite.extras import extra
from clicv2lite.probe.metrics import pcc, report, srcc

with extra("notebooks"):
    from scipy.stats import rankdata


def _orders(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two rankings of nine images with ties, like ratings on a coarse scale."""
    people = torch.tensor([1.0, 1, 2, 2, 2, 3, 4, 4, 5])[torch.randperm(9, generator=generator)]
    return people, (people + 3 * torch.rand(9, generator=generator)).exp()


def _without_ties(x: Tensor, y: Tensor) -> float:
    d = rankdata(x) - rankdata(y)
    return 1 - 6 * float((d**2).sum()) / (len(x) * (len(x) ** 2 - 1))


rank_correlation = Exercise(
    srcc,
    _orders,
    {
        "this is Pearson's correlation of the values themselves; take ranks first": pcc,
        "equal values must share one rank, the mean of their ranks; argsort gives them different ranks": lambda x, y: pcc(
            x.argsort(stable=True).argsort(stable=True).double(), y.argsort(stable=True).argsort(stable=True).double()
        ),
        "argsort gives the order, not the ranks; argsort of argsort gives ranks, except for ties": lambda x, y: pcc(
            x.argsort(stable=True).double(), y.argsort(stable=True).double()
        ),
        "only one of the two is ranked; rank both": lambda x, y: pcc(rankdata(x), y),
        "1 - 6 sum d^2 / (n^3 - n) holds only without ties; correlate the ranks": _without_ties,
    },
    where="clicv2lite.probe.metrics.srcc",
)


def _rated(generator: torch.Generator) -> tuple[Tensor, Tensor, list[str]]:
    """Three categories of different size. In each of them the measure has another scale."""
    categories = ["art"] * 12 + ["scenes"] * 7 + ["signs"] * 5
    level = torch.rand(24, generator=generator)
    slope = torch.tensor([1.0] * 12 + [0.4] * 7 + [0.1] * 5)
    offset = torch.tensor([0.0] * 12 + [1.0] * 7 + [-1.0] * 5)
    return level, slope * level + offset + 0.2 * torch.randn(24, generator=generator), categories


def _per_category(scores: Tensor, measure: Tensor, categories: list[str]) -> list[float]:
    names = np.array(categories)
    return [pcc(scores[names == name], measure[names == name]) for name in sorted(set(categories))]


def _mean_and_variance(scores: Tensor, measure: Tensor, categories: list[str]) -> tuple[float, float]:
    found = report(scores, measure, categories, resamples=1)
    return found["mean_pcc"], found["pcc_variance"]


def _sample_variance(scores: Tensor, measure: Tensor, categories: list[str]) -> tuple[float, float]:
    found = _per_category(scores, measure, categories)
    return float(np.mean(found)), float(np.var(found, ddof=1))


def _deviation(scores: Tensor, measure: Tensor, categories: list[str]) -> tuple[float, float]:
    found = _per_category(scores, measure, categories)
    return float(np.mean(found)), float(np.std(found))


def _pooled(scores: Tensor, measure: Tensor, categories: list[str]) -> tuple[float, float]:
    return pcc(scores, measure), _mean_and_variance(scores, measure, categories)[1]


def _weighted(scores: Tensor, measure: Tensor, categories: list[str]) -> tuple[float, float]:
    found, sizes = _per_category(scores, measure, categories), [categories.count(c) for c in sorted(set(categories))]
    return float(np.average(found, weights=sizes)), float(np.var(found))


content_sensitivity = Exercise(
    _mean_and_variance,
    _rated,
    {
        "the variance is divided by C - 1; the paper's variance is divided by C, the number of categories": _sample_variance,
        "the second number is the standard deviation; square it": _deviation,
        "the mean is the correlation over all images together; correlate inside each category first": _pooled,
        "the mean weights each category by its size; each category counts once": _weighted,
    },
    where="clicv2lite.probe.metrics.report",
)
