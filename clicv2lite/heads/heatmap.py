"""A complexity map laid over its image (the map arm of ICNet's head; book chapter 12)."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# matplotlib's "magma" (public domain, CC0) at 0, 1/8 ... 1: dark is simple, bright is complex
MAGMA = np.array([0x000004, 0x1D1147, 0x51127C, 0x832681, 0xB73779, 0xE75263, 0xFC8961, 0xFEC488, 0xFCFDBF])
LONGEST = 1024  # side of an overlay in pixels


def overlay(image: Image.Image, complexity: NDArray[np.float64], strength: float = 0.7) -> Image.Image:
    """Blend an image with its complexity, 0..1 from black over red to pale yellow; the same colours for every image.

    Args:
        image: mode RGB. complexity: (h, w), clipped to 0..1.
        strength: share of the colours, 0..1.

    Returns:
        mode RGB, the image's aspect ratio, at most 1024 pixels a side.
    """
    base = image.copy()
    base.thumbnail((LONGEST, LONGEST))
    level = Image.fromarray(np.clip(complexity, 0, 1).astype(np.float32))  # mode F
    smooth = np.asarray(level.resize(base.size, Image.Resampling.BILINEAR), dtype=np.float64)
    stops = np.linspace(0, 1, len(MAGMA))
    channels = [np.interp(smooth, stops, MAGMA >> shift & 0xFF) for shift in (16, 8, 0)]
    colours = Image.fromarray(np.stack(channels, axis=-1).round().astype(np.uint8))
    return Image.blend(base, colours, strength)


def smooth(complexity: NDArray[np.float64], places: float = 1.5) -> NDArray[np.float64]:
    """A map averaged over its neighbourhoods, for a linear head's shares: single places mean little, and their mean stays.

    Args:
        complexity: (h, w) in any range. places: standard deviation of the Gaussian, in places of the map.

    Returns:
        (h, w); borders are reflected, so that no share is lost.
    """
    from scipy.ndimage import gaussian_filter  # not above: a score without a map need not wait for it

    smoothed: NDArray[np.float64] = gaussian_filter(complexity, places, mode="reflect")
    return smoothed


def relative(complexity: NDArray[np.float64]) -> NDArray[np.float64]:
    """(h, w) in any range -> (h, w) with the 2nd percentile at 0 and the 98th at 1; a flat map becomes 0.5."""
    low, high = np.percentile(complexity, [2, 98])
    return (complexity - low) / (high - low) if high - low > 1e-9 else np.full_like(complexity, 0.5)
