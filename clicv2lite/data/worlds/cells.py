"""Cells: a Voronoi diagram, seen from farther and farther away."""

import numpy as np
from numpy.typing import NDArray

from clicv2lite.data.worlds.canvas import Canvas, turn
from clicv2lite.data.worlds.palette import COLOURS, Palette, smooth, to_rgb
from clicv2lite.extras import extra

with extra("data", "worlds"):
    from scipy.spatial import Voronoi

_HALF = 16  # lattice points from -16 to 16 on both axes


def cells(level: float, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Voronoi cells of a jittered lattice, seen from farther and farther away.

    With the level grow: the number of cells (about 2 to 18 across), the jitter, the unevenness of density, the
    colours, the nuclei. The seed draws: rotation, offset, width of the gaps, the size of the nuclei.
    """
    palette = Palette.draw(rng)
    spin, gap, core = rng.random(3)
    offset, phase = rng.random(2), 2 * np.pi * rng.random(2)
    side = 2 * _HALF + 1
    u = rng.random((side * side, 6))
    lattice = np.stack(np.divmod(np.arange(side * side), side), -1) - float(_HALF)
    across = 1.5 * (18 / 1.5) ** level
    site = lattice + offset - 0.5 + (0.2 + 0.75 * level) * (u[:, :2] - 0.5)
    site = turn(site, 2 * np.pi * spin) / across
    site = site + 0.10 * level * np.sin(2 * np.pi * site[:, ::-1] * 1.2 + phase) + 0.5
    keep = np.flatnonzero(np.abs(site - 0.5).max(1) < 0.5 + 1.9 / across)
    site, u = site[keep], u[keep]
    frame = 0.5 + 50 * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1], [0, 1], [1, 0], [0, -1], [-1, 0]])
    diagram = Voronoi(np.concatenate([site, frame]))  # the far frame makes every cell of ours finite
    # Every cell starts in the first colour and turns into its own at its own time.
    index, own = (COLOURS * u[:, 2]).astype(int), smooth(4 * level - 2.6 * u[:, 5] + 0.3)[:, None]
    shade = 1 + 0.2 * (0.2 + 0.8 * level) * (u[:, 3:4] - 0.5)
    colours = palette.colours
    canvas = Canvas(size, palette)
    fills = to_rgb(shade * (colours[0] + own * (colours[index] - colours[0])))
    shrink = 0.97 - 0.12 * gap
    regions = [diagram.regions[r] for r in diagram.point_region[: len(site)]]
    size_of = np.array([len(r) for r in regions])
    centre = np.repeat(site, size_of, axis=0)
    corners = diagram.vertices[np.concatenate(regions)]
    flat = ((centre + shrink * (corners - centre)) * canvas.side).ravel().tolist()
    ends = (2 * np.cumsum(size_of)).tolist()
    for start, end, fill in zip([0, *ends], ends, fills, strict=False):
        canvas.draw.polygon(flat[start:end], fill=fill)
    nucleus = (0.10 + 0.16 * core) / across * smooth(4 * level - 3 * u[:, 4])
    canvas.discs(site, nucleus, palette.paint((index + 5) % COLOURS, np.zeros(len(index))))
    return canvas.pixels()
