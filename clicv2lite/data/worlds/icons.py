"""Scattered objects: small icons spread over the image."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clicv2lite.data.worlds.canvas import Canvas, entering, turn
from clicv2lite.data.worlds.palette import COLOURS, Floats, Palette, by_rank, smooth

_OBJECTS = 140
_POINTS = 60  # divisible by 3, 4, 10, 12 and 20: the corners of every outline are among the points
_PLASTIC = 1.32471795724474602596  # its powers give the most even two-dimensional additive sequence ("R2")


def _along(corners: ArrayLike) -> Floats:
    """60 points along a closed polygon whose number of corners divides 60."""
    xy = np.asarray(corners, dtype=np.float64)
    t = np.arange(_POINTS) * len(xy) / _POINTS
    low = t.astype(int)
    return xy[low] + (t - low)[:, None] * (xy[(low + 1) % len(xy)] - xy[low])


def _polar(radius: Floats) -> Floats:
    t = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
    return np.stack([np.sin(t), -np.cos(t)], -1) * radius[:, None]


def _outlines() -> Floats:
    """(12, 60, 2): outlines of the icons, upright, in a unit disc."""
    t = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
    one = np.ones(_POINTS)
    spokes = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    rim = np.stack([np.sin(spokes), -np.cos(spokes)], -1)
    star = rim[::2] * np.tile([1, 0.42], 5)[:, None]
    gear = rim * np.tile([1, 1, 0.7, 0.7], 5)[:, None]
    a, b = 0.33, 0.95
    plus = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]
    lobes = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    heart = np.stack([16 * np.sin(t) ** 3, -lobes], -1) / 17
    drop = np.stack([0.75 * np.sin(t) * np.sin(t / 2) ** 1.2, -np.cos(t)], -1)
    moon = np.concatenate([_polar(one)[:30], (_polar(one)[:30] * [0.45, 1])[::-1]])
    right = [(0, -1), (0.45, -0.6), (0.9, -0.2), (0.65, -0.2), (0.65, 0.9)]
    house = [*right, (0, 0.9), *((-x, y) for x, y in right[:0:-1])]
    body = np.stack([0.25 + 0.7 * np.cos(t), 0.55 * np.sin(t)], -1)
    fish = np.concatenate([body[:26], [(-0.6, 0.1), (-1, 0.55)], [(-0.8, 0), (-1, -0.55)], [(-0.6, -0.1)], body[31:]])
    return np.stack(
        [
            _polar(one),
            _along([(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]),
            _along([(0, -1), (0.92, 0.75), (-0.92, 0.75)]),
            _along(star),
            heart,
            _along(plus),
            drop,
            _polar(0.72 + 0.28 * np.cos(6 * t)),
            moon - [0.3, 0],
            _along(gear),
            _along(house),
            fish,
        ]
    )


_ICONS = _outlines()


def objects(level: float, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Icons (hearts, stars, houses, fish, gears ...) spread evenly, then crowded.

    With the level grow: the number of objects (1 to 140) and of their kinds, the colours, the inner details, and the
    irregularity of position, size and rotation. The seed draws: where the sequence of positions starts, the kinds,
    the common rotation, the size of the first object.
    """
    palette = Palette.draw(rng)
    start, common, large = rng.random(2), rng.random(), rng.random()
    kinds = rng.random(len(_ICONS)).argsort()
    u = rng.random((_OBJECTS, 8))
    grown = entering(level, 0.9, _OBJECTS)
    n = len(grown)
    i = np.arange(n)
    even = (start + i[:, None] / np.array([_PLASTIC, _PLASTIC**2])) % 1  # each new object falls into the widest gap
    radius = (0.2 + 0.08 * large) * (i + 1) ** -0.12 * (1 + level * 3.2) ** -0.9
    inset = 0.02 + 0.9 * radius[:, None]
    centre = inset + (1 - 2 * inset) * even + 0.16 * level * (u[:n, :2] - 0.5)
    radius = radius * np.exp(1.1 * level * (u[:n, 2] - 0.5)) * grown
    angle = 0.6 * (common - 0.5) + 2 * np.pi * (u[:n, 3] - 0.5) * level
    variety = 1 + (len(_ICONS) - 1) * np.minimum(1, i / 40)
    kind = kinds[(u[:n, 4] * variety).astype(int)]
    index, shade = by_rank(u[:n, 5]), 2 * u[:n, 6] - 1
    body = turn(_ICONS[kind], angle[:, None]) * radius[:, None, None]
    # Two nested details appear in every object, one object after the other.
    detail = smooth(6 * level - 4 * u[:n, 7] - 0.4)[:, None, None]
    inner = turn(_ICONS[kinds[(12 * u[:n, 7]).astype(int)]], angle[:, None]) * radius[:, None, None] * 0.5 * detail
    canvas = Canvas(size, palette)
    bodies, inners = canvas.lists(centre[:, None] + body), canvas.lists(centre[:, None] + inner)
    dots = canvas.lists(centre[:, None] + 0.4 * inner)
    fills = palette.paint(index, shade)
    tones = palette.paint((index + 3) % COLOURS, shade), palette.paint((index + 7) % COLOURS, -shade)
    seen = (detail.ravel() > 0).tolist()
    for xy, inner_xy, dot_xy, fill, tone, dot, show in zip(bodies, inners, dots, fills, *tones, seen, strict=True):
        canvas.draw.polygon(xy, fill=fill)
        if show:
            canvas.draw.polygon(inner_xy, fill=tone)
            canvas.draw.polygon(dot_xy, fill=dot)
    return canvas.pixels()
