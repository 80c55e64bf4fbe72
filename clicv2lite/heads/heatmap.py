"""A complexity map drawn over its image (the map branch of ICNet's head; book chapter 12)."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# matplotlib's "magma" (public domain, CC0) at 0, 1/8 ... 1: dark is simple, bright is complex
MAGMA = np.array([0x000004, 0x1D1147, 0x51127C, 0x832681, 0xB73779, 0xE75263, 0xFC8961, 0xFEC488, 0xFCFDBF])
LONGEST = 1024  # side of an overlay in pixels


def overlay(image: Image.Image, complexity: NDArray[np.float64], strength: float = 0.7) -> Image.Image:
    """Blend an image with its complexity map. The colours go from black (0) over red to pale yellow (1) for every image.

    Args:
        image: mode RGB. complexity: (h, w), clipped to 0..1.
        strength: share of the colours in the blend, 0..1.

    Returns:
        mode RGB, with the image's aspect ratio, at most 1024 pixels per side.
    """
    base = image.copy()
    base.thumbnail((LONGEST, LONGEST))
    level = Image.fromarray(np.clip(complexity, 0, 1).astype(np.float32))  # mode F
    smooth = np.asarray(level.resize(base.size, Image.Resampling.BILINEAR), dtype=np.float64)
    return Image.blend(base, coloured(smooth), strength)


def coloured(level: NDArray[np.float64]) -> Image.Image:
    """The colours of levels (h, w) in 0..1, from black over red to pale yellow: mode RGB."""
    stops = np.linspace(0, 1, len(MAGMA))
    channels = [np.interp(level, stops, MAGMA >> shift & 0xFF) for shift in (16, 8, 0)]
    return Image.fromarray(np.stack(channels, axis=-1).round().astype(np.uint8))


def smooth(complexity: NDArray[np.float64], places: float = 1.5) -> NDArray[np.float64]:
    """Smooth the map of a linear head, where a single place means little. The mean of the map stays the same.

    Args:
        complexity: (h, w) in any range. places: standard deviation of the Gaussian, in places of the map.

    Returns:
        (h, w). Borders are reflected, so no share of the score is lost.
    """
    reach = int(4 * places + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / places) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):  # along columns, then along rows; as scipy's gaussian_filter, which scoring does not install
        width = [(reach, reach) if i == axis else (0, 0) for i in (0, 1)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(complexity, width, mode="symmetric"), len(weights), axis)
        complexity = windows @ weights
    return complexity


def relative(complexity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rescale a map (h, w): its 2nd percentile becomes 0 and its 98th becomes 1; a flat map becomes 0.5."""
    low, high = np.percentile(complexity, [2, 98])
    return (complexity - low) / (high - low) if high - low > 1e-9 else np.full_like(complexity, 0.5)
