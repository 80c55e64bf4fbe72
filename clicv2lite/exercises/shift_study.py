"""Exercises of chapter 13: how much of a move is read, and the sign-flip test."""

from itertools import product

import torch
from torch import Tensor

from clicv2lite.exercises.exercise import Exercise


def _moves(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    moves = torch.randint(-4, 5, (60, 2), generator=generator).double()
    noise = torch.randn(60, 2, dtype=torch.float64, generator=generator)
    return moves + 1, 0.7 * moves + noise * torch.tensor([0.5, 2.0])  # one axis is read better than the other


def _variance_read(moves: Tensor, predicted: Tensor) -> Tensor:
    return (1 - ((moves - predicted) ** 2).sum(0) / ((moves - moves.mean(0)) ** 2).sum(0)).mean()


def _squared_correlation(moves: Tensor, predicted: Tensor) -> Tensor:
    return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] ** 2 for pair in zip(moves.T, predicted.T, strict=True)]).mean()


variance_read = Exercise(
    _variance_read,
    _moves,
    {
        "this is the share that is not read; take it from 1": lambda y, x: 1 - _variance_read(y, x),
        "the moves are compared with 0; compare them with their mean": (
            lambda y, x: (1 - ((y - x) ** 2).sum(0) / (y**2).sum(0)).mean()
        ),
        "both axes are summed before the division; divide for each axis, then take the mean": (
            lambda y, x: 1 - ((y - x) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
        ),
        "this is the squared correlation, which forgives a wrong scale and a wrong mean": _squared_correlation,
    },
    where="sklearn.metrics.r2_score, the mean over both axes",
)


def _differences(generator: torch.Generator) -> tuple[Tensor]:
    count = int(torch.randint(3, 7, (1,), generator=generator))
    return (torch.randn(count, dtype=torch.float64, generator=generator) + 0.8,)


def _flipped_means(values: Tensor) -> Tensor:
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=len(values)))).to(values)
    return (signs * values).mean(1)


sign_flips = Exercise(
    lambda values: (_flipped_means(values).abs() >= values.mean().abs() - 1e-12).double().mean(),
    _differences,
    {
        "this is one-sided; means that are as far below 0 count, too": (
            lambda values: (_flipped_means(values) >= values.mean() - 1e-12).double().mean()
        ),
        "the measured pattern is one of them: count it, with >= instead of >": (
            lambda values: (_flipped_means(values).abs() > values.mean().abs() + 1e-12).double().mean()
        ),
        "this is the test of the signs alone; use the mean of the differences": (
            lambda values: (_flipped_means(values.sign()).abs() >= values.sign().mean().abs() - 1e-12).double().mean()
        ),
    },
    where="all patterns of signs, counted",
    trials=15,
)
