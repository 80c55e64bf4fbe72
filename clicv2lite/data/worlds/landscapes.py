"""Landscapes: a sky, ridges one before the other, and what stands on them."""

import numpy as np
from numpy.typing import NDArray

from clicv2lite.data.worlds.canvas import Canvas, entering
from clicv2lite.data.worlds.palette import COLOURS, Floats, Palette, by_rank, smooth

_RIDGES, _THINGS, _LIGHTS = 7, 170, 60
_X = np.linspace(-0.05, 1.05, 90)
_FREQUENCY = 0.7 * 1.9 ** np.arange(7)
_DISC = np.stack([np.cos(np.arange(12) * np.pi / 6), np.sin(np.arange(12) * np.pi / 6)], -1)
# What can stand on a ridge, in a box one unit high with its foot at y = 0; y points down. Twelve points each.
_FIR = np.array([(0, -1), (0.2, -0.62), (0.1, -0.62), (0.29, -0.3), (0.16, -0.3), (0.36, 0)])
_FIR = np.concatenate([_FIR, (_FIR * [-1, 1])[::-1]])
_HOUSE = np.array([(0, -0.85), (0.5, -0.5), (0.42, -0.5), (0.42, 0), (-0.42, 0), (-0.42, -0.5), (-0.5, -0.5)])
_HOUSE = _HOUSE[[0, 0, 1, 1, 2, 2, 3, 4, 5, 5, 6, 6]]
_TREE = _DISC * [0.33, 0.38] - [0, 0.66]
_TOWER = np.array([(-0.2, 0), (-0.2, -1.3), (0.2, -1.3), (0.2, 0)])[[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]]
_THING = np.stack([_FIR, _TREE, _HOUSE, _TOWER])
_TRUNK = np.array([(-0.045, 0.06), (-0.045, -0.4), (0.045, -0.4), (0.045, 0.06)])
_PUFF = np.array([0.022, 0.006])
_WINDOW = np.array([(-0.1, -0.1), (0.1, -0.1), (0.1, 0.1), (-0.1, 0.1)])


def _ridges(level: float, u: Floats, weight: Floats, seen: Floats) -> Floats:
    """(7, 90) height y of each ridge along x: sums of sines whose fine ones gain weight with the level."""
    share = (0.32 + 0.3 * level) ** np.arange(len(_FREQUENCY))
    wave = np.sin(2 * np.pi * (_FREQUENCY[:, None] * _X + u[:, :, None]))
    relief = ((weight * share)[:, :, None] * wave).sum(1)
    foot = 0.50 + 0.075 * np.arange(_RIDGES)[:, None] + 0.05 * (u[:, :1] - 0.5)
    return foot + 0.105 * relief + (1 - seen[:, None]) * (1.25 - foot)  # a ridge rises from below the picture


def landscapes(level: float, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """A horizon and a sun, then rugged ridges with woods and houses under a busy sky.

    With the level grow: ridges (1 to 7) and their roughness, trees and houses (1, half grown, to 170), stars or clouds
    (1, just begun, to 60), the colours, the windows. The seed draws: position and size of the sun, what stands on the
    ridges, stars or clouds.
    """
    palette = Palette.draw(rng)
    sun, clouds = rng.random(3), rng.random()
    u, weight = rng.random((_RIDGES, 7)), 0.5 + rng.random((_RIDGES, 7))
    thing, light = rng.random((_THINGS, 7)), rng.random((_LIGHTS, 4))
    likely = rng.random(len(_THING)) ** 2
    seen = smooth(1.0 + 7.2 * level - np.arange(_RIDGES))
    ridges = _ridges(level, u, weight, seen)
    canvas = Canvas(size, palette)
    sun_colour = palette.paint(np.array([1]), np.zeros(1))
    canvas.discs(np.array([[0.15 + 0.7 * sun[0], 0.12 + 0.3 * sun[1]]]), np.array([0.05 + 0.08 * sun[2]]), sun_colour)

    grown = entering(level, 0.3, _LIGHTS)
    light = light[: len(grown)]
    where = np.stack([light[:, 0], 0.5 * light[:, 1]], -1)
    radius = (0.003 + 0.006 * light[:, 2]) * grown
    tint = (2 + 4 * light[:, 3]).astype(int)
    if clouds < 0.5:  # three discs side by side
        tint = np.tile(tint, 3)
        radius = 2.6 * radius
        where = np.concatenate([where, where + _PUFF, where - _PUFF * [1, -1.4]])
        radius = np.concatenate([1.4 * radius, radius, radius])
    canvas.discs(where, radius, palette.paint(tint, np.zeros(len(tint))))

    grown = entering(level, 0.5, _THINGS)
    thing = thing[: len(grown)]
    on = (thing[:, 0] * (1 + 6 * np.minimum(1, np.arange(len(grown)) / 20))).astype(int)
    kind = np.searchsorted(np.cumsum(likely[:-1]) / likely.sum(), thing[:, 1])
    x = thing[:, 2]
    place = (x - _X[0]) / (_X[1] - _X[0])
    low = place.astype(int)
    y = ridges[on, low] + (place - low) * (ridges[on, low + 1] - ridges[on, low])  # on the line of its ridge
    height = (0.055 + 0.018 * on) * (0.6 + 0.8 * thing[:, 3]) * grown * smooth(2 * seen[on])
    height = height * (1 + 0.7 * np.exp(-np.arange(len(grown)) / 12))
    foot = np.stack([x, y + 0.1 * thing[:, 6]], -1)[:, None]
    shapes = canvas.lists(foot + _THING[kind] * height[:, None, None])
    trunks = canvas.lists(foot + _TRUNK * height[:, None, None])
    windows = canvas.lists(foot + ([0, -0.3] + _WINDOW * smooth(4 * level - 1)) * height[:, None, None])
    shade = 2 * thing[:, 4] - 1
    fills = palette.paint(by_rank(thing[:, 5], 3), shade)
    panes = palette.paint((1 + 11 * thing[:, 4]).astype(int), shade)
    # The first ridge keeps the first colour, which stands out from the sky most surely.
    grounds = palette.paint(np.arange(_RIDGES) * 5 % COLOURS, 2 * u[:, 1] - 1)
    floor = np.array([[1.05, 1.1], [-0.05, 1.1]])
    lands = canvas.lists(np.stack([np.concatenate([np.stack([_X, r], -1), floor]) for r in ridges]))
    for j, (land, ground) in enumerate(zip(lands, grounds, strict=True)):
        if seen[j] <= 0:
            break
        canvas.draw.polygon(land, fill=ground)
        for i in np.flatnonzero(on == j).tolist():
            if kind[i] == 1:
                canvas.draw.polygon(trunks[i], fill=panes[i])
            canvas.draw.polygon(shapes[i], fill=fills[i])
            if kind[i] >= 2:
                canvas.draw.polygon(windows[i], fill=panes[i])
    return canvas.pixels()
