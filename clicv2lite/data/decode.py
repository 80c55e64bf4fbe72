"""The base crop of training straight from a file's bytes, at twice the speed of Pillow and torchvision (book chapter 10).

`bench` compares it with `crop_by_pillow`. The pixels that both start from are equal bit for bit: the two decode with
libjpeg-turbo. simplejpeg writes them once, where Pillow copies them three times, and torch has a vectorised kernel for
the antialiased bilinear filter on uint8, whose result differs from Pillow's by rounding: at most 2 of 255 levels.
"""

import io
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clicv2lite.data.budget import PIXELS
from clicv2lite.data.images import read_image
from clicv2lite.data.pillow import header, open_image
from clicv2lite.data.rgb import orientation
from clicv2lite.extras import extra

with extra("train"):
    import simplejpeg

Box = tuple[int, int, int, int]  # top, left, height, width


def crop(data: bytes, name: str | None = None, *, box: Callable[[int, int], Box], size: int) -> Tensor:
    """Decode an image, cut a box out and resize it to a square.

    Args:
        data: an encoded image.
        name: what to call the image in an error.
        box: height and width of the image -> top, left, height and width of the box, inside it.
        size: side of the square in pixels.

    Returns:
        (3, size, size) uint8, antialiased bilinear; the channels of a pixel lie side by side in memory.

    Raises:
        ImageError: as `read_image`.
    """
    with PIXELS.hold():
        pixels = decode(data, name)
        top, left, h, w = box(*pixels.shape[:2])
        # a batch axis before the axes are permuted: else torch takes the part for channels-first, and reorders it twice
        part = torch.from_numpy(pixels)[None, top : top + h, left : left + w].permute(0, 3, 1, 2)
        return F.interpolate(part, (size, size), mode="bilinear", antialias=True)[0]


def decode(data: bytes, name: str | None = None) -> np.ndarray:
    """What `read_image` gives, as (H, W, 3) uint8: plain RGB JPEGs are decoded by libjpeg-turbo, other images by Pillow.

    Raises:
        ImageError: as `read_image`.
    """
    with PIXELS.hold():
        if pixels := _plain_jpeg(data):
            # Progressive (its marker is in no other JPEG): the coefficients of the whole image are kept too.
            PIXELS.take(pixels * (9 if b"\xff\xc2" in data else 3))
            try:
                return simplejpeg.decode_jpeg(data)
            except ValueError:  # corrupt or truncated: Pillow's error says what is wrong
                pass
        return np.array(read_image(data, name))


def crop_by_pillow(data: bytes, *, box: Callable[[int, int], Box], size: int) -> Tensor:
    """What `crop` is measured against: Pillow's decoder, torchvision's resized crop of a Pillow image, to (3, size, size)."""
    with extra("train"):
        from torchvision.transforms.functional import pil_to_tensor, resized_crop

    with open_image(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    return pil_to_tensor(resized_crop(image, *box(image.height, image.width), [size, size], antialias=True))


def _plain_jpeg(data: bytes) -> int:
    """How many pixels it has, if this is a JPEG whose pixels need nothing after decoding; else 0."""
    if data[:2] != b"\xff\xd8":
        return 0
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return 0
    small_enough = height * width <= (Image.MAX_IMAGE_PIXELS or float("inf"))
    return height * width if space in ("YCbCr", "Gray") and small_enough and not _turned(data) else 0


def _turned(data: bytes) -> bool:
    """Whether EXIF or XMP may ask for a rotation."""
    if b"Exif\0" not in data and b"tiff:Orientation" not in data:
        return False
    try:
        with header(data) as image:
            return orientation(image) != 1
    except Exception:  # `read_image` decides what to do with such a file
        return True
