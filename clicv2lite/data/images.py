"""Any image file that people have -> one defined RGB picture, or one line that says what is wrong with the file.

What is defined: EXIF orientation is applied; transparency is laid on white; of an animation the first frame is taken;
CMYK, gray and palette images become RGB; 16 bits become 8. Embedded colour profiles are ignored, as ICNet and timm do.
What is refused: truncated or corrupt files (nothing is filled in), and pictures of more than PIL's own limit of
`PIL.Image.MAX_IMAGE_PIXELS` (89,478,485 unless changed), where PIL would only warn of a decompression bomb.
"""

import io
import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from clicv2lite.data.names import one_line
from clicv2lite.errors import UserError

REDUCING_GAP = 2.0  # resize from at least twice the size: with it, shortcuts (JPEG draft, box reduction) do not show


class ImageError(UserError):
    """An image that cannot be used: one line naming the file, what is wrong, and what to do."""


def read_image(source: str | Path | bytes, name: str | None = None, *, at_least: int | None = None) -> Image.Image:
    """Decode one image.

    Args:
        source: a file's path, or the bytes of an encoded image.
        name: what to call the image in an error; by default the path, or "image" for bytes.
        at_least: when the image is only wanted small, the side in pixels that it must keep: a JPEG is then decoded at
            the smallest of 1, 1/2, 1/4, 1/8 of its size with both sides >= `at_least`, several times faster.

    Returns:
        A PIL image of mode RGB, detached from its file (which is closed).

    Raises:
        ImageError: if the file is missing, unreadable, not an image, corrupt, truncated, or too large.
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), len(source), one_line(name or "image"), at_least)
    label = one_line(name or str(source))
    try:
        if os.path.isdir(source):
            raise ImageError(f"{label}: this is a folder, not an image; name the image files in it")
        if os.path.exists(source) and not os.path.isfile(source):  # reading a pipe or a device may never end
            raise ImageError(f"{label}: this is not a regular file; give an image file")
        with open(source, "rb") as file:
            return _decode(file, os.fstat(file.fileno()).st_size, label, at_least)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{label}: there is no such file; check the path") from None
    except PermissionError:
        raise ImageError(f"{label}: no permission to read this file; change its permissions") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{label}: the file cannot be read ({reason}); check the path and the disk") from None


def as_rgb(image: Image.Image, name: str = "image") -> Image.Image:
    """An image of PIL, which stays as it is, as `read_image` would give its file; errors as there."""
    label = one_line(name)
    try:
        return _to_rgb(_upright(image.copy()), label)
    except ImageError:
        raise
    except Exception as error:  # a lazily opened file is decoded only now
        raise ImageError(f"{label}: cannot be decoded ({one_line(str(error))}); open it again") from None


def to_square(image: Image.Image, size: int) -> Tensor:
    """The whole image resized to a square, its aspect ratio squashed: what ICNet and the probes see.

    Args:
        image: mode RGB.
        size: side of the square in pixels.

    Returns:
        (3, size, size) uint8, antialiased bilinear (torchvision's `Resize`, ICNet's choice, to within a level or two).
    """
    square = image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def read_square(source: str | Path | bytes, size: int, name: str | None = None) -> Tensor:
    """`to_square(read_image(...), size)`, but faster: a large JPEG is decoded near the size that is wanted.

    Returns:
        (3, size, size) uint8.

    Raises:
        ImageError: as `read_image`.
    """
    return to_square(read_image(source, name, at_least=round(size * REDUCING_GAP)), size)


def _decode(file: BinaryIO, length: int, label: str, at_least: int | None) -> Image.Image:
    if length == 0:
        raise ImageError(f"{label}: the file is empty; fetch it again or remove it")
    try:
        with warnings.catch_warnings():  # process-wide: threads that overlap here may let a warning of PIL's through
            warnings.filterwarnings("ignore", module=r"PIL\.")  # odd metadata does not matter here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                if at_least is not None:
                    image.draft(None, (at_least, at_least))  # other formats than JPEG ignore it
                image.load()
                return _to_rgb(_upright(image), label)
    except ImageError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = f"{Image.MAX_IMAGE_PIXELS:,} pixels"
        raise ImageError(f"{label}: more than {limit}, which is refused; make the image smaller first") from None
    except UnidentifiedImageError:
        file.seek(0)
        raise ImageError(f"{label}: {_what_instead(file.read(512))}") from None
    except MemoryError:
        raise ImageError(f"{label}: not enough memory to decode it; make the image smaller first") from None
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, ValueError, EOFError, struct.error ...
        reason = one_line(str(error)) or type(error).__name__
        raise ImageError(f"{label}: corrupt or truncated ({reason}); fetch it again or remove it") from None


def _upright(image: Image.Image) -> Image.Image:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # broken EXIF says nothing about the orientation, and the picture itself is whole
        return image
    return image


def _to_rgb(image: Image.Image, label: str) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bits(image, label)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _to_8_bits(image: Image.Image, label: str) -> Image.Image:
    """Gray of 16 bits (0..65535; modes I;16 and I) or of floats (0..1; mode F) to mode L."""
    top = 1.0 if image.mode == "F" else 65535.0
    level = np.asarray(image, dtype=np.float32) / top
    if not (level.min() >= 0 and level.max() <= 1):  # not (a >= b) is also true of NaN
        kind = "floats outside 0..1" if image.mode == "F" else "integers outside 0..65535"
        raise ImageError(f"{label}: its gray levels are {kind}; save the image with 8 or 16 bits a channel")
    return Image.fromarray(np.round(level * 255).astype(np.uint8))


def _what_instead(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "this is a web page (HTML), not an image; fetch the image itself"
    if text.startswith((b"<svg", b"<?xml")):
        return "this is an XML or SVG file, not a raster image; export it as PNG"
    return "not an image that can be read here (or its beginning is damaged); convert it to JPEG or PNG, or remove it"
