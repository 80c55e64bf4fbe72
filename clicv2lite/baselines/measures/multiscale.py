"""Measures over several scales, and the energy of gradients: structure and colour (book chapter 11).

Multi-scale Sobel gradient and multi-scale unique color are those of Saritas, Dayan, Shen and Nath 2025 (arXiv 2501.15890): the
image at 1, 1/2, 1/4 and 1/8 of its size, weighted 0.4, 0.3, 0.2, 0.1. A scale is the mean of squares of 1, 2, 4, 8 pixels here;
the authors shrink by bilinear interpolation for the first. Inputs and errors as in :mod:`clicv2lite.baselines.measures.basic`.
"""

from collections.abc import Iterator

import numpy as np

from clicv2lite.arrays import Floats
from clicv2lite.baselines.measures.basic import Pixels, checked, luma
from clicv2lite.extras import extra

with extra("evaluate"):
    from scipy.ndimage import sobel

SCALES = ((1, 0.4), (2, 0.3), (4, 0.2), (8, 0.1))  # side of a square, weight
BITS = 5  # of each channel of a colour


def sobel_gradient(image: Pixels) -> float:
    """Mean length of the Sobel gradient over places, channels (in 0..1) and scales, weighted: 0 (flat) to about 4.

    Raises:
        ValueError: also if the image is smaller than 8 pixels a side.
    """
    total = 0.0
    for scale, weight in _scales(image):
        for channel in np.moveaxis(scale / 255, -1, 0):  # scipy would smooth across the channels, too
            across, down = (sobel(channel, axis, mode="mirror") for axis in (1, 0))
            total += weight / 3 * float(np.hypot(across, down).mean())
    return total


def unique_colors(image: Pixels, bits: int = BITS) -> float:
    """Number of different colours, each channel cut to `bits` bits, averaged over the scales, weighted: 1 or more.

    Raises:
        ValueError: also if the image is smaller than 8 pixels a side.
    """
    total = 0.0
    for scale, weight in _scales(image):
        red, green, blue = np.moveaxis(np.round(scale).astype(np.int64) >> (8 - bits), -1, 0)
        total += weight * len(np.unique((red << 2 * bits) + (green << bits) + blue))
    return total


def gradient_energy(image: Pixels) -> float:
    """Mean squared difference of luma (0..1) to the right and to the lower neighbour, summed: 0 (flat) to 2 (a chessboard)."""
    levels = luma(image) / 255
    return float(np.square(np.diff(levels, axis=1)).mean() + np.square(np.diff(levels, axis=0)).mean())


def _scales(image: Pixels) -> Iterator[tuple[Floats, float]]:
    """The image at each scale, (H/s, W/s, 3) in 0..255, what is left over at the right and lower margins cut off."""
    height, width = checked(image).shape[:2]
    if min(height, width) < SCALES[-1][0]:
        raise ValueError(f"an image of {height} x {width} px has no scale of 1/{SCALES[-1][0]}")
    for side, weight in SCALES:
        rows, columns = height // side, width // side
        squares = image[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
        yield squares.mean((1, 3)), weight
