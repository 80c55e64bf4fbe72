"""Savoias (Saraee, Jalal, Betke 2018): 1,400 images of seven categories, ranked by complexity within each category.

The layout is the public repository's (https://github.com/esaraee/Savoias-Dataset): `Images/<Category>/<id>.jpg|png` and
one column of scores per category, whose row is the image's id. The .npy files there are pickles and are never opened.
"""

import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clicv2lite.data.names import one_line
from clicv2lite.data.rated.table import Ratings
from clicv2lite.errors import UserError
from clicv2lite.extras import extra

URL = "https://github.com/esaraee/Savoias-Dataset"
TABLES = "Ground truth/xlsx"
CATEGORIES = {  # folder below Images/ -> name in global_ranking_<name>.xlsx
    "Advertisement": "ad",
    "Art": "art",
    "Interior Design": "interior_design",
    "Objects": "objects",
    "Scenes": "scenes",
    "Suprematism": "sup",
    "Visualizations": "vis",
}
FOLDERS = (TABLES, *(f"Images/{category}" for category in CATEGORIES))


@dataclass(frozen=True, eq=False)
class Savoias:
    """What a copy of the repository holds, and what it lacks."""

    ratings: Ratings
    no_image: int  # scores whose image is absent
    no_score: int  # images whose score is blank or absent
    neither: int  # rows of the tables with neither


def savoias_ratings(root: str | Path) -> Ratings:
    """The rated images of a copy of Savoias, absent ones skipped; see `read_savoias` for how many those are.

    Returns:
        Ratings by category, then by id; score in 0..1 (the published 0..100 over 100, normalised within each category).

    Raises:
        UserError: if the layout is not there or a table cannot be read.
    """
    return read_savoias(root).ratings


def read_savoias(root: str | Path) -> Savoias:
    """The rated images of a copy of Savoias, and counts of what was skipped.

    Raises:
        UserError: as `savoias_ratings`.
    """
    root = Path(root)
    paths: list[Path] = []
    scores: list[float] = []
    categories: list[str] = []
    skipped: Counter[tuple[bool, bool]] = Counter()
    for category, name in CATEGORIES.items():
        table, folder = root / TABLES / f"global_ranking_{name}.xlsx", root / "Images" / category
        if not table.exists() and not folder.exists():  # a copy may hold some of the categories
            continue
        score_of, image_of = _scores(table), _images(folder)
        for key in sorted(score_of.keys() | image_of.keys()):
            image, score = image_of.get(key), score_of.get(key)
            if image is None or score is None:
                skipped[image is None, score is None] += 1
                continue
            paths.append(image)
            scores.append(score / 100)
            categories.append(category)
    if not paths:
        raise UserError(f"{root}: no rated image of Savoias here; fetch it with: clicv2lite data savoias")
    ratings = Ratings(paths, np.array(scores, np.float64), categories, None)
    return Savoias(ratings, skipped[True, False], skipped[False, True], skipped[True, True])


def _images(folder: Path) -> dict[int, Path]:
    """Image id -> file; of two files with one id the first by name (.jpg) counts."""
    if not folder.is_dir():
        return {}
    files = [path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    return {int(path.stem): path for path in sorted(files, reverse=True) if path.stem.isdecimal()}


def _scores(table: Path) -> dict[int, float | None]:
    """Image id -> score in 0..100, or None where the cell is blank."""
    with extra("data"):
        import openpyxl
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl's warnings about styles
            book = openpyxl.load_workbook(table, data_only=True)
        cells = [row[0] for row in book.worksheets[0].iter_rows(max_col=1, values_only=True)]
        book.close()
    except FileNotFoundError:
        raise UserError(f"{table}: there is no such table; is this a copy of {URL}?") from None
    except Exception as error:  # a broken workbook shows as BadZipFile, KeyError, ParseError ...
        reason = one_line(str(error)) or type(error).__name__
        raise UserError(f"{table}: not a readable .xlsx table ({reason}); fetch it again") from None
    if not cells or cells[0] != "gt":
        raise UserError(f"{table} row 1: the only column should be called gt; fetch the table again")
    return {row - 2: _score(cell, f"{table} row {row}") for row, cell in enumerate(cells[1:], 2)}


def _score(cell: object, where: str) -> float | None:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, int | float) and 0 <= cell <= 100:  # NaN is not
        return float(cell)
    raise UserError(f"{where}: score {cell!r} is not a number in 0..100; fetch the table again")
