"""Names of images: which they are, how to print them, and a list of them that a million-image set can afford."""

import os
import re
from collections.abc import Iterable
from pathlib import PurePath, PurePosixPath

import numpy as np

from clicv2lite.data.formats import readable_endings

FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # how a formula of a spreadsheet begins, in any width of letters
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")  # only the first can be read; the others get a hint


def is_tar_name(path: str) -> bool:
    """True for `a.tar` and `a.TAR`, and for packed ones."""
    return path.lower().endswith(TARS)


def is_image_name(path: str) -> bool:
    """True for `folder/a.JPG`; false for other extensions and for anything hidden (`.git/a.jpg`, macOS's `._a.jpg`)."""
    return not is_hidden(path) and ending(path) in readable_endings()


def is_hidden(path: str) -> bool:
    """True for `.git/a.jpg` and macOS's `._a.jpg`."""
    return any(part.startswith(".") and part not in (".", "..") for part in path.replace(os.sep, "/").split("/"))


def ending(path: str) -> str:
    """`.jpg` of `folder/a.JPG`; "" if there is none."""
    return os.path.splitext(path)[1].lower()


def as_text(name: str) -> str:
    """A file name as it can be written to a table in UTF-8.

    A byte that is not valid UTF-8 becomes its escape, and so does a carriage return, which would end a line of the table. The
    parts of a path are always separated by /, which Windows reads, too.
    """
    name = name.replace(os.sep, "/")
    text = name if name.isascii() else name.encode("utf-8", "backslashreplace").decode("utf-8")
    return text.replace("\r", "\\r")


def as_cell(text: str, path: bool = False) -> str:
    """`as_text` for a cell of a CSV file that a spreadsheet does not take for a formula; other text stays as it is.

    >>> as_cell("=1+1.png", path=True), as_cell("=1+1"), as_cell("a = b.png", path=True)
    ('./=1+1.png', "'=1+1", 'a = b.png')

    Args:
        path: the text names a file, and the cell is to name the same file. Other text gets a mark, which `from_cell` takes off.
    """
    text = as_text(text)
    if path:
        return f"./{text}" if FORMULA.match(text) else text
    return f"'{text}" if FORMULA.match(text.lstrip("'")) else text


def from_cell(cell: str, path: bool = False) -> str:
    """The text that `as_cell` wrote."""
    if path:
        return cell[2:] if cell.startswith("./") and FORMULA.match(cell, 2) else cell
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell.lstrip("'")) else cell


WINDOWS = os.name == "nt"
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # devices of Windows, whatever the ending


def storable(member: str, windows: bool = WINDOWS) -> PurePath:
    """A relative path for a file that is named after a tar's member: `/etc/x` and `../x` stay inside.

    On Windows, what a name cannot hold there becomes an underscore: some signs, a dot or a blank at the end, a device's name.
    """
    parts = [part for part in PurePosixPath(member).parts if part not in ("/", "//", "..")]
    if windows:
        parts = [re.sub(r'[<>:"|?*\\\x00-\x1f]|[. ]$', "_", part) for part in parts]
        parts = [f"_{part}" if RESERVED.match(part) else part for part in parts]
    return PurePath(*parts)


class PackedNames:
    """A read-only list of strings in two buffers.

    A million str objects take 100 MB, and each worker process that merely looks at them gets its own copy (the
    reference counts lie beside the letters). Packed, they take the bytes of the names, and forked workers share them.
    """

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [os.fsencode(name) for name in names]
        self._bytes = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, i: int) -> str:
        i = range(len(self))[i]  # negative from the end; IndexError outside
        return os.fsdecode(self._bytes[self._ends[i] : self._ends[i + 1]])
