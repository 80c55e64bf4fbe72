"""Colours of a world: palette, contrast and lightness come from the seed alone; the level adds only their number.

Colours are picked in OKLCH (B. Ottosson, "A perceptual color space for image processing", 2020), where equal steps
of lightness look equal, and converted to sRGB.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clicv2lite.arrays import Floats

RGB = tuple[int, int, int]

COLOURS = 12
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's "L" mode
_DARKEST, _LIGHTEST = 0.20, 0.96  # OKLCH lightness of the colours

_TO_LMS = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
_TO_LINEAR = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def oklch_to_srgb(lightness: Floats, chroma: Floats, hue: Floats) -> Floats:
    """OKLCH to gamma-encoded sRGB, clipped to the gamut.

    Args:
        lightness: (n,) in 0..1.
        chroma: (n,) from 0 (grey) to about 0.3.
        hue: (n,) in radians.

    Returns:
        (n, 3) in 0..1.
    """
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    linear = np.clip((lab @ _TO_LMS.T) ** 3 @ _TO_LINEAR.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def smooth(t: ArrayLike) -> Floats:
    """Smoothstep: 0 below 0, 1 above 1, flat at both ends."""
    x: Floats = np.clip(np.asarray(t, dtype=np.float64), 0, 1)
    return x * x * (3 - 2 * x)


def to_rgb(colours: Floats) -> list[RGB]:
    """(n, 3) colours in 0..1 to n tuples of 8-bit integers, as Pillow wants them."""
    return list(map(tuple, (np.clip(colours, 0, 1) * 255).round().astype(int).tolist()))


def by_rank(u: Floats, first: int = 1) -> NDArray[np.int64]:
    """Which colour each element takes: the k-th one chooses among the first `first + k / 2` colours.

    So an element keeps its colour when the level changes, and more elements still mean more colours.

    Args:
        u: (n,) uniform in 0..1, one per element in order of entrance.

    Returns:
        (n,) in 0..11.
    """
    return (u * np.minimum(COLOURS, first + np.arange(len(u)) / 2)).astype(np.int64)


@dataclass(frozen=True)
class Palette:
    """A background and 12 colours that contrast with it, sRGB in 0..1.

    Attributes:
        background: (3,).
        glow: (3,), the background's other end when it is a gradient; equal to `background` when it is flat.
        angle: direction of the gradient, radians.
        colours: (12, 3), in order of entrance.
    """

    background: Floats
    glow: Floats
    angle: float
    colours: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Palette":
        """Draws hues, saturation, lightness, contrast and background; the number of random draws is fixed."""
        u = rng.random(10)
        spread, pale = rng.random((2, COLOURS))
        base, width = 2 * np.pi * u[0], 2 * np.pi * (0.1 + 0.9 * u[1])  # from neighbouring hues to the whole circle
        hue = base + width * (spread - 0.5)
        vivid = 0.05 + 0.18 * np.sqrt(u[2])  # from muted to saturated
        paper = 0.12 + 0.86 * u[3]  # lightness of the background
        # Lightness: evenly spread over what is left when a band around the background is taken out.
        below = max(0.0, paper - 0.2 - _DARKEST)
        above = max(0.0, _LIGHTEST - paper - 0.2)
        level = (rng.random(COLOURS).argsort() + 0.5) / COLOURS * (below + above)
        lightness = np.where(level < below, _DARKEST + level, paper + 0.2 + level - below)
        # Low contrast draws everything towards the background's lightness.
        lightness = paper + (0.6 + 0.4 * u[4]) * (lightness - paper)
        tint = 0.0 if u[5] < 0.35 else 0.01 + 0.06 * u[6]  # a third of the backgrounds are neutral paper
        slope = 0.0 if u[7] < 0.4 else 0.05 + 0.10 * u[8]  # and two fifths are flat
        far = np.clip(paper + (slope if u[9] < 0.5 else -slope), 0.05, 0.99)
        ends = oklch_to_srgb(np.array([paper, far]), np.full(2, tint), base + np.pi + np.array([0, 2 * slope]))
        return cls(ends[0], ends[1], 2 * np.pi * u[9], oklch_to_srgb(lightness, vivid * (0.55 + 0.45 * pale), hue))

    def paint(self, index: NDArray[np.int64], shade: Floats) -> list[RGB]:
        """The colour of each element.

        Args:
            index: (n,) which of the 12 colours.
            shade: (n,) in -1..1, a darker or lighter variant.

        Returns:
            n tuples of 8-bit integers.
        """
        return to_rgb(self.colours[index] * (1 + 0.16 * shade)[:, None])
