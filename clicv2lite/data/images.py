"""Any image file that people have -> one defined RGB picture, or one line that says what is wrong with the file.

What is defined: EXIF orientation is applied; transparency is laid on white; of an animation the first frame is taken;
CMYK, gray and palette images become RGB; 16 bits become 8. Embedded colour profiles are ignored, as ICNet and timm do.
What is refused: formats that are not in :data:`clicv2lite.data.formats.FORMATS`, truncated or corrupt files (nothing is
filled in), and pictures of more than PIL's own limit of `PIL.Image.MAX_IMAGE_PIXELS` (89,478,485 unless changed), where PIL
would only warn of a decompression bomb. Threads that decode at once share the bytes of :mod:`clicv2lite.data.budget`.
"""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from clicv2lite.data.budget import PIXELS
from clicv2lite.data.formats import HEAD, PLUGINS, image_format, instead
from clicv2lite.data.pillow import open_image, quietly
from clicv2lite.data.reduced import draft, memory
from clicv2lite.data.regular import ImageError as ImageError  # the package knows it by this module
from clicv2lite.data.regular import check_size, open_encoded
from clicv2lite.data.rgb import REDUCING_GAP, few_levels, rgb, squashed, upright
from clicv2lite.errors import one_line

Source = str | Path | bytes
# How Pillow's decoders say that they know better than to read a file, which is whole.
VARIANT = re.compile(
    r"unsupported|not supported|not (yet )?implemented|unknown|cannot handle|unable to determine|not installed"
)
RARE = (
    "jpeg2000",
    "lzma",
    "tiff_dcs",
    "tiff_sgilog",
    "tiff_sgilog24",
    "tiff_thunderscan",
    "webp",
    "zstd",
)  # TIFF's compressions


def read_image(
    source: Source, name: str | None = None, *, at_least: int | None = None, note: Callable[[str], object] | None = None
) -> Image.Image:
    """Decode one image.

    Args:
        source: a file's path, or the bytes of an encoded image.
        name: what to call the image in an error; by default the path, or "image" for bytes.
        at_least: when the image is only wanted small, the side in pixels that it must keep: a JPEG or a JPEG 2000 is then
            decoded at a fraction of its size with both sides >= `at_least`, several times faster.
        note: as in `read_square`.

    Returns:
        A PIL image of mode RGB, detached from its file (which is closed).

    Raises:
        ImageError: if the file is missing, unreadable, no regular file, not an image, corrupt, truncated, or too large.
    """
    with _decoded(source, name, at_least, note) as (image, label):
        return rgb(image, label)


def read_square(
    source: Source,
    size: int,
    name: str | None = None,
    note: Callable[[str], object] | None = None,
    sized: Callable[[tuple[int, int]], object] | None = None,
) -> Tensor:
    """`to_square(read_image(...), size)`, but faster: a large JPEG is decoded near the size that is wanted.

    Args:
        note: called with one line about an image that is readable but perhaps not what was meant: levels of 12 bits in 16.
        sized: called with the width and height of the upright image; of one that is decoded at a fraction, with that.

    Returns:
        (3, size, size) uint8.

    Raises:
        ImageError: as `read_image`.
        ValueError: for a size below 1, which is no fault of the file.
    """
    _check_side(size)
    with _decoded(source, name, round(size * REDUCING_GAP), note) as (image, label):
        if sized:
            sized(image.size)
        return _tensor(squashed(image, size, label))


def to_square(image: Image.Image, size: int) -> Tensor:
    """The whole image resized to a square, its aspect ratio squashed: what ICNet and the probes see.

    Args:
        image: mode RGB.
        size: side of the square in pixels.

    Returns:
        (3, size, size) uint8, antialiased bilinear (torchvision's `Resize`, ICNet's choice, to within a level or two).
    """
    return _tensor(squashed(image, size, "image"))


def square_of(
    image: Image.Image,
    size: int,
    name: str = "image",
    note: Callable[[str], object] | None = None,
    sized: Callable[[tuple[int, int]], object] | None = None,
) -> Tensor:
    """An image of PIL, which stays as it is, as `read_square` would give its file; arguments and errors as there."""
    _check_side(size)
    label = one_line(name)
    if 0 in image.size:
        raise ImageError(f"{label}: {image.width} x {image.height} pixels is no image's size; give 1 x 1 or more")
    try:
        with PIXELS.hold(), quietly():
            PIXELS.take(memory(image))
            image.load()  # a lazily opened file is decoded only now
            if note and (said := few_levels(image, deep=False)):
                note(f"{label}: {said}")
            turned = upright(image)
            if sized:
                sized(turned.size)
            return _tensor(squashed(turned, size, label))
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"{label}: cannot be decoded ({error!s}); open it again") from None


@contextmanager
def _decoded(
    source: Source, name: str | None, at_least: int | None, note: Callable[[str], object] | None = None
) -> Iterator[tuple[Image.Image, str]]:
    """The image, loaded and upright, in its own mode, and what to call it; it belongs to the budget until the block ends."""
    if isinstance(source, bytes):
        label = one_line(name or "image")
        check_size(len(source), label)
        with _pixels(io.BytesIO(source), label, at_least, note) as image:
            yield image, label
        return
    label = one_line(name or str(source))
    with open_encoded(source, label) as file, _pixels(file, label, at_least, note) as image:
        yield image, label


@contextmanager
def _pixels(file: BinaryIO, label: str, at_least: int | None, note: Callable[[str], object] | None) -> Iterator[Image.Image]:
    kind = compression = None
    try:
        kind = image_format(file, label)
        with PIXELS.hold(), open_image(file, label) as image:
            compression = image.info.get("compression")
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
                raise Image.DecompressionBombError
            deep = ";16" in str([tile[3] for tile in getattr(image, "tile", ())])  # the file's own layout of pixels
            PIXELS.take(draft(image, file, at_least))
            image.load()
            if note and (said := few_levels(image, deep)):
                note(f"{label}: {said}")
            yield upright(image)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        limit = f"{Image.MAX_IMAGE_PIXELS:,} pixels"
        raise ImageError(f"{label}: more than {limit}, which is refused; make the image smaller first") from None
    except MemoryError:
        raise ImageError(f"{label}: not enough memory to decode it; make the image smaller first") from None
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, ValueError, EOFError, struct.error ...
        raise ImageError(f"{label}: {_fault(error, file, label, kind, compression)}") from None


def _fault(error: Exception, file: BinaryIO, label: str, kind: str | None, compression: str | None) -> str:
    """What is wrong with a file that was not decoded, and what to do."""
    reason = one_line(str(error)) or type(error).__name__
    if kind is None and not isinstance(error, UnidentifiedImageError):  # its first bytes
        return f"the file cannot be read ({getattr(error, 'strerror', None) or reason}); check the disk"
    if kind is None:
        file.seek(0)
        head = file.read(HEAD)
        return instead(head, label) if head else "the file is empty; fetch it again or remove it"
    if isinstance(error, ImportError) and kind in PLUGINS:
        return (
            f"a file of format {kind}, which is not read without a plugin; pip install {PLUGINS[kind].package}, or convert it"
        )
    if compression in RARE or (kind == "TIFF" and reason.isdigit()):  # a number is all that Pillow says of one it does not know
        reason = f"unknown compression {compression or reason}"
    if isinstance(error, KeyError) or VARIANT.search(reason.lower()):
        return f"a variant of {kind} that is not read here, or damaged ({reason}); convert it to PNG, or fetch it again"
    if isinstance(error, UnidentifiedImageError):
        reason = "its header cannot be read"
    return f"corrupt or truncated ({reason}); fetch it again or remove it"


def _check_side(size: int) -> None:
    if size < 1:
        raise ValueError(f"a square has a side of 1 pixel or more, not {size}")


def _tensor(square: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()
