"""IC9600 (Feng et al., TPAMI 2023), as its authors send it to those who ask: `images/`, `train.txt`, `test.txt`.

A line is `name  score`: two blanks, score in 0..1 (https://github.com/tinglyfeng/IC9600, dataset.py and issue 1).
"""

from collections.abc import Iterator
from pathlib import Path

from clicv2lite.data.rated.table import RatingRow, Ratings, check_rows
from clicv2lite.errors import UserError, one_line

SPLITS = ("train", "test")


def ic9600_ratings(root: str | Path, split: str) -> Ratings:
    """One split of IC9600.

    The category is the image name's beginning up to the first underscore (IC9600 has eight: abstract, advertisement,
    architecture, object, painting, person, scene, transportation); without a letter there, a name has none.

    Args:
        root: the unpacked folder.
        split: "train" (6,720 images in the published split) or "test" (2,880).

    Returns:
        The ratings; every entry of `splits` is `split`; `categories` is None when no name shows one, and a name without
        one among others that have one is of the category "other".

    Raises:
        UserError: if the layout is not there, or naming the line of a wrong row, as for any rating table.
    """
    root = Path(root)
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; IC9600 has {' and '.join(SPLITS)}")
    for part in ("images", f"{split}.txt"):
        if not (root / part).exists():
            raise UserError(f"{root}: {part} is missing here; name the folder of IC9600 with images/ and {split}.txt")
    rows = list(_rows(root, split))
    if any(row.category for row in rows):
        rows = [RatingRow(row.line, row.image, row.path, row.score, row.category or "other", row.split) for row in rows]
    return check_rows(rows, str(root / f"{split}.txt"))


def category(name: str) -> str:
    """`painting_12.jpg` -> `painting`; `2008_002672.jpg` and `a.jpg` -> the empty string."""
    prefix, underscore, _ = name.partition("_")
    return prefix.strip().lower() if underscore and prefix[:1].isalpha() else ""


def _rows(root: Path, split: str) -> Iterator[RatingRow]:
    table = root / f"{split}.txt"
    try:
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{table}: the file cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeDecodeError:
        raise UserError(f"{table}: not a text file in UTF-8; unpack IC9600 again") from None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        fields = line.rsplit(maxsplit=1)  # names may contain single blanks, scores none
        if len(fields) < 2:
            found = one_line(line.strip())
            raise UserError(f"{table} line {number}: expected 'name  score' but found '{found}'; correct the line")
        name = fields[0].strip()
        yield RatingRow(number, name, root / "images" / name, fields[1], category(name), split)
