"""Exercises of chapter 3: the shift, the share that two views keep without diagonals, the direction of a shifted patch."""

import torch
from torch import Tensor

from clicv2lite.exercises.exercise import Exercise
from clicv2lite.method.patches import DIRECTIONS, offsets, shift
from clicv2lite.method.pixels import normalize


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
        "dy and dx are swapped: dy moves along axis -2, from row to row": lambda x, dy, dx: _shift(x, dx, dy),
        "what leaves on one side comes back on the other; zeros should come in": lambda x, dy, dx: x.roll((dy, dx), (-2, -1)),
    },
    where="clicv2lite.method.patches.shift",
)


def _shares(generator: torch.Generator) -> tuple[Tensor]:
    return (torch.randint(1, 17, (6,), generator=generator) / 32,)


def _both_keep(x: Tensor, directions: list[int], once: bool = False) -> Tensor:
    """Mean share of a 32-pixel patch that one view (``once``) or both views keep, at distances 32 x, over the directions."""
    found = []
    for s in (32 * x).round().long().tolist():
        step = offsets(torch.tensor(directions), torch.full((len(directions),), s))
        left = shift(shift(torch.ones(len(directions), 1, 32, 32), step), -step)[:, 0]
        found.append(left.mean() if once else (left[:, None] * left).mean())
    return torch.stack(found)


STRAIGHT = [0, 2, 4, 6]

four_directions = Exercise(
    lambda x: _both_keep(x, STRAIGHT),
    _shares,
    {
        "this is the share with all eight directions; leave the diagonals out": lambda x: _both_keep(x, list(range(8))),
        "this is what one view keeps; the question is what both keep": lambda x: _both_keep(x, STRAIGHT, once=True),
        "the square of what one view keeps is not what both keep; average over the 16 pairs of directions": lambda x: (
            _both_keep(x, STRAIGHT, once=True) ** 2
        ),
        "two equal moves keep the same part: they lose x once, not twice": lambda x: 1 - 2 * x + x**2 / 2,
    },
    where="all sixteen pairs of directions, counted",
)


def _moved_patches(generator: torch.Generator) -> tuple[Tensor]:
    direction = torch.randint(8, (40,), generator=generator)
    step = offsets(direction, torch.randint(1, 5, (40,), generator=generator))
    return (shift(normalize(torch.rand(40, 3, 16, 16, generator=generator)), step),)


def _direction(cells: Tensor, sign: int = 1, swap: bool = False) -> Tensor:
    """The direction of shifted patches (n, 3, p, p), as an index into DIRECTIONS, from the sides that are zero."""
    empty = (cells == 0).all(1)
    top, bottom, left, right = (side.all(1).long() for side in (empty[:, 0], empty[:, -1], empty[:, :, 0], empty[:, :, -1]))
    step = sign * torch.stack([top - bottom, left - right], 1)
    step = step.flip(1) if swap else step
    return (step[:, None] == torch.tensor(DIRECTIONS)).all(2).double().argmax(1)


read_the_move = Exercise(
    _direction,
    _moved_patches,
    {
        "zeros at the top mean that the content moved down, not up": lambda cells: _direction(cells, sign=-1),
        "rows and columns are swapped: a direction is (dy, dx)": lambda cells: _direction(cells, swap=True),
    },
    where="the sides that are all zeros",
)
