"""Exercises of chapter 11: how to judge a predictor of ratings."""

import numpy as np
import torch
from torch import Tensor

from clicv2lite.exercises.exercise import Exercise
from clicv2lite.probe.metrics import pcc, srcc


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
