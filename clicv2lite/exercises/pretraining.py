"""Exercises of chapter 7: chance, the schedule, and the order of samples on several workers."""

import dataclasses
import math

import numpy as np
import torch

from clicv2lite.exercises.exercise import Exercise
from clicv2lite.method.masking import visible_count
from clicv2lite.pretrain.input.order import samples
from clicv2lite.pretrain.optim import learning_rate
from clicv2lite.recipes.library import ci


def _a_grid(generator: torch.Generator) -> tuple[int, int, float]:
    batch, side = (int(torch.randint(low, high, (), generator=generator)) for low, high in ((64, 2048), (7, 15)))
    return batch, side, (0.3, 0.6, 0.75)[int(torch.randint(3, (), generator=generator))]


chance = Exercise(
    lambda batch, side, ratio: math.log(batch * visible_count(side**2, ratio)),
    _a_grid,
    {
        "you count the masked patches; only visible patches have a query and a key": lambda batch, side, ratio: math.log(
            batch * round(side**2 * ratio)
        ),
        "you count all patches; the loss sees only the visible ones": lambda batch, side, ratio: math.log(batch * side**2),
        "you count the keys of one image; the keys of the whole batch compete": lambda batch, side, ratio: math.log(
            visible_count(side**2, ratio)
        ),
        "the visible patches are rounded down; round the masked ones, and the others are visible": (
            lambda batch, side, ratio: math.log(batch * math.floor(side**2 * (1 - ratio)))
        ),
        "this is in bits; the loss is in nats": lambda batch, side, ratio: math.log2(batch * visible_count(side**2, ratio)),
    },
    where="ln N with clicv2lite.method.masking.visible_count",
    tolerance=1e-6,
    trials=20,
)


def _a_schedule(generator: torch.Generator) -> tuple[int, int, int, float]:
    warmup = int(torch.randint(5, 50, (), generator=generator))
    steps = warmup + int(torch.randint(50, 500, (), generator=generator))
    early = torch.rand((), generator=generator) < 0.4
    step = int(torch.randint(0, warmup, (), generator=generator)) if early else int(
        torch.randint(warmup + 10, steps, (), generator=generator)
    )  # fmt: skip
    return step, steps, warmup, 1 + torch.rand((), generator=generator).item()


def _rate(step: int, steps: int, warmup: int, peak: float) -> float:
    return learning_rate(step, dataclasses.replace(ci(), batch=1, passes=steps, warmup=warmup, lr=peak))


def _cosine(progress: float, peak: float) -> float:
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


schedule = Exercise(
    _rate,
    _a_schedule,
    {
        "the first step has rate 0 and is wasted; let step 0 have peak / warmup": lambda s, n, w, peak: (
            peak * s / w if s < w else _rate(s, n, w, peak)
        ),
        "the cosine runs over all steps; it starts where the warm-up ends": lambda s, n, w, peak: (
            _rate(s, n, w, peak) if s < w else _cosine(s / n, peak)
        ),
        "the warm-up is missing": lambda s, n, w, peak: _cosine(s / n, peak),
        "half a cosine goes from 1 to -1; half of (1 + cos) goes from 1 to 0": lambda s, n, w, peak: (
            _rate(s, n, w, peak) if s < w else peak * math.cos(math.pi * (s - w) / (n - w))
        ),
        "this is a straight line after the warm-up; take a cosine": lambda s, n, w, peak: (
            _rate(s, n, w, peak) if s < w else peak * (1 - (s - w) / (n - w))
        ),
    },
    where="clicv2lite.pretrain.optim.learning_rate",
    tolerance=1e-6,
    trials=12,
)


def _a_worker(generator: torch.Generator) -> tuple[int, int, int, int, int, int]:
    seed, step, rank = (int(torch.randint(low, 9, (), generator=generator)) for low in (0, 2, 1))
    return seed, 500, step, 32, rank % 3 + 1, 4


def _part(seed: int, size: int, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    return samples(seed, size, start, count)


my_part = Exercise(
    lambda seed, size, step, batch, rank, ranks: _part(seed, size, step * batch + rank * (batch // ranks), batch // ranks),
    _a_worker,
    {
        "every worker gets the whole batch; each takes only its own part": lambda seed, size, step, batch, rank, ranks: _part(
            seed, size, step * batch, batch
        ),
        "steps are counted in parts; each step moves on by the whole batch": lambda seed, size, step, batch, rank, ranks: _part(
            seed, size, (step + rank) * (batch // ranks), batch // ranks
        ),
        "each worker has another seed: images come twice or never in an epoch": lambda seed, size, step, batch, rank, ranks: (
            _part(seed + rank, size, step * batch, batch // ranks)
        ),
        "every worker takes the first part of the batch; start at rank * part": lambda seed, size, step, batch, rank, ranks: (
            _part(seed, size, step * batch, batch // ranks)
        ),
    },
    where="clicv2lite.pretrain.input.order.samples",
)
