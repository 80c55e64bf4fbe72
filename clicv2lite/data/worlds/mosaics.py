"""Mosaics: a square divided again and again, with a motif in each tile."""

import heapq

import numpy as np
from numpy.typing import NDArray

from clicv2lite.data.worlds.canvas import Canvas, entering, turn
from clicv2lite.data.worlds.palette import COLOURS, Floats, Palette, by_rank, smooth

_SPLITS = 220
_ARC = np.linspace(0, np.pi / 2, 19)[:, None]
_FIVE = np.repeat(np.arange(4), 5)
# Motifs in a unit tile, twenty points each: quarter disc, triangle, disc, lozenge.
_MOTIFS = np.stack(
    [
        np.concatenate([[[0, 0]], np.hstack([np.cos(_ARC), np.sin(_ARC)])]),
        np.array([[0, 0], [1, 0], [0, 1], [0, 1]])[_FIVE],
        0.5 + 0.38 * np.stack([np.cos(np.arange(20) * np.pi / 10), np.sin(np.arange(20) * np.pi / 10)], -1),
        np.array([[0.5, 0.1], [0.9, 0.5], [0.5, 0.9], [0.1, 0.5]])[_FIVE],
    ]
)


def _plan(fractions: Floats, tall: float) -> list[tuple[int, int]]:
    """The tree of divisions at its final fractions: for each split the tile it divides (the largest) and the axis.

    Tile i + 1 is born by split i; `tall`, just above or below 1, decides the direction of the first one.
    The level moves the lines but never changes this tree, so nothing jumps.
    """
    plan = []
    sides = [[1.0, tall]]
    heap = [(-1.0, 0)]
    for f in fractions.tolist():
        tile = heapq.heappop(heap)[1]
        axis = 0 if sides[tile][0] > sides[tile][1] else 1
        plan.append((tile, axis))
        sides.append(sides[tile].copy())
        sides[-1][axis] *= f
        sides[tile][axis] *= 1 - f
        for t in (tile, len(sides) - 1):
            heapq.heappush(heap, (-sides[t][0] * sides[t][1], t))
    return plan


def _tiles(plan: list[tuple[int, int]], share: Floats, first: NDArray[np.bool_]) -> Floats:
    """(n + 1, 4) tiles x0, y0, x1, y1: each new tile takes its share of the old one, at the near or the far end."""
    tiles = [[0.0, 0.0, 1.0, 1.0]]
    for (tile, axis), f, near in zip(plan, share.tolist(), first.tolist(), strict=False):
        old = tiles[tile]
        new = old.copy()
        line = old[axis] + (old[axis + 2] - old[axis]) * (f if near else 1 - f)
        if near:
            old[axis] = new[axis + 2] = line
        else:
            old[axis + 2] = new[axis] = line
        tiles.append(new)
    return np.array(tiles)


def mosaics(level: float, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Nested rectangles with motifs, from two plain fields to a dense quilt.

    With the level grow: the number of tiles (2 to 201), the colours, the unevenness of the divisions, the motifs. The
    seed draws: rotation (half of the images are upright), width of the joints, size of the motifs.
    """
    palette = Palette.draw(rng)
    tilt, joint, plump, first = rng.random(4)
    u = rng.random((_SPLITS + 1, 9))
    fraction = 0.5 + 0.5 * (u[1:, 0] - 0.5)
    grown = entering(level, 0.7, 200)
    n = len(grown)
    share = (0.5 + (fraction[:n] - 0.5) * (0.3 + 0.7 * level)) * grown
    tiles = _tiles(_plan(fraction, 0.9 + 0.2 * (first < 0.5)), share, u[1 : n + 1, 1] < 0.5)
    low, extent = tiles[:, :2], tiles[:, 2:] - tiles[:, :2]
    shrink = np.maximum(0, 1 - (0.004 + 0.014 * joint) * (1.3 - level) / np.maximum(extent, 1e-9))
    low, extent = low + extent * (1 - shrink) / 2, extent * shrink
    corner = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    # The tile fits the larger field of a rotated image; upright ones get a thin margin.
    angle = 0.0 if tilt < 0.5 else 2 * np.pi * tilt
    cover = 0.96 if tilt < 0.5 else 1.42

    def place(points: Floats) -> Floats:
        return turn((low[:, None] + points * extent[:, None] - 0.5) * cover, angle) + 0.5

    side = extent.min(1, keepdims=True) / np.maximum(extent, 1e-9)  # motifs keep their proportions in a long tile
    motif = _MOTIFS[(4 * u[: n + 1, 2]).astype(int)]
    mirror = (u[: n + 1, None, 3:5] < 0.5) * 1.0
    motif = 0.5 + (motif - 0.5) * side[:, None] * (0.7 + 0.3 * plump)
    motif = mirror + (1 - 2 * mirror) * motif
    seen = smooth(5 * level - 3.6 * u[: n + 1, 5])[:, None, None]
    motif = 0.5 + (motif - 0.5) * seen
    index, shade = by_rank(u[: n + 1, 6]), 2 * u[: n + 1, 7] - 1
    index[:2] = 0, 1
    canvas = Canvas(size, palette)
    fills = palette.paint(index, shade)
    tones = palette.paint((index + 1 + by_rank(u[: n + 1, 8]) % (COLOURS - 1)) % COLOURS, -shade)
    fields, motifs = canvas.lists(place(corner)), canvas.lists(place(motif))
    for tile, shape, fill, tone in zip(fields, motifs, fills, tones, strict=True):
        canvas.draw.polygon(tile, fill=fill)
        canvas.draw.polygon(shape, fill=tone)
    return canvas.pixels()
