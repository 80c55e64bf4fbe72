"""Exercises of chapter 11: how to compare two predictors of the same ratings."""

import numpy as np
import torch
from torch import Tensor

from clicv2lite.evaluate.summary import spread
from clicv2lite.exercises.exercise import Exercise
from clicv2lite.extras import extra
from clicv2lite.probe.metrics import pcc, srcc

with extra("book"):
    from scipy.stats import t


def _with_ties(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    score = torch.randint(1, 6, (30,), generator=generator).double()  # ratings from 1 to 5: many are equal
    return score, score**3 + 40 * torch.randn(30, dtype=torch.float64, generator=generator).round()


def _order(x: Tensor) -> Tensor:
    return x.argsort(stable=True).argsort().double()


rank_correlation = Exercise(
    srcc,
    _with_ties,
    {
        "this is Pearson's correlation of the values; replace both by their ranks first": pcc,
        "argsort gives the image at each rank, not the rank of each image; ranks are the argsort of the argsort": (
            lambda x, y: pcc(x.argsort(stable=True).double(), y.argsort(stable=True).double())
        ),
        "equal values get different ranks here; they must share the mean of their ranks": (
            lambda x, y: pcc(_order(x), _order(y))
        ),
        "equal values get the smallest of their ranks here; they must share the mean": (
            lambda x, y: pcc((x[:, None] > x).sum(1).double(), (y[:, None] > y).sum(1).double())
        ),
        "only one of the two was replaced by ranks": lambda x, y: pcc((x[:, None] > x).sum(1) + (x[:, None] >= x).sum(1), y),
    },
)


def _three(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    z = torch.randn(40, dtype=torch.float64, generator=generator)
    x, y = (a * z + torch.randn(40, dtype=torch.float64, generator=generator) + 5 for a in (1.0, 0.7))
    return x, y + 0.5 * x, z + 2


def _rest(x: Tensor, z: Tensor, intercept: bool = True) -> Tensor:
    """The residual of x after a straight-line fit in z."""
    design = torch.stack([z, torch.ones_like(z)], dim=1) if intercept else z[:, None]
    return x - design @ torch.linalg.lstsq(design, x[:, None]).solution[:, 0]


def _cosine(x: Tensor, y: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(x, y, dim=0))


partial_correlation = Exercise(
    lambda x, y, z: pcc(_rest(x, z), _rest(y, z)),
    _three,
    {
        "this is the plain correlation; z is not removed": lambda x, y, z: pcc(x, y),
        "z is removed from the second side only (a semi-partial correlation)": lambda x, y, z: pcc(x, _rest(y, z)),
        "z is removed from the first side only (a semi-partial correlation)": lambda x, y, z: pcc(_rest(x, z), y),
        "the line has no intercept; centre all three first": lambda x, y, z: pcc(_rest(x, z, False), _rest(y, z, False)),
        "r_xy - r_xz r_yz is not divided by the lengths of the residuals: the two roots are missing": (
            lambda x, y, z: pcc(x, y) - pcc(x, z) * pcc(y, z)
        ),
    },
    where="the correlation of the residuals of two fits in z",
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


def _fisher_inputs(generator: torch.Generator) -> tuple[float, int]:
    r = 0.3 + 0.65 * float(torch.rand((), dtype=torch.float64, generator=generator))
    return r, int(torch.randint(30, 3000, (), generator=generator))


def _fisher(r: float, n: int) -> np.ndarray:
    return np.tanh(np.arctanh(r) + 1.96 / np.sqrt(n - 3) * np.array([-1, 1]))


fisher_interval = Exercise(
    _fisher,
    _fisher_inputs,
    {
        "the way back is missing: take tanh of both ends": lambda r, n: np.arctanh(_fisher(r, n)),
        "r itself is not nearly normal; go through arctanh first": (lambda r, n: r + 1.96 / np.sqrt(n - 3) * np.array([-1, 1])),
        "one standard deviation is 1 / sqrt(n - 3), not 1 / (n - 3)": (
            lambda r, n: np.tanh(np.arctanh(r) + 1.96 / (n - 3) * np.array([-1, 1]))
        ),
        "this is one standard deviation on each side; 95 % needs 1.96 of them": (
            lambda r, n: np.tanh(np.arctanh(r) + 1 / np.sqrt(n - 3) * np.array([-1, 1]))
        ),
    },
    where="Fisher's z",
    tolerance=1e-5,
)


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
