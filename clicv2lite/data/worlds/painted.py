"""Worlds painted back to front: dead leaves and polygons. Later elements hide earlier ones."""

import numpy as np
from numpy.typing import NDArray

from clicv2lite.data.worlds.canvas import Canvas, entering, turn
from clicv2lite.data.worlds.palette import COLOURS, Floats, Palette, by_rank

_LEAVES, _POLYGONS = 400, 150
_ROUND = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_TWELVE = np.linspace(0, 2 * np.pi, 12, endpoint=False)


def _spread(u: Floats) -> Floats:
    """Places (n, 2) in the image from uniform numbers: the first ones near the middle, the later ones anywhere."""
    return 0.5 + (u - 0.5) * np.minimum(1.1, 0.6 + 0.06 * np.arange(len(u)))[:, None]


def dead_leaves(level: float, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Overlapping leaves of decreasing size (after Lee, Mumford and Huang, IJCV 2001).

    With the level grow: the number of leaves (2 to 400), the detail scale, the colours, the irregularity of outline.
    The seed draws: leaf width and tip, spread of sizes, whether a darker rim is drawn.
    """
    palette = Palette.draw(rng)
    width, tip, scale, rim = rng.random(4)
    u = rng.random((_LEAVES, 10))
    grown = entering(level, 1.6, _LEAVES)
    n = len(grown)
    centre, angle, shade = _spread(u[:n, :2]), 2 * np.pi * u[:n, 2], 2 * u[:n, 3] - 1
    radius = (0.30 + 0.12 * scale) * (np.arange(n) + 2) ** -0.42 * np.exp(0.9 * (u[:n, 4] - 0.5)) * grown
    # An ellipse whose tips sharpen, bent by two harmonics.
    across = (0.45 + 0.55 * width) * np.sin(_ROUND) * np.abs(np.sin(_ROUND)) ** (0.9 * tip * (1 - width))
    bend = 2 * np.pi * u[:n, 5:7, None]
    wave = np.sin(2 * _ROUND + bend[:, 0]) * u[:n, 7, None] + np.sin(5 * _ROUND + bend[:, 1]) * u[:n, 8, None]
    outline = np.stack([np.cos(_ROUND), across], -1) * (1 + 0.22 * level * wave)[..., None]
    outline = turn(outline, angle[:, None]) * radius[:, None, None]
    index = by_rank(u[:n, 9])
    canvas = Canvas(size, palette)
    fills, rims = palette.paint(index, shade), palette.paint(index, shade - 2.2)
    shapes = canvas.lists(centre[:, None] + outline * (0.9 if rim < 0.5 else 1.0))
    whole = canvas.lists(centre[:, None] + outline) if rim < 0.5 else [None] * n
    for inner, outer, fill, dark in zip(shapes, whole, fills, rims, strict=True):
        if outer is not None:
            canvas.draw.polygon(outer, fill=dark)
        canvas.draw.polygon(inner, fill=fill)
    return canvas.pixels()


def polygons(level: float, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Overlapping polygons: few regular ones, then many spiky ones, some of them frames.

    With the level grow: the number (1 to 150), the colours, the irregularity from regular 3-, 4- or 6-gons to stars,
    the variety of rotations. The seed draws: one common direction, the share of frames.
    """
    palette = Palette.draw(rng)
    common, frames = rng.random(2)
    u = rng.random((_POLYGONS, 11))
    spikes = rng.random((_POLYGONS, 12))
    grown = entering(level, 0.8, _POLYGONS)
    n = len(grown)
    sides = np.array([3, 4, 4, 6])[(4 * u[:n, 0]).astype(int)][:, None]
    wedge = 2 * np.pi / sides
    regular = np.cos(wedge / 2) / np.cos(_TWELVE % wedge - wedge / 2)  # radius of a regular polygon along the angle
    reach = regular * (1 + 0.8 * level * (spikes[:n] - 0.6))
    stretch = np.stack([np.ones(n), 1 - 0.7 * u[:n, 7]], -1)[:, None]
    outline = np.stack([np.cos(_TWELVE), np.sin(_TWELVE)], -1) * reach[..., None] * stretch
    angle = 2 * np.pi * (common + (u[:n, 1] - 0.5) * (0.1 + 0.9 * level))
    radius = 0.46 * (np.arange(n) + 2) ** -0.36 * np.exp(0.8 * (u[:n, 2] - 0.5)) * grown
    outline = turn(outline, angle[:, None]) * radius[:, None, None]
    centre = _spread(u[:n, 3:5])[:, None]
    index, shade = by_rank(u[:n, 5]), 2 * u[:n, 6] - 1
    inner = (index + 1 + by_rank(u[:n, 8]) % (COLOURS - 1)) % COLOURS
    canvas = Canvas(size, palette)
    whole, core = canvas.lists(centre + outline), canvas.lists(centre + (0.45 + 0.35 * u[:n, 10:, None]) * outline)
    fills, cores = palette.paint(index, shade), palette.paint(inner, shade)
    framed = (u[:n, 9] < 0.2 + 0.5 * frames).tolist()
    for xy, core_xy, fill, core_fill, frame in zip(whole, core, fills, cores, framed, strict=True):
        canvas.draw.polygon(xy, fill=fill)
        if frame:
            canvas.draw.polygon(core_xy, fill=core_fill)
    return canvas.pixels()
