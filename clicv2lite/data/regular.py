"""The bytes of an image file: of a regular file only, of a sane size, and opened without waiting (book chapter 12).

Reading a pipe, a socket or a device may never end, and a sparse file of some bytes on the disk may fill the memory.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from clicv2lite.errors import UserError, one_line

MOST_BYTES = 2**30  # of an encoded image: uncompressed with four channels of 16 bits, PIL's most pixels take 0.7 GB


class ImageError(UserError):
    """An image that cannot be used: one line naming the file, what is wrong, and what to do."""


class NotRegular(OSError):
    """A pipe, a socket or a device where a file was expected."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "this is not a regular file")


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file for reading, as `open(path, "rb")`, but never wait for a writer at the other end.

    Raises:
        NotRegular: for anything but a file or a link to one; other OSErrors and ValueError as `open`.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  # the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it was exchanged since `_without_waiting` looked
        file.close()
        raise NotRegular
    return file


@contextmanager
def open_encoded(path: str | Path, label: str) -> Iterator[BinaryIO]:
    """An image file, open for reading.

    Args:
        label: what to call it in an error, on one line.

    Raises:
        ImageError: if it is missing, unreadable, a folder, no regular file, or of more than `MOST_BYTES`.
    """
    try:
        file = open_regular(path)
    except IsADirectoryError:
        raise ImageError(f"{label}: this is a folder, not an image; name the image files in it") from None
    except NotRegular as error:
        raise ImageError(f"{label}: {error.strerror}; give an image file") from None
    except FileNotFoundError:
        raise ImageError(f"{label}: there is no such file; check the path") from None
    except PermissionError:
        raise ImageError(f"{label}: no permission to read this file; change its permissions") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{label}: the file cannot be read ({reason}); check the path and the disk") from None
    with file:
        check_size(os.fstat(file.fileno()).st_size, label)
        yield file


def read_encoded(path: str | Path) -> bytes:
    """All bytes of an image file; ImageError as `open_encoded`."""
    label = one_line(str(path))
    with open_encoded(path, label) as file:
        try:
            return file.read(os.fstat(file.fileno()).st_size or MOST_BYTES)  # room for the most bytes takes as long as a read
        except OSError as error:
            raise ImageError(f"{label}: the file cannot be read ({error.strerror}); check the disk") from None


def check_size(size: int, label: str) -> None:
    """Raise ImageError for an encoded image of more than `MOST_BYTES`, before it is read."""
    if size > MOST_BYTES:
        raise ImageError(
            f"{label}: {size:,} bytes, more than {MOST_BYTES:,}; this is hardly an image, or make it smaller first"
        )


def _without_waiting(path: str, flags: int) -> int:
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a device may act upon it
        raise NotRegular
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
