"""What a model of photographs misreads, told from an image's square and its size: one word each (book chapter 12).

Each flag is a measured quantity beyond a threshold; the model card says how often each is right. The quantities are read off a
grid of every fourth row and every second column: a millisecond an image.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

UNIFORM = 4.0  # standard deviation of the luma, levels of 255, below which there is next to nothing to see
SMALL = 112  # shorter side in pixels below which the encoder sees an enlargement, 4 times and more at 448 pixels
NARROW = 3.0  # longer side by shorter side, beyond which squashing to a square distorts shapes
BORDER = 0.1  # share of the image in bands of one level along its edges
LEVEL = 12  # luma levels that a row or column of such a band may vary: compression leaves some
DRAWN_COLOURS = 0.6  # share of the pixels in the four most frequent of 4,096 colours
DRAWN_EQUAL = 0.25  # share of neighbours on the grid with exactly the same luma
TEXT_GROUND = 0.6  # share of the pixels within 8 luma levels of the most frequent level
TEXT_CHANGES = 16  # mean number of changes between ground and ink along a row that has ink
TEXT_COLOUR = 0.1  # largest share of ink that is coloured
INK = 48  # luma levels between ground and ink, and between the channels of what is coloured

FLAGS = ("uniform", "small", "narrow", "border", "drawn", "text")
"""All flags, in the order in which they are named."""


def image_flags(square: Tensor, size: tuple[int, int]) -> tuple[str, ...]:
    """The flags of one image.

    >>> import torch
    >>> from clicv2lite.data.flags import image_flags
    >>> image_flags(torch.zeros(3, 64, 64, dtype=torch.uint8), size=(1600, 400))
    ('uniform', 'narrow')

    Args:
        square: (3, S, S) uint8, RGB, what the encoder sees; it stays as it is.
        size: width and height in pixels before it was squashed.
    """
    pixels = square[:, ::4, ::2].numpy()
    red, green, blue = pixels.astype(np.uint16)
    luma = ((77 * red + 150 * green + 29 * blue) >> 8).astype(np.int16)  # at most 255 * 256: no overflow
    uniform = float(luma.std()) < UNIFORM
    found = {
        "uniform": uniform,
        "small": min(size) < SMALL,
        "narrow": max(size) > NARROW * min(size),
        "border": not uniform and border(luma) >= BORDER,
        "drawn": not uniform and _drawn(pixels, luma),
        "text": not uniform and _text(pixels, luma),
    }
    return tuple(name for name in FLAGS if found[name])


def border(luma: NDArray[np.int16]) -> float:
    """Share of the image, 0..1, in the bands along its four edges whose rows or columns are of one level each; luma (h, w)."""
    left = 1.0
    for lines in (luma, luma.T):
        flat = lines.max(1) - lines.min(1) <= LEVEL
        busy = np.flatnonzero(~flat)
        left *= (busy[-1] - busy[0] + 1) / len(flat) if len(busy) else 0.0
    return 1 - left


def _drawn(pixels: NDArray[np.uint8], luma: NDArray[np.int16]) -> bool:
    red, green, blue = pixels.astype(np.int16) >> 4
    counts = np.bincount(((red << 8) | (green << 4) | blue).ravel(), minlength=4096)
    few = np.partition(counts, -4)[-4:].sum() >= DRAWN_COLOURS * luma.size
    equal = (luma[:, 1:] == luma[:, :-1]).mean() + (luma[1:] == luma[:-1]).mean()
    return bool(few and equal / 2 >= DRAWN_EQUAL)


def _text(pixels: NDArray[np.uint8], luma: NDArray[np.int16]) -> bool:
    counts = np.bincount(luma.ravel(), minlength=256)
    near = np.convolve(counts, np.ones(17, dtype=np.int64), "same")  # pixels within 8 levels of each level
    ground = int(near.argmax())
    if near[ground] < TEXT_GROUND * luma.size:
        return False
    ink = np.abs(luma - ground) > INK
    rows = ink.any(1)
    if not rows.any():
        return False
    coloured = pixels.max(0).astype(np.int16) - pixels.min(0) > INK
    changes = (ink[rows, 1:] != ink[rows, :-1]).sum(1).mean()
    return bool(changes >= TEXT_CHANGES and coloured[ink].mean() <= TEXT_COLOUR)
