"""What to score: files, folders, quoted patterns, tars and names from standard input become rows (book chapter 12)."""

import glob
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from clicv2lite.data.folders import holds_image, kind_passed, list_folder, matching, passed_over
from clicv2lite.data.images import read_image, read_square
from clicv2lite.data.names import is_tar_name, storable
from clicv2lite.data.tars.braces import expand_braces
from clicv2lite.errors import UserError, one_line
from clicv2lite.lines import say

if TYPE_CHECKING:
    from clicv2lite.data.sources import ImageSet


@dataclass(frozen=True)
class ImageRow:
    """One line of the result: a score or an error."""

    image: str  # as it was named, folder/path for a file found in a folder, or a.tar/member
    map_name: Path  # where its map goes below --map
    score: float | None = None  # 0..1
    error: str | None = None
    note: str = ""  # one line about an image that was scored, but perhaps is not what was meant
    map_error: str | None = None  # one line that says why the image, which has a score, has no map
    archive: "ImageSet | None" = None  # the tar that holds its bytes; None for a file
    index: int = 0  # which image of the archive
    flags: tuple[str, ...] | None = None  # what the model may misread in it; None if nobody looked
    unreached: bool = False  # its bytes did not come, which is no fault of the image: another run may get them

    def square(
        self,
        size: int,
        note: Callable[[str], object] | None = None,
        sized: Callable[[tuple[int, int]], object] | None = None,
    ) -> Tensor:
        """(3, size, size) uint8, what the encoder sees; `note`, `sized` and errors as `read_square`."""
        return read_square(self._source(), size, self.image, note, sized)

    def picture(self, at_least: int | None = None) -> Image.Image:
        """The image as RGB; see `read_image`."""
        return read_image(self._source(), self.image, at_least=at_least)

    def with_score(self, score: float, flags: tuple[str, ...] | None = None) -> "ImageRow":
        """The same image, scored."""
        # not `replace`, which is slow, and a table may have a million rows
        return ImageRow(self.image, self.map_name, score, archive=self.archive, index=self.index, flags=flags)

    def with_error(self, error: str) -> "ImageRow":
        """The same image, with one line that says why it has no score; a score stays, and the line is of its map."""
        if self.score is not None:
            return replace(self, map_error=f"{error}; its score is kept")
        return replace(self, error=error)

    def _source(self) -> Path | bytes:
        return Path(self.image) if self.archive is None else self.archive.read(self.index)


def expand(arguments: list[str], null: bool = False) -> list[str]:
    """Names as given; `-` becomes the lines of standard input, and a pattern the paths that match it, sorted.

    A pattern that names an existing file is that file. A pattern that matches nothing stays as it is, and becomes an error row.

    Args:
        null: names on standard input end with NUL instead of a line break.

    Raises:
        UserError: if a brace pattern names too many files, or nothing comes from standard input.
    """
    found: list[str] = []
    for argument in arguments:
        if argument == "-":
            found += _from_stdin(null)  # names, not patterns: a * in one is a *
        elif os.path.lexists(argument):
            found.append(argument)
        else:
            for name in expand_braces(argument):
                found += _fitting(name) or [name]
    return found


def _fitting(pattern: str) -> list[str]:
    """The folders, tars and images that a pattern fits; the images that cannot be read are counted on stderr."""
    fitting: list[str] = []
    passed: Counter[str] = Counter()
    for match in matching(pattern) if glob.has_magic(pattern) else []:
        if os.path.isdir(match) or is_tar_name(match) or holds_image(match):
            fitting.append(match)
        elif kind := kind_passed(match):
            passed[kind] += 1
    if passed:
        say(passed_over(pattern, passed))
    return fitting


def input_folders(arguments: list[str]) -> list[Path]:
    """The folders among the expanded arguments: nothing may be written into them."""
    return [Path(argument) for argument in arguments if os.path.isdir(argument)]


def find_images(arguments: list[str]) -> list[ImageRow]:
    """The images to score, in the order given, sorted within a folder.

    Every named file gets a row, whatever it is. In a folder, the images get one, see `folders.holds_image`; hidden files and
    links to folders are left out, and images that cannot be read are counted on stderr. In a tar, the image members get one,
    in their order.

    Args:
        arguments: from `expand`.

    Raises:
        UserError: if no image is in any of them.
    """
    rows = rows_of(arguments)
    check_any(rows, arguments)
    return rows


def rows_of(arguments: list[str]) -> list[ImageRow]:
    """As `find_images`, but nothing is refused: what holds no image is a row with the error."""
    rows: list[ImageRow] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            rows += _below(argument)
        elif is_tar_name(argument):
            rows += members(argument)
        elif glob.has_magic(argument) and not path.exists():
            rows.append(ImageRow(argument, Path("pattern"), error=f"{one_line(argument)}: no image fits this pattern"))
        else:
            rows.append(ImageRow(argument, Path(path.name)))
    return rows


def check_any(rows: Sequence[ImageRow], arguments: Sequence[str]) -> None:
    """Refuse rows that are all errors, found of these arguments.

    Raises:
        UserError: as said.
    """
    if all(row.error for row in rows):
        if len(rows) == 1:
            raise UserError(f"nothing to score: {rows[0].error}; name image files or their folder")
        raise UserError(
            f"nothing to score: no image is in {', '.join(map(one_line, arguments[:5]))}; name image files or their folder"
        )


def _from_stdin(null: bool) -> list[str]:
    data = sys.stdin.buffer.read()
    names = [os.fsdecode(n.removesuffix(b"\r") if not null else n) for n in data.split(b"\0" if null else b"\n")]
    if not any(names):
        raise UserError("-: no name came from standard input; pipe some in, one per line")
    return [name for name in names if name]


def members(argument: str) -> list[ImageRow]:
    """The images of a tar, in its order; of one that cannot be read, a single row with the error."""
    from clicv2lite.data.sources import open_images  # not above: most calls name no tar

    try:
        images = open_images([argument])
    except UserError as error:
        return [ImageRow(argument, Path(Path(argument).name), error=str(error))]
    stem, start = Path(argument).name, len(argument) + 1
    names = list(images.names)
    return [
        ImageRow(name, Path(stem, storable(name[start:].replace("\0", "_"))), archive=images, index=i)
        for i, name in enumerate(names)
    ]


def _below(argument: str) -> list[ImageRow]:
    found = list_folder(argument, follow=False)
    rows = [ImageRow(str(Path(argument, path)), Path(path)) for path in found.images]
    if found.passed:
        say(passed_over(argument, found.passed))
    for error in found.errors:
        name = str(error.filename)
        text = f"{one_line(name)}: cannot be listed ({error.strerror}); check its permissions"
        rows.append(ImageRow(name, Path(name), error=text))
    return rows or [ImageRow(argument, Path(Path(argument).name), error=f"{one_line(argument)}: no image is in this folder")]
