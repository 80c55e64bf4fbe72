"""The table of scores: written as they come, so that an interrupted run can continue (book chapter 12).

Percentile and uncertainty follow from the score and are never read. A table of an earlier version, image,score,error, is
continued as one with all columns: its rows get both, and their flags are `unknown`, for nobody looked at the images.

A name may stand in it several times: a tar may hold several members of one name. The n-th row of a name belongs to the n-th
image of that name.
"""

import csv
import io
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from clicv2lite.data.flags import FLAGS
from clicv2lite.data.names import as_cell, as_text, from_cell
from clicv2lite.errors import UserError
from clicv2lite.files import reason, regular, write_table
from clicv2lite.models.model import Model
from clicv2lite.models.norms import Norms
from clicv2lite.score.arguments import ImageRow
from clicv2lite.score.columns import COLUMNS, EARLIER, whole_rows

UNKNOWN = "unknown"  # the flags of an image that nobody looked at
AGAIN = "\0"  # between a name and its number, from the second image of a name on: it is in no name
WITNESSES = 3  # images of an old table that are scored again, to check that it is of this model
TOLERANCE = 1e-4  # a table has six digits, and another machine rounds differently in the fifth

Flags = tuple[str, ...] | None
"""The flags of an image, or None where nobody looked."""


class Table:
    """A CSV file that grows; `scores` and `flags` are what it held when it was opened, with the keys that `keys` gives.

    Rows with an error are dropped, and their images scored again. A last line that was cut off is dropped.

    Args:
        path: `add` makes the file if it does not exist.
        norms: of the model; without them, percentile and uncertainty stay empty.

    Raises:
        UserError: if the file exists and is not such a table.
    """

    def __init__(self, path: Path, norms: Norms | None = None) -> None:
        self.path, self.norms = path, norms
        held = _read(path) if path.exists() else {}
        self.scores: dict[str, float] = {key: score for key, (score, _) in held.items()}
        self.flags: dict[str, Flags] = {key: flags for key, (_, flags) in held.items()}
        self._file: io.TextIOWrapper | None = None

    def add(self, rows: Iterable[ImageRow]) -> None:
        """Append rows, flushed to the disk.

        Raises:
            UserError: if they cannot be written; what the file held before is still there.
        """
        try:
            if self._file is None:  # the first time: what was read, without a cut-off end
                write_csv(self.path, [], self.scores, self.flags, self.norms)
                self._file = regular(self.path).open("a", newline="", encoding="utf-8")
            csv.writer(self._file, lineterminator="\n").writerows(cells(row, self.norms) for row in rows)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            there = "the scores before this are in it; correct that, and the same command goes on"
            raise UserError(f"--csv {self.path}: cannot be written ({reason(error)}); {there}") from None

    def finish(self, rows: Sequence[ImageRow]) -> None:
        """Write the file anew in the order of `rows`; the other scores that it held come last.

        Raises:
            UserError: if it cannot be written; every score is in the file then, in the order in which they came.
        """
        new, old = self._file is not None, self.scores
        named = set(keys(rows)) if old else set()
        others = {key: score for key, score in old.items() if key not in named}
        try:
            if self._file is not None:
                self._file.close()
            write_csv(self.path, rows, others, self.flags, self.norms)
        except OSError as error:
            there = "; all scores are in it, in another order" if new else ""
            raise UserError(f"--csv {self.path}: cannot be written ({reason(error)}){there}; correct that") from None


def keys(rows: Sequence[ImageRow]) -> list[str]:
    """(n,) what to look each row up by: its name as text, and from the second row of a name on the number of the row.

    >>> keys([ImageRow(name, Path()) for name in ("a.png", "b.png", "a.png")])
    ['a.png', 'b.png', 'a.png\\x001']
    """
    counted: dict[str, int] = {}
    return [_key(_name(row.image), counted) for row in rows]


def write_csv(
    path: Path,
    rows: Iterable[ImageRow],
    others: Mapping[str, float] | None = None,
    flags: Mapping[str, Flags] | None = None,
    norms: Norms | None = None,
) -> None:
    """Write all columns, whole or not at all; a row has a score or an error.

    Args:
        others: scores of further images, by the keys that `keys` gives, which come last.
        flags: their flags, by the same keys.
        norms: what percentile and uncertainty are taken from.
    """
    held = (ImageRow(k.partition(AGAIN)[0], Path(), s, flags=(flags or {}).get(k)) for k, s in (others or {}).items())
    write_table(path, COLUMNS, (cells(row, norms) for row in itertools.chain(rows, held)))


def _read(path: Path) -> dict[str, tuple[float, Flags]]:
    """The scored images of a table, by the keys that `keys` gives, without error rows and without a cut-off end.

    Of a name that stands there several times, the rows before the first error count: later ones could not be told apart while
    the missing one is appended at the end. UserError if it cannot be read or is not a table of `clicv2lite score`.
    """
    if not path.is_file():
        raise UserError(f"--csv {path}: this is not a regular file; name another")
    held: dict[str, tuple[float, Flags]] = {}
    counted: dict[str, int] = {}
    failed: set[str] = set()
    for number, line in enumerate(whole_rows(path), 1):
        if number == 1:
            width = len(line)
            continue
        if len(line) != width:
            line = []  # refused below
        try:
            image, score, *found, failure = line
            value = float(score) if score else None
            flags = _flags(*found)
        except (ValueError, TypeError):
            columns = ",".join(EARLIER if width == len(EARLIER) else COLUMNS)
            raise UserError(f"--csv {path} row {number}: not {columns}; correct it or name another file") from None
        name = _name(image.replace(AGAIN, "\\0"))
        if value is None or failure:
            failed.add(name)
        elif not 0 <= value <= 1:
            raise UserError(f"--csv {path} row {number}: score {score} is outside 0..1; name another file")
        elif name not in failed:
            held[_key(name, counted)] = value, flags
    return held


def check_same_model(table: Table, rows: Sequence[ImageRow], model: Model) -> None:
    """Score some images of an old table again: another model would give them other scores.

    Args:
        rows: the images of this run; where none of them is in the table, files are looked for under the names in it.

    Raises:
        UserError: if a score differs, or if no image of the table can be read.
    """
    path, known = table.path, table.scores
    if not known:
        return
    inside = [(row, key) for row, key in zip(rows, keys(rows), strict=True) if row.error is None and key in known]
    if not inside:
        inside = [(ImageRow(key, Path(key)), key) for key in known if AGAIN not in key and Path(key).is_file()]
    checked = 0
    for row, key in [*inside[:: max(1, len(inside) // WITNESSES)][:WITNESSES], *inside[-1:]]:
        try:
            score = model.ratings(row.square(model.encoder.size)[None])[0]
        except UserError:  # gone or damaged since
            continue
        checked += 1
        want = known[key]
        if not abs(score - want) <= TOLERANCE:
            raise UserError(
                f"--csv {path}: it says {want:.4f} for {row.image}, this model {score:.4f}: it is of another model, "
                "or the image has changed; name another file"
            )
    if not checked:
        raise UserError(f"--csv {path}: none of its images can be read, to see if it is of this model; name another file")


def cells(row: ImageRow, norms: Norms | None) -> list[str]:
    """A row as the table has it: one text for each of COLUMNS, empty where there is nothing to say."""
    name, error = as_cell(row.image, path=True), as_cell(row.error or "")
    if row.score is None:
        return [name, "", "", "", "", error]
    score = f"{row.score:.6f}"
    percentile = (
        f"{norms.percentile(float(score)):.1f}" if norms else ""
    )  # of what is written: a later run reads no more digits
    half = norms.half_width(float(score)) if norms else None
    flags = UNKNOWN if row.flags is None else " ".join(row.flags)
    return [name, score, percentile, "" if half is None else f"{half:.3f}", flags, error]


def _flags(percentile: str = "", uncertainty: str = "", flags: str = UNKNOWN) -> Flags:
    """The flags of a row, from its cells between score and error; an earlier table has none of them."""
    float(percentile or 0), float(uncertainty or 0)  # ValueError: this is another table
    if flags == UNKNOWN:
        return None
    found = tuple(flags.split())
    if not set(found) <= set(FLAGS):
        raise ValueError(flags)
    return found


def _name(image: str) -> str:
    """The one of the equal names `=a.png` and `./=a.png` that is looked up."""
    return from_cell(as_text(image), path=True)


def _key(name: str, counted: dict[str, int]) -> str:
    before = counted.get(name, 0)
    counted[name] = before + 1
    return f"{name}{AGAIN}{before}" if before else name
