"""Hand-crafted measures of complexity: what can be computed without learning (CLICv2, section 1; book chapter 1).

Each measure is a function of one image, (H, W, 3) uint8 RGB, and raises ValueError for anything else. Most of them depend
on the number of pixels: resize images to one size before comparing them.
"""

import io
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from clicv2lite.extras import extra
from clicv2lite.method.entropy import patch_entropy
from clicv2lite.method.patches import patchify

with extra("evaluate"):
    from skimage.feature import canny
    from skimage.measure import shannon_entropy
    from skimage.segmentation import felzenszwalb

Pixels = NDArray[np.uint8]


def jpeg_size(image: Pixels, quality: int = 75) -> float:
    """Size of the JPEG file (Wallace, 1991) in bits per pixel, its header of about 600 bytes included.

    Args:
        quality: Pillow's scale, 1 to 95; a higher one keeps more of the fine detail.
    """
    return _file_bits(image, "JPEG", quality=quality)


def png_size(image: Pixels) -> float:
    """Size of the PNG file in bits per pixel: lossless, so noise costs its full 24 bits."""
    return _file_bits(image, "PNG")


def edge_density(image: Pixels) -> float:
    """Share of pixels that lie on an edge of luma, 0 to 1 (Canny's detector, as in Rosenholtz, Li and Nakano, 2007)."""
    return float(canny(luma(image) / 255).mean())


def luma_entropy(image: Pixels) -> float:
    """Entropy of the histogram of luma, 256 levels, in bits, 0 to 8 (Shannon, 1948). Blind to where a pixel is."""
    return float(shannon_entropy(luma(image)))


def local_entropy(image: Pixels, patch: int = 16) -> float:
    """Mean entropy of the patches in bits, 0 to log2(bins): :func:`clicv2lite.method.entropy.patch_entropy` with its own bins.

    Args:
        patch: side of a patch in pixels; the rest at the right and lower margins is left out.

    Raises:
        ValueError: also if the image is smaller than a patch.
    """
    height, width = (side // patch * patch for side in checked(image).shape[:2])
    if not height or not width:
        raise ValueError(f"an image of {image.shape[0]} x {image.shape[1]} px holds no patch of {patch} px")
    pixels = torch.from_numpy(image[:height, :width] / np.float32(255)).permute(2, 0, 1)
    return float(patch_entropy(patchify(pixels[None], patch)).mean())


def rms_contrast(image: Pixels) -> float:
    """Standard deviation of luma, as a share of its range: 0 (flat) to 0.5 (half black, half white) (Peli, 1990)."""
    return float((luma(image) / 255).std())


def colorfulness(image: Pixels) -> float:
    """Spread and strength of the opponent colours, 0 (gray) to about 300 (green beside magenta).

    Hasler and Suesstrunk (2003), M3. Their scale: 15 slightly, 33 moderately, 59 quite, 82 highly, 109 extremely colourful.
    """
    red, green, blue = np.moveaxis(checked(image).astype(np.float64), -1, 0)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


def regions(image: Pixels, scale: float = 150.0) -> float:
    """Number of regions of a graph-based segmentation, at least 1 (Felzenszwalb and Huttenlocher, 2004).

    Their smoothing (0.8 pixels) and their scale for images of 128 pixels. The smoothing makes a narrow ramp of a sharp edge,
    and a long ramp counts as a region of its own.

    Args:
        scale: a larger one prefers larger regions.
    """
    return float(felzenszwalb(checked(image), scale=scale, sigma=0.8, min_size=20).max() + 1)


MEASURES: dict[str, Callable[[Pixels], float]] = {
    f.__name__: f for f in (jpeg_size, png_size, edge_density, regions, local_entropy, luma_entropy, rms_contrast, colorfulness)
}
"""Every measure by its name."""


def measure(
    images: Iterable[Pixels], measures: Mapping[str, Callable[[Pixels], float]] = MEASURES
) -> dict[str, NDArray[np.float64]]:
    """Every measure of every image: name -> (n,) values."""
    rows = [[f(image) for f in measures.values()] for image in images]
    columns = np.array(rows, dtype=np.float64).reshape(-1, len(measures)).T
    return dict(zip(measures, columns, strict=True))


def checked(image: Pixels) -> Pixels:
    """The image itself; ValueError if it is not (H, W, 3) uint8."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"a measure needs an image (H, W, 3) uint8, not {image.shape} {image.dtype}")
    return image


def luma(image: Pixels) -> Pixels:
    """(H, W) uint8, ITU-R BT.601 as Pillow rounds it."""
    return np.asarray(Image.fromarray(checked(image)).convert("L"))


def _file_bits(image: Pixels, form: str, **options: int) -> float:
    file = io.BytesIO()
    Image.fromarray(checked(image)).save(file, form, **options)
    return 8 * file.tell() / (image.shape[0] * image.shape[1])
