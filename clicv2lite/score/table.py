"""The table image,score,error: written as the scores come, so that an interrupted run can continue (book chapter 12)."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from clicv2lite.data.names import as_text, one_line
from clicv2lite.errors import UserError
from clicv2lite.files import atomic
from clicv2lite.models.model import Model
from clicv2lite.score.arguments import ImageRow

COLUMNS = ["image", "score", "error"]
WITNESSES = 3  # images of an old table that are scored again, to check that it is of this model
TOLERANCE = 1e-4  # a table has six digits, and another machine rounds differently in the fifth


class Table:
    """A CSV file that grows; `scores` is what it held when it was opened.

    Rows with an error are dropped, and their images scored again. A last line that was cut off is dropped.

    Args:
        path: `add` makes the file if it does not exist.

    Raises:
        UserError: if the file exists and is not such a table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scores: dict[str, float] = read_table(path) if path.exists() else {}
        self._file: io.TextIOWrapper | None = None

    def add(self, rows: Iterable[ImageRow]) -> None:
        """Append rows, flushed to the disk."""
        if self._file is None:  # the first time: what was read, without a cut-off end
            write_csv(self.path, [], others=self.scores)
            self._file = self.path.open("a", newline="", encoding="utf-8")
        csv.writer(self._file, lineterminator="\n").writerows(map(_cells, rows))
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self, rows: Sequence[ImageRow]) -> None:
        """Write the file anew in the order of `rows`; the other scores that it held come last."""
        if self._file is not None:
            self._file.close()
        named = {as_text(row.image) for row in rows}
        write_csv(self.path, rows, others={name: score for name, score in self.scores.items() if name not in named})


def write_csv(path: Path, rows: Iterable[ImageRow], others: Mapping[str, float] | None = None) -> None:
    """Write the columns image,score,error, whole or not at all; a row has a score or an error.

    Args:
        others: scores of further images, which come last.
    """
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(map(_cells, rows))
        writer.writerows([name, f"{score:.6f}", ""] for name, score in (others or {}).items())


def read_table(path: Path) -> dict[str, float]:
    """The scored images of a table and their scores, without error rows and without a cut-off end.

    Raises:
        UserError: if it cannot be read or is not a table of `clicv2lite score`.
    """
    if not path.is_file():
        raise UserError(f"--csv {path}: this is not a regular file; name another")
    try:
        content = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        content = _whole_characters(path, error)
    lines = _whole_lines(content)
    if lines and lines[0] != COLUMNS:
        found = one_line(",".join(lines[0]))[:60]
        raise UserError(f"--csv {path}: its columns are {found}, not {','.join(COLUMNS)}; name another file")
    if not lines and content and not ",".join(COLUMNS).startswith(content):
        raise UserError(f"--csv {path}: this is no table {','.join(COLUMNS)}; name another file")
    scores = {}
    for number, line in enumerate(lines[1:], 2):
        try:
            image, score, failure = line
            value = float(score) if score else None
        except ValueError:
            raise UserError(f"--csv {path} row {number}: not image,score,error; correct it or name another file") from None
        if value is not None and not failure:
            if not 0 <= value <= 1:
                raise UserError(f"--csv {path} row {number}: score {score} is outside 0..1; name another file")
            scores[image] = value
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
    inside = [row for row in rows if row.error is None and as_text(row.image) in known]
    if not inside:
        inside = [ImageRow(name, Path(name)) for name in known if Path(name).is_file()]
    checked = 0
    for row in [*inside[:: max(1, len(inside) // WITNESSES)][:WITNESSES], *inside[-1:]]:
        try:
            score = model.ratings(row.square(model.encoder.size)[None])[0]
        except UserError:  # gone or damaged since
            continue
        checked += 1
        want = known[as_text(row.image)]
        if not abs(score - want) <= TOLERANCE:
            raise UserError(
                f"--csv {path}: it says {want:.4f} for {one_line(row.image)}, this model {score:.4f}: it is of another model, "
                "or the image has changed; name another file"
            )
    if not checked:
        raise UserError(f"--csv {path}: none of its images can be read, to see if it is of this model; name another file")


def _cells(row: ImageRow) -> list[str]:
    return [as_text(row.image), "" if row.score is None else f"{row.score:.6f}", row.error or ""]


def _whole_characters(path: Path, error: Exception) -> str:
    """A table that was cut within a character, up to its last whole line."""
    if isinstance(error, UnicodeDecodeError) and b"\n" not in error.object[error.start :]:
        return error.object[: error.start].decode("utf-8")
    reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
    raise UserError(f"--csv {path}: this file cannot be read ({reason}); name another") from None


def _whole_lines(content: str) -> list[list[str]]:
    """The rows of a CSV text up to its last line end that is not inside quotes."""
    end = len(content)
    while (end := content.rfind("\n", 0, end)) >= 0:
        try:
            return list(csv.reader(io.StringIO(content[: end + 1], newline=""), strict=True))
        except csv.Error:  # a name with a line break in it was torn
            continue
    return []
