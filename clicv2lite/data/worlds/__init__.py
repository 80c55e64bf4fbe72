"""Worlds: procedural images whose complexity is known by construction, without a rating and without a download.

The complexity level is a parameter of the generator, NOT a human rating: within a category a higher level has more
elements, finer detail, more colours, more irregularity and more overlap; between categories equal levels are only
roughly alike to the eye. What makes pictures differ without being more complex (palette, lightness, contrast,
orientation, background) is drawn from the seed alone, so that it does not predict the level. (Book chapter 1.)

Only PCG64 and its uniform numbers are used, whose streams NumPy keeps; the same arguments give the same pixels.
"""

import math
import operator
from collections.abc import Callable
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from clicv2lite.data.worlds.cells import cells
from clicv2lite.data.worlds.fields import gratings, noise
from clicv2lite.data.worlds.icons import objects
from clicv2lite.data.worlds.landscapes import landscapes
from clicv2lite.data.worlds.mosaics import mosaics
from clicv2lite.data.worlds.painted import dead_leaves, polygons
from clicv2lite.data.worlds.strokes import glyphs, line_drawings
from clicv2lite.errors import UserError

__all__ = ["CATEGORIES", "plan", "render", "sample"]

_GENERATORS: dict[str, Callable[[float, np.random.Generator, int], NDArray[np.uint8]]] = {
    "dead_leaves": dead_leaves,
    "cells": cells,
    "gratings": gratings,
    "noise": noise,
    "polygons": polygons,
    "glyphs": glyphs,
    "line_drawings": line_drawings,
    "objects": objects,
    "mosaics": mosaics,
    "landscapes": landscapes,
}

CATEGORIES: tuple[str, ...] = tuple(_GENERATORS)
"""The content categories; their order is part of the seed, so new ones are appended."""


def _natural(value: SupportsIndex, name: str, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise UserError(f"worlds: {name} is {value!r}; give a whole number >= {least}")
    return number


def render(category: str, complexity: float, seed: int, size: int = 128) -> NDArray[np.uint8]:
    """One image.

    The random numbers are drawn in an order that does not depend on `complexity`: along a rising level with one seed,
    elements enter and parameters glide in one and the same scene. `size` changes the resolution, not the scene.

    Args:
        category: one of `CATEGORIES`.
        complexity: generator parameter in 0 (nearly empty) .. 1 (very busy); not a human rating.
        seed: whole number >= 0; with the category it fixes all nuisance factors and the layout.
        size: side in pixels, >= 1.

    Returns:
        (size, size, 3) uint8 RGB.

    Raises:
        UserError: for an unknown category, a level outside 0..1 or not finite, a seed below 0, a size below 1.
    """
    if category not in _GENERATORS:
        raise UserError(f"worlds: there is no category {category!r}; choose one of {', '.join(CATEGORIES)}")
    try:
        level = float(complexity)
    except (TypeError, ValueError):
        level = math.nan
    if not 0 <= level <= 1:
        raise UserError(f"worlds: complexity is {complexity!r}; give a number in 0..1")
    entropy = (_natural(seed, "seed", 0), CATEGORIES.index(category))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
    return _GENERATORS[category](level, rng, _natural(size, "size", 1))


def plan(n: int, seed: int) -> tuple[list[str], NDArray[np.float64], NDArray[np.int64]]:
    """What `sample` renders, before any pixel: image i is `render(categories[i], complexity[i], seeds[i])`.

    Each block of ten images (0 to 9, 10 to 19 ...) holds each category once, in random order; levels are uniform in 0..1
    and independent of category and order. A longer plan with the same seed begins with the shorter one.

    Args:
        n: number of images, >= 0.
        seed: whole number >= 0.

    Returns:
        categories (n,), complexity (n,) float64 in 0..1, seeds (n,) int64.

    Raises:
        UserError: for a negative n or seed.
    """
    n = _natural(n, "n", 0)
    # Three streams, so that each one's beginning does not depend on n; the 1 tells them from the streams of `render`.
    streams = np.random.SeedSequence((_natural(seed, "seed", 0), len(CATEGORIES), 1)).spawn(3)
    order, levels, seeds = (np.random.Generator(np.random.PCG64(s)) for s in streams)
    blocks = order.random((-(-n // len(CATEGORIES)), len(CATEGORIES))).argsort(axis=1)
    categories = [CATEGORIES[k] for k in blocks.ravel()[:n].tolist()]
    return categories, levels.random(n), (seeds.random(n) * 2**53).astype(np.int64)


def sample(n: int, seed: int, size: int = 128) -> tuple[NDArray[np.uint8], NDArray[np.float64], list[str]]:
    """A labelled set of n images, balanced over the categories; see `plan`.

    Returns:
        images (n, size, size, 3) uint8, complexity (n,) float64 in 0..1, categories: n names.

    Raises:
        UserError: for a negative n or seed, or a size below 1.
    """
    categories, complexity, seeds = plan(n, seed)
    size = _natural(size, "size", 1)
    images = np.empty((len(categories), size, size, 3), np.uint8)
    for i, (category, level, s) in enumerate(zip(categories, complexity.tolist(), seeds.tolist(), strict=True)):
        images[i] = render(category, level, s, size)
    return images, complexity, categories
