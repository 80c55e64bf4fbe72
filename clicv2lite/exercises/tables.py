"""Exercises of chapter 15: intervals of paired differences, and many claims at once."""

import numpy as np
import torch
from torch import Tensor

from clicv2lite.evaluate.paired import adjusted
from clicv2lite.evaluate.summary import spread
from clicv2lite.exercises.exercise import Exercise
from clicv2lite.extras import extra
from clicv2lite.probe.metrics import pcc

with extra("notebooks"):
    from scipy.stats import t


def _seeds(generator: torch.Generator) -> tuple[Tensor]:
    count = int(torch.randint(3, 7, (), generator=generator))
    return (0.5 + torch.randn(count, dtype=torch.float64, generator=generator),)


def _interval(values: Tensor, quantile: float, sd: float) -> np.ndarray:
    return float(values.mean()) + quantile * sd * np.array([-1, 1])


def _quantile(values: Tensor, p: float = 0.975) -> float:
    return float(t.ppf(p, len(values) - 1))


def _sd(values: Tensor, correction: int = 1) -> float:
    return float(values.std(correction=correction))


student_interval = Exercise(
    lambda values: np.array(spread(values.tolist())["interval"]),
    _seeds,
    {
        "1.96 is for the normal distribution; with so few values take Student's t, t.ppf(0.975, n - 1)": (
            lambda values: _interval(values, 1.96, _sd(values) / len(values) ** 0.5)
        ),
        "n values leave n - 1 degrees of freedom, because the mean comes from the same values": (
            lambda values: _interval(values, float(t.ppf(0.975, len(values))), _sd(values) / len(values) ** 0.5)
        ),
        "5 % is left out on each side; an interval of 95 % leaves out 2.5 % on each side": (
            lambda values: _interval(values, _quantile(values, 0.95), _sd(values) / len(values) ** 0.5)
        ),
        "the deviation is that of a sample: divide the squares by n - 1, not by n": (
            lambda values: _interval(values, _quantile(values), _sd(values, 0) / len(values) ** 0.5)
        ),
        "this is the interval for one more seed, not for the mean: divide the deviation by the root of n": (
            lambda values: _interval(values, _quantile(values), _sd(values))
        ),
        "the deviation of a mean falls with the root of n, not with n": (
            lambda values: _interval(values, _quantile(values), _sd(values) / len(values))
        ),
    },
    where="clicv2lite.evaluate.summary.spread",
)


def _two_models(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    score = torch.rand(25, dtype=torch.float64, generator=generator)
    shared = torch.randn(25, dtype=torch.float64, generator=generator)  # both err on the same images
    a, b = (score + 0.2 * shared + 0.3 * torch.randn(25, dtype=torch.float64, generator=generator) for _ in "ab")
    return score, a, b, torch.randint(25, (20, 25), generator=generator)


def _differences(score: Tensor, a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
    return torch.tensor([pcc(score[r], a[r]) - pcc(score[r], b[r]) for r in rows])


paired_bootstrap = Exercise(
    _differences,
    _two_models,
    {
        "the models were resampled separately: both must be judged on the same images": (
            lambda score, a, b, rows: torch.tensor(
                [pcc(score[r], a[r]) - pcc(score[s], b[s]) for r, s in zip(rows, rows.roll(1, 0), strict=True)]
            )
        ),
        "the ratings were not resampled along with the predictions": (
            lambda score, a, b, rows: torch.tensor([pcc(score, a[r]) - pcc(score, b[r]) for r in rows])
        ),
        "this is the correlation of the difference, not the difference of the correlations": (
            lambda score, a, b, rows: torch.tensor([pcc(score[r], (a - b)[r]) for r in rows])
        ),
        "this is b minus a; the task asks for a minus b": lambda score, a, b, rows: -_differences(score, a, b, rows),
        "this is the size of the difference; without its sign the interval cannot contain 0": (
            lambda score, a, b, rows: _differences(score, a, b, rows).abs()
        ),
    },
    where="clicv2lite.probe.metrics.bootstrap, on pairs",
)


def _p_values(generator: torch.Generator) -> tuple[Tensor]:
    count = int(torch.randint(5, 12, (), generator=generator))
    return (torch.rand(count, dtype=torch.float64, generator=generator) ** 3,)


def _of_ranks(p: Tensor, to_rank: bool) -> Tensor:
    """p n / rank, made ascending from the largest p down."""
    ordered, order = p.sort()
    ranks = torch.arange(1, len(p) + 1).to(p)
    q = ordered * len(p) / (ranks if to_rank else len(p) + 1 - ranks)
    return torch.empty_like(p).scatter(0, order, q.flip(0).cummin(0).values.flip(0).clamp(max=1))


def _plain_ranks(p: Tensor) -> Tensor:
    return (p * len(p) / (p.argsort().argsort() + 1)).clamp(max=1)


adjusted_p = Exercise(
    lambda p: torch.tensor(adjusted(p.tolist()), dtype=p.dtype),
    _p_values,
    {
        "this is Bonferroni: n times p controls the chance of a single error, not the share of errors": (
            lambda p: (p * len(p)).clamp(max=1)
        ),
        "a smaller p has a larger q here; take the smallest q of all p that are as large or larger": _plain_ranks,
        "the ranks run backwards: the smallest p has rank 1": lambda p: _of_ranks(p, to_rank=False),
        "the values are right but sorted; put each back to its claim": lambda p: _of_ranks(p, to_rank=True).sort().values,
    },
    where="scipy.stats.false_discovery_control",
)
