"""Pillow, strict and quiet in this thread, whatever the program around us has set (book chapter 12).

Pillow's settings, Python's warning filters and libtiff's messages belong to the whole process. Changing them for the length
of a decode would change them for other threads too, and leave them changed where two decodes overlap. So what is put in
place here stays, and asks which thread it is in.
"""

import ctypes
import io
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from typing import Any, BinaryIO, cast

from PIL import Image, ImageFile, UnidentifiedImageError

from clicv2lite.data.formats import FORMATS, image_format, load_plugin


class _Here(threading.local):
    decoding = 0  # how many `quietly` blocks this thread is in


class _OtherThreads:
    """True, but not in a thread that decodes here."""

    def __bool__(self) -> bool:
        return not _here.decoding


class _PillowHere:
    """In place of a warning filter's pattern for modules: fits Pillow's, in a thread that decodes here."""

    pattern = r"PIL\."  # scikit-learn reads it, to give its threads the filters of the one that calls it

    def match(self, module: str) -> bool:
        return bool(_here.decoding) and module.startswith("PIL.")


_here = _Here()
_FILTER = ("ignore", None, Warning, _PillowHere(), 0)
logging.getLogger("PIL.TiffImagePlugin").addFilter(lambda record: not _here.decoding)  # the only one that logs errors


@contextmanager
def quietly() -> Iterator[None]:
    """In this thread and block, Pillow neither warns nor fills truncated files, not even if `LOAD_TRUNCATED_IMAGES` is set."""
    filters = cast(list[Any], warnings.filters)
    if not filters or filters[0] is not _FILTER:  # the first that fits decides
        filters[:] = [_FILTER, *(each for each in filters if each is not _FILTER)]
    if ImageFile.LOAD_TRUNCATED_IMAGES and not isinstance(ImageFile.LOAD_TRUNCATED_IMAGES, _OtherThreads):
        ImageFile.LOAD_TRUNCATED_IMAGES = cast(bool, _OtherThreads())
    _here.decoding += 1
    try:
        yield
    finally:
        _here.decoding -= 1


@contextmanager
def open_image(file: BinaryIO, name: str = "") -> Iterator[Image.Image]:
    """Open an encoded image, and decode it inside the block: only the formats of `formats.FORMATS`, strict and quiet.

    Nothing in this package calls `Image.open` elsewhere.

    Args:
        file: open for reading, at any position.
        name: the image's; its ending tells a TGA, which has no signature, from anything else.

    Raises:
        UnidentifiedImageError: for anything that is no image of these formats.
        Exception: what Pillow's decoders raise: OSError, SyntaxError, ValueError, EOFError, struct.error ...
    """
    kind = image_format(file, name)
    if kind is None or kind not in FORMATS:
        raise UnidentifiedImageError
    load_plugin(kind)
    if kind == "TIFF":
        _silence_libtiff()
    with quietly():
        try:
            image: Image.Image = Image.open(file, formats=(kind,))
        except UnidentifiedImageError:  # Pillow keeps the reason to itself
            file.seek(0)
            Image.OPEN[kind][0](file, "")
            raise
        with image:
            yield image


def header(data: bytes, name: str = "") -> AbstractContextManager[Image.Image]:
    """`open_image` for bytes, to look at what stands before the pixels."""
    return open_image(io.BytesIO(data), name)


@cache
def _silence_libtiff() -> None:
    """Take libtiff's error handler, which writes to stderr: Pillow raises what went wrong. Only Pillow uses this libtiff.

    The handler belongs to the process; redirecting stderr for the length of a decode would lose the lines of other threads.
    Where Pillow was linked otherwise than its wheels, the handler is out of reach and libtiff goes on talking.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)
