"""Exercises of chapter 3: the shift and the patches."""

import torch
from torch import Tensor

from clicv2lite.exercises.exercise import Exercise
from clicv2lite.patches import shift


def _one_move(generator: torch.Generator) -> tuple[Tensor, int, int]:
    dy, dx = torch.randint(-3, 4, (2,), generator=generator).tolist()
    return torch.rand(3, 8, 8, generator=generator), dy, dx


def _shift(patch: Tensor, dy: int, dx: int) -> Tensor:
    return shift(patch, torch.tensor([dy, dx]))


shift_by_hand = Exercise(
    _shift,
    _one_move,
    {
        "the content goes the other way: positive dy and dx move it down and right": lambda x, dy, dx: _shift(x, -dy, -dx),
        "dy and dx have changed places: dy moves along the rows, axis -2": lambda x, dy, dx: _shift(x, dx, dy),
        "what leaves on one side comes back on the other; zeros should come in": lambda x, dy, dx: x.roll((dy, dx), (-2, -1)),
    },
    where="clicv2lite.patches.shift",
)
