"""Rating tables: which image has which complexity, as people judged it (CSV `image,score[,category][,split]`).

Everything is checked before anything is computed: a wrong row would otherwise show, if at all, as a slightly worse
correlation. Errors name the file, the line, what is wrong there, and what to do.
"""

import csv
import itertools
import math
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clicv2lite.data.names import as_cell, from_cell
from clicv2lite.errors import UserError, one_line
from clicv2lite.files import below, reason, write_table
from clicv2lite.outputs import check_is_no_output

SEPARATOR = re.compile(r'"?sep=([^\w\s"]|\t)"?[\r\n]*', re.IGNORECASE)  # a first line that a spreadsheet writes, and hides
LONGEST = 100_000  # letters of a header line
ODD = "begins or ends with a blank, holds a line break, or is not UTF-8"  # and would not come back as it was
COLUMNS = ("image", "score", "category", "split")  # the first two are required; other columns of the file are ignored


@dataclass(frozen=True, eq=False)
class Ratings:
    """Rated images, in the order of their table."""

    paths: list[Path]  # (n,)
    scores: NDArray[np.float64]  # (n,) in 0..1
    categories: list[str] | None  # (n,) semantic category, when known
    splits: list[str] | None  # (n,) such as train and test, when given

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class RatingRow:
    """One rating as it stands in a file, not yet checked."""

    line: int
    image: str  # as written, for messages
    path: Path
    score: str
    category: str = ""
    split: str = ""


def read_ratings(path: str | Path, score_range: Sequence[float] | None = None) -> Ratings:
    """Read a CSV rating table.

    Args:
        path: UTF-8 CSV (with or without byte order mark) with a header line, whose names may be in capitals; image paths are
            relative to its folder. A line `sep=;` before the header says what separates the columns instead of commas.
        score_range: lowest and highest possible score of the rating scale, mapped to 0 and 1; None: scores are in 0..1.

    Returns:
        The ratings, scores in 0..1.

    Raises:
        UserError: for a file or column that is missing; a score that is no finite number or out of range; an image that
            is missing or listed twice; a category or split that only some rows have; a table that is empty or whose
            scores are all equal, which leaves every correlation undefined.
    """
    if score_range is not None:
        low, high = score_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UserError(f"--score-range {low:g} {high:g}: give the lowest and the highest possible score, in order")
    return check_rows(_csv_rows(Path(path)), str(path), score_range)


def write_ratings(ratings: Ratings, path: str | Path) -> None:
    """Write a CSV rating table, whole or not at all.

    Images below the table's folder are written relative to it, so that folder and table can move together; others with
    their absolute path. `read_ratings` gives back the same ratings.

    Raises:
        UserError: if the file cannot be written, or the name of an image, a category or a split cannot stand in it.
    """
    path = Path(path)
    folder = Path(os.path.abspath(path.parent))
    images = [Path(os.path.abspath(image)) for image in ratings.paths]
    cells = [as_cell(below(image, folder), path=True) for image in images]
    for image, cell in zip(images, cells, strict=True):
        if Path(os.path.abspath(folder / cell.strip())) != image:  # as `read_ratings` reads it
            raise UserError(f"{path}: the path of {one_line(str(image))} cannot stand in a table: it {ODD}; rename the image")
    columns: list[tuple[str, Sequence[object]]] = [
        ("image", cells),
        ("score", [repr(float(score)) for score in ratings.scores]),  # repr is exact
    ]
    for column, names in (("category", ratings.categories), ("split", ratings.splits)):
        for name in names or ():
            if not name or from_cell(as_cell(name).strip()) != name:
                what = f"the {column} '{one_line(name)}'"
                raise UserError(f"{path}: {what} cannot stand in a table: it {ODD}, or is empty; rename it")
        if names is not None:
            columns.append((column, [as_cell(name) for name in names]))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, [name for name, _ in columns], zip(*(values for _, values in columns), strict=True))
    except OSError as error:
        raise UserError(f"{path}: the table cannot be written ({reason(error)}); choose another folder") from None


def check_rows(rows: Iterable[RatingRow], table: str, score_range: Sequence[float] | None = None) -> Ratings:
    """Check and collect the rows of any table of ratings; errors name `table` and the row's line.

    Raises:
        UserError: as `read_ratings`.
    """
    kept: list[RatingRow] = []
    scores: list[float] = []
    lines: dict[str, int] = {}
    for row in rows:
        where = f"{table} line {row.line}"
        if not row.image:
            raise UserError(f"{where}: the image is empty; write the image's path, or delete the row")
        scores.append(_score(row.score, where, score_range))
        image = one_line(row.image)
        if not os.path.isfile(row.path):
            looked = one_line(str(row.path))
            raise UserError(f"{where}: there is no image {image} (looked for {looked}); {_missing(row)}")
        check_is_no_output(row.path, where)
        key = os.path.abspath(row.path)
        if key in lines:
            raise UserError(f"{where}: {image} is rated on line {lines[key]} already; keep one of the two rows")
        lines[key] = row.line
        kept.append(row)
    if not kept:
        raise UserError(f"{table}: the table has no rows; write one row per image below the header")
    if min(scores) == max(scores):
        what = f"all {len(scores)} scores are equal" if len(scores) > 1 else "there is only one score"
        raise UserError(f"{table}: {what}, so no correlation is defined; give images of different complexity")
    return Ratings(
        [row.path for row in kept],
        np.array(scores, np.float64),
        _all_or_none([(row.line, row.category) for row in kept], "category", table),
        _all_or_none([(row.line, row.split) for row in kept], "split", table),
    )


def _missing(row: RatingRow) -> str:
    """What to do about an image that is not there."""
    for form in ("NFC", "NFD"):  # macOS and some archives take letters with accents apart, and the two look alike
        if os.path.isfile(unicodedata.normalize(form, str(row.path))):
            return f"the file is named in the form {form} of Unicode; write the table in it, too"
    return "write / between folder and file" if "\\" in row.image else "correct the path"


def _csv_rows(path: Path) -> Iterator[RatingRow]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            line, first = 0, file.readline(LONGEST)
            if says := SEPARATOR.fullmatch(first):
                line, first = 1, file.readline(LONGEST)
            while first and not first.strip():
                line, first = line + 1, file.readline(LONGEST)
            reader = csv.reader(itertools.chain([first], file), strict=True, delimiter=says[1] if says else ",")
            header: list[str] | None = None
            for cells in _lines(reader, path, line):
                cells = [cell.strip() for cell in cells]
                if not any(cells):  # blank lines, and the ",,," that spreadsheets leave behind
                    continue
                if header is None:
                    header = _header(cells, f"{path} line {line + reader.line_num}")
                    continue
                if len(cells) != len(header):
                    raise UserError(
                        f"{path} line {line + reader.line_num}: {len(cells)} columns where the header has {len(header)};"
                        ' put names that contain a comma in "double quotes"'
                    )
                image, score, category, split = (cells[header.index(column)] if column in header else "" for column in COLUMNS)
                where, place = line + reader.line_num, path.parent / image
                yield RatingRow(where, image, place, score, from_cell(category), from_cell(split))
    except OSError as error:
        raise UserError(f"{path}: the table cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8; save the table as CSV UTF-8") from None


def _lines(reader: Iterator[list[str]], path: Path, before: int) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        line = before + getattr(reader, "line_num", 0)
        raise UserError(f"{path} line {line}: broken CSV ({error}); check the quotes") from None


def _header(cells: list[str], where: str) -> list[str]:
    cells = [cell.casefold() for cell in cells]
    for column in COLUMNS[:2]:
        if column not in cells:
            mark = next((mark for mark in ";\t|" if mark in cells[0]), "") if len(cells) == 1 else ""
            commas = "separate the columns by commas" + (f", or write sep={mark} on a line above" if mark != "\t" else "")
            advice = commas if mark else "the header is image,score[,category][,split]"
            raise UserError(f"{where}: there is no column {column} (found: {', '.join(cells)}); {advice}")
    for column in COLUMNS:
        if cells.count(column) > 1:
            raise UserError(f"{where}: the column {column} is there {cells.count(column)} times; keep one")
    return cells


def _score(text: str, where: str, score_range: Sequence[float] | None) -> float:
    try:
        score = float(text)
    except ValueError:
        what = f"score {text!r} is not a number" if text else "the score is empty"
        raise UserError(f"{where}: {what}; write a number such as 0.75, with a point, or delete the row") from None
    if not math.isfinite(score):
        raise UserError(f"{where}: score {text} is not finite; write a number, or delete the row")
    low, high = score_range or (0.0, 1.0)
    if not low <= score <= high:
        advice = (
            "correct it, or pass the whole scale with --score-range"
            if score_range
            else "divide the column by its maximum, or pass --score-range 1 5"
        )
        raise UserError(f"{where}: score {text} is outside {low:g}..{high:g}; {advice}")
    return (score - low) / (high - low)


def _all_or_none(cells: list[tuple[int, str]], column: str, table: str) -> list[str] | None:
    if not any(cell for _, cell in cells):
        return None
    for line, cell in cells:
        if not cell:
            raise UserError(f"{table} line {line}: the {column} is empty; fill it in, or delete the whole column")
    return [cell for _, cell in cells]
