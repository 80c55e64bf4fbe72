"""Tables of scores: written, read again to go on, shown as a page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from clicv2lite.bench.growth.work import Work
from clicv2lite.bench.measure import Operation
from clicv2lite.score.arguments import ImageRow
from clicv2lite.score.gallery import write_gallery
from clicv2lite.score.resume import recalled
from clicv2lite.score.table import Table, write_csv

SHOWN = 12  # images at each end of the page


def works() -> list[Work]:
    """Rows that are scored already: what is measured is the bookkeeping around the model."""
    sizes = (100, 1_000, 10_000, 100_000, 1_000_000)
    return [
        Work("write a table", "rows", sizes, "1", _written),
        Work("read it again to go on", "rows", sizes, "1", _resumed),
        Work(f"page of the {SHOWN} most and least complex", "rows", sizes, "0: thumbnails; 1: sorting, nearly", _page),
    ]


def scored(names: Sequence[str]) -> list[ImageRow]:
    """Rows with scores."""
    scores = np.random.default_rng(0).random(len(names))
    rows = (ImageRow(name, Path(f"{i}.png")) for i, name in enumerate(names))
    return [row.with_score(float(score), ()) for row, score in zip(rows, scores, strict=True)]


def _written(rows: int, folder: Path) -> Operation:
    made = scored([f"photographs/{i:08d}.jpg" for i in range(rows)])
    return lambda: write_csv(folder / "scores.csv", made)


def _resumed(rows: int, folder: Path) -> Operation:
    made = scored([f"photographs/{i:08d}.jpg" for i in range(rows)])
    write_csv(folder / "scores.csv", made)
    return lambda: recalled(made, Table(folder / "scores.csv"))


def _page(rows: int, folder: Path) -> Operation:
    picture = folder / "picture.png"
    Image.effect_noise((256, 256), 64).convert("RGB").save(picture)
    made = scored([str(picture)] * rows)
    return lambda: write_gallery(folder / "page.html", made, SHOWN)
