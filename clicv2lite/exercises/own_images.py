"""Exercises of chapter 12: strata, what a region adds, the size of a change, pairs of equal complexity."""

import torch
from torch import Tensor

from clicv2lite.exercises.exercise import Exercise


def _skewed(generator: torch.Generator) -> tuple[Tensor, int]:
    k = int(torch.randint(3, 6, (), generator=generator))
    return torch.rand(12 * k, generator=generator) ** 3, k


def _rank(scores: Tensor) -> Tensor:
    return scores.argsort().argsort()


def _strata(scores: Tensor, k: int) -> Tensor:
    return _rank(scores) * k // len(scores)


def _steps(scores: Tensor, k: int) -> Tensor:
    return ((scores - scores.min()) / (scores.max() - scores.min()) * k).long().clamp(max=k - 1)


strata = Exercise(
    _strata,
    _skewed,
    {
        "these are equal steps of the score, not equal numbers of images: most images are in one stratum": _steps,
        "one argsort lists the images in order; the rank of an image is the argsort of that": lambda s, k: (
            s.argsort() * k // len(s)
        ),
        "the order is reversed: stratum 0 has the least complex images": lambda s, k: _strata(-s, k),
        "the strata are counted from 1; count from 0": lambda s, k: _strata(s, k) + 1,
    },
    where="pandas.qcut",
)


def _region(generator: torch.Generator) -> tuple[Tensor, slice, slice]:
    top, left = torch.randint(0, 4, (2,), generator=generator).tolist()
    return 4 * torch.randn(9, 9, generator=generator) + 1, slice(top, top + 5), slice(left, left + 2)


def _adds(complexity: Tensor, rows: slice, columns: slice) -> Tensor:
    return complexity[rows, columns].sum() / complexity.numel()


region_adds = Exercise(
    _adds,
    _region,
    {
        "this is the mean of the region: how complex it is, not what it adds": lambda c, r, k: c[r, k].mean(),
        "this is the sum of the region: divide by the number of all places, as in the mean over the map": lambda c, r, k: c[
            r, k
        ].sum(),
        "this is a share of the score, not a part of it": lambda c, r, k: c[r, k].sum() / c.sum(),
        "rows and columns are swapped: rows are the first axis": lambda c, r, k: _adds(c, k, r),
    },
    where="the mean of Model.complexity_map",
)


def _changed(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    before = torch.rand(20, generator=generator)
    return before, before - 0.05 + 0.1 * torch.randn(20, generator=generator)


def _moves(before: Tensor, after: Tensor) -> Tensor:
    return (after - before).abs().mean() / before.std()


moves = Exercise(
    _moves,
    _changed,
    {
        "ups and downs cancel: take absolute values before the mean": lambda b, a: (a - b).mean() / b.std(),
        "the absolute value is taken after the mean; there, ups and downs have already cancelled": lambda b, a: (
            (a - b).mean().abs() / b.std()
        ),
        "this is divided by the spread of the changes; divide by the spread of the scores before": lambda b, a: (
            (a - b).abs().mean() / (a - b).std()
        ),
        "this is divided by the mean score; then a shift of all scores would change the answer": lambda b, a: (
            (a - b).abs().mean() / b.mean()
        ),
        "the standard deviation of a sample divides by n - 1": lambda b, a: (a - b).abs().mean() / b.std(correction=0),
        "this is not divided yet: the change is in units of the score": lambda b, a: (a - b).abs().mean(),
        "this is the root mean square; take the mean of absolute values": lambda b, a: (a - b).square().mean().sqrt() / b.std(),
    },
    where="the mean absolute change over the sample's standard deviation",
)


def _two_sets(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return torch.rand(15, generator=generator), 1.3 * torch.rand(15, generator=generator) ** 2


def _paired(a: Tensor, b: Tensor) -> Tensor:
    return (a.sort().values - b.sort().values).abs().mean()


def _greedy(a: Tensor, b: Tensor) -> Tensor:
    left, total = b.tolist(), 0.0
    for score in a.tolist():
        nearest = min(left, key=lambda other: abs(other - score))
        total += abs(nearest - score)
        left.remove(nearest)
    return torch.tensor(total / len(a))


pairs = Exercise(
    _paired,
    _two_sets,
    {
        "images of b are used more than once; each may have only one partner": lambda a, b: (
            (a[:, None] - b).abs().amin(1).mean()
        ),
        "the pairs are in the order of the inputs; choose the partners": lambda a, b: (a - b).abs().mean(),
        "each image takes the nearest one that is left: the last ones get distant partners": _greedy,
        "this is the difference of the means: single pairs may be far apart": lambda a, b: (a.mean() - b.mean()).abs(),
        "this is the sum over the pairs; give the mean": lambda a, b: len(a) * _paired(a, b),
    },
    where="scipy.optimize.linear_sum_assignment",
)
