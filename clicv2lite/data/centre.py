"""Resize and centre crop: how classifiers on ImageNet see an image (timm, MAE, torchvision's references; book chapter 9).

The probes of ratings squash the whole image to a square (:func:`clicv2lite.data.images.to_square`), as complexity is a
property of all of it. A class is one of the object in the middle, with its proportions.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clicv2lite.data.images import read_image


def short_side(size: int) -> int:
    """What the short side is resized to before a crop of `size` px: 256 for 224, as usual."""
    return round(size * 256 / 224)


def read_centre(source: str | Path | bytes, size: int, note: Callable[[str], object] | None = None) -> Tensor:
    """The middle of an image: its short side becomes `short_side(size)` pixels, and the centre of it is cut out.

    Args:
        source: a file's path, or the bytes of an encoded image. size: side of the crop in pixels.
        note: as in `read_square`.

    Returns:
        (3, size, size) uint8: torchvision's `Resize` (bicubic) and `CenterCrop`; the same pixels, but of JPEGs
        and JPEG 2000s above twice the size and images longer than 8 to 1.

    Raises:
        ImageError: as `read_image`.
    """
    short = short_side(size)
    image = _without_ends(read_image(source, at_least=2 * short, note=note))
    w, h = image.size
    width, height = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)  # torchvision's roundings
    left, top = round((width - size) / 2), round((height - size) / 2)
    whole = image.resize((width, height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(whole.crop((left, top, left + size, top + size)))).permute(2, 0, 1).contiguous()


def _without_ends(image: Image.Image) -> Image.Image:
    """An image of at most 8 to 1: resized whole, one of 1 x 20,000 pixels would take gigabytes, and its ends are cut off."""
    w, h = (min(side, 8 * min(image.size)) for side in image.size)
    left, top = (image.width - w) // 2, (image.height - h) // 2
    return image if (w, h) == image.size else image.crop((left, top, left + w, top + h))
