"""Savoias (Saraee, Jalal, Betke 2018): 1,400 images of seven categories, ranked by complexity within each category.

The layout is the public repository's (https://github.com/esaraee/Savoias-Dataset): `Images/<Category>/<id>.jpg|png` and
one column of scores per category, whose row is the image's id. The .npy files there are pickles and are never opened.
"""

import hashlib
import itertools
import warnings
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clicv2lite.data.rated.table import Ratings
from clicv2lite.errors import UserError, one_line
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
KNOWN = {  # bit i: image i was rated when the numbers of this package were computed; SHA-256 of "i score;" for these images
    "Advertisement": (
        0xEFDDF57ACF7EF168DEDEF17FE2DBB7F37B4E7FCEDDBABAEE4F,
        "aae880d46b186be8045f9dce65d317e881c66156d2cb1f86fe45ab8b68b5f1fa",
    ),
    "Art": (
        0xF9EDF5FF5E9B93ABE1AA4F9DFDEFB76FFDEF7CFEDF0E77D3CFFD3DEECBA4BCD9BDFDF3FEB7BBFBF7B6BDB17BABF6A5CDB7F552ABD,
        "4e5cfdd6044a2dcf7a4a64dcdcf6164a3dcbe68c7b2064feb9745a6d92173137",
    ),
    "Interior Design": (
        0x7F6F7FBD92CBFF7FF7795169C,
        "3d8f31d7a8ff5105db7c3cf99932202a6c5ff4f915654b8bb2ca387d90592259",
    ),
    "Objects": (
        0xF7D5D176F467FE96ACF9FF3771BFBBFEBB7B698B7F68DFAFFF,
        "17753c94428a441692fd00d0ce25f389529dc55d9801270ec609eaea887f9b59",
    ),
    "Scenes": (
        0x47DFABFD6FEFDFEBBC1FEFA7F6FF3EFB5BDEAC3147B3E59FCE,
        "11bedfc90e8fffc50fff46df00d159a72fb783107d0ed80e83806c8078de9428",
    ),
    "Suprematism": (
        0xFEEE2BAEFFFAA99E5FE37BDD9,
        "43a8c83d2684e7fbeaf9544077ec351008bc3fb324cdb1b32324a8f2b948d1c7",
    ),
    "Visualizations": (
        0xBAE677DF6CDBFE2C7A3B3F7BFEDB7E5B7F6B6BFBD6F79DADA6,
        "ace8bf33e3b9a290490ecc717854f501275f8bf0403a8b250cae1eefeba79ab4",
    ),
}
ROWS = 100_000  # the published tables have a few hundred
LARGEST = 64 << 20  # bytes of a table, unpacked
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


def check_scores(root: str | Path) -> None:
    """Compare the scores of a copy with those that the stored results of this package rest on (992 of Savoias' images).

    Categories that the copy lacks, and images that it has beyond those, are not looked at.

    Raises:
        UserError: naming the first table that differs.
    """
    for category, name in CATEGORIES.items():
        table = Path(root) / TABLES / f"global_ranking_{name}.xlsx"
        if not table.exists():
            continue
        known, digest = KNOWN[category]
        score_of = _scores(table)
        ids = [i for i in range(known.bit_length()) if known >> i & 1]
        found = [(i, score) for i in ids if (score := score_of.get(i)) is not None]
        if hashlib.sha256("".join(f"{i} {score:g};" for i, score in found).encode()).hexdigest() != digest:
            lacking = f"{len(ids) - len(found)} of {len(ids)} are blank" if len(found) < len(ids) else "another score"
            raise UserError(
                f"{table}: not the scores that this package's results were computed from ({lacking}); fetch an earlier --commit"
                " into another folder, or take them as they are with --accept-changes"
            )


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
            with zipfile.ZipFile(table) as packed:
                if sum(part.file_size for part in packed.infolist()) > LARGEST:
                    raise ValueError(f"more than {LARGEST >> 20} MiB when it is unpacked")
            book = openpyxl.load_workbook(table, data_only=True, read_only=True)  # merged cells are not filled in
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # what the file says of its size may be wrong
            rows = sheet.iter_rows(max_col=1, values_only=True)  # with a row for each gap, one at a time
            cells = [row[0] if row else None for row in itertools.islice(rows, ROWS + 1)]
            book.close()
        if len(cells) > ROWS:
            raise ValueError(f"more than {ROWS:,} rows")
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
