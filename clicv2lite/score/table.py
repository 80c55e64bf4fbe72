"""The table image,score,error: written as the scores come, so that an interrupted run can continue (book chapter 12).

A name may stand in it several times: a tar may hold several members of one name. The n-th row of a name belongs to the n-th
image of that name.
"""

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from clicv2lite.data.names import as_cell, as_text, from_cell
from clicv2lite.errors import UserError, one_line
from clicv2lite.files import atomic, reason, regular
from clicv2lite.models.model import Model
from clicv2lite.score.arguments import ImageRow

COLUMNS = ["image", "score", "error"]
SCORED = re.compile(rb",[01]\.\d{6},\r?\n$")  # how a row of an image ends
AGAIN = "\0"  # between a name and its number, from the second image of a name on: it is in no name
WITNESSES = 3  # images of an old table that are scored again, to check that it is of this model
TOLERANCE = 1e-4  # a table has six digits, and another machine rounds differently in the fifth


class Table:
    """A CSV file that grows; `scores` is what it held when it was opened, with the keys that `keys` gives.

    Rows with an error are dropped, and their images scored again. A last line that was cut off is dropped.

    Args:
        path: `add` makes the file if it does not exist.

    Raises:
        UserError: if the file exists and is not such a table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scores: dict[str, float] = read_scores(path) if path.exists() else {}
        self._file: io.TextIOWrapper | None = None

    def add(self, rows: Iterable[ImageRow]) -> None:
        """Append rows, flushed to the disk.

        Raises:
            UserError: if they cannot be written; what the file held before is still there.
        """
        try:
            if self._file is None:  # the first time: what was read, without a cut-off end
                write_csv(self.path, [], others=self.scores)
                self._file = regular(self.path).open("a", newline="", encoding="utf-8")
            csv.writer(self._file, lineterminator="\n").writerows(map(_cells, rows))
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
            write_csv(self.path, rows, others)
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


def write_csv(path: Path, rows: Iterable[ImageRow], others: Mapping[str, float] | None = None) -> None:
    """Write the columns image,score,error, whole or not at all; a row has a score or an error.

    Args:
        others: scores of further images, by the keys of `read_scores`, which come last.
    """
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(map(_cells, rows))
        names = (as_cell(key.partition(AGAIN)[0], path=True) for key in others or ())
        writer.writerows([name, f"{score:.6f}", ""] for name, score in zip(names, (others or {}).values(), strict=True))


def read_table(path: Path) -> dict[str, float]:
    """The scored images of a table, by name, and their scores; of a name that stands there several times, the first.

    Raises:
        UserError: as `read_scores`.
    """
    return {key: score for key, score in read_scores(path).items() if AGAIN not in key}


def read_scores(path: Path) -> dict[str, float]:
    """The scored images of a table and their scores, without error rows and without a cut-off end.

    Of a name that stands there several times, the rows before the first error count: later ones could not be told apart while
    the missing one is appended at the end.

    Returns:
        Scores by the keys that `keys` gives.

    Raises:
        UserError: if it cannot be read or is not a table of `clicv2lite score`.
    """
    if not path.is_file():
        raise UserError(f"--csv {path}: this is not a regular file; name another")
    scores: dict[str, float] = {}
    counted: dict[str, int] = {}
    failed: set[str] = set()
    for number, line in enumerate(_whole_rows(path), 1):
        if number == 1:
            continue
        try:
            image, score, failure = line
            value = float(score) if score else None
        except ValueError:
            raise UserError(f"--csv {path} row {number}: not image,score,error; correct it or name another file") from None
        name = _name(image.replace(AGAIN, "\\0"))
        if value is None or failure:
            failed.add(name)
        elif not 0 <= value <= 1:
            raise UserError(f"--csv {path} row {number}: score {score} is outside 0..1; name another file")
        elif name not in failed:
            scores[_key(name, counted)] = value
    return scores


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


def _cells(row: ImageRow) -> list[str]:
    return [as_cell(row.image, path=True), "" if row.score is None else f"{row.score:.6f}", as_cell(row.error or "")]


def _name(image: str) -> str:
    """The one of the equal names `=a.png` and `./=a.png` that is looked up."""
    return from_cell(as_text(image), path=True)


def _key(name: str, counted: dict[str, int]) -> str:
    before = counted.get(name, 0)
    counted[name] = before + 1
    return f"{name}{AGAIN}{before}" if before else name


def _whole_rows(path: Path) -> Iterator[list[str]]:
    """The rows of the file, the header first; a last one that was cut off is left out."""
    header, lines_of_row = False, [b""]

    def lines() -> Iterator[str]:
        with path.open("rb") as file:
            for line in file:
                lines_of_row.append(line)
                try:
                    yield line.decode("utf-8" if header else "utf-8-sig")
                except UnicodeDecodeError:
                    if line.endswith(b"\n") or not header:
                        raise
                    return  # cut within a character

    reader = csv.reader(lines(), strict=True)
    try:
        for row in reader:
            if not lines_of_row[-1].endswith(b"\n"):
                if not header and not ",".join(COLUMNS).startswith(",".join(row)):
                    raise UserError(f"--csv {path}: this is no table {','.join(COLUMNS)}; name another file")
                return
            if not header and row != COLUMNS:
                found = one_line(",".join(row))[:60]
                raise UserError(f"--csv {path}: its columns are {found}, not {','.join(COLUMNS)}; name another file")
            header = True
            lines_of_row.clear()
            yield row
    except OSError as error:
        raise UserError(f"--csv {path}: this file cannot be read ({reason(error)}); name another") from None
    except UnicodeDecodeError:
        raise UserError(f"--csv {path}: this file cannot be read (it is not UTF-8); name another") from None
    except csv.Error as error:
        if "unexpected end" not in str(error) or any(map(SCORED.search, lines_of_row)):
            line = max(1, reader.line_num - len(lines_of_row) + 1)
            advice = "a quote is not closed there; correct it or name another file"
            raise UserError(f"--csv {path} line {line}: broken CSV ({error}); {advice}") from None
        # else a name with a line break in it was torn
