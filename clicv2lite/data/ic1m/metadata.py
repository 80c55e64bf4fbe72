"""The tables of photo addresses that IC1M is drawn from: which column is which, and which size of a photo to fetch.

"Flickr-5B" is published as parquet files of one row a photo: `id`, `owner`, for each of Flickr's sizes `url_S`, `width_S`
and `height_S`, and further `license` (Flickr's number), title, dates and so on. Columns vary, so they are looked up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clicv2lite.errors import UserError

# Flickr's sizes and the long side in pixels; the squares (sq, q) are crops and the thumbnails (t, s) too small.
SIZES = {"n": 320, "w": 400, "m": 500, "z": 640, "c": 800, "l": 1024, "h": 1600, "k": 2048}
WHOLE = 10_000  # assumed long side of the original, `url_o`, or of a single column `url`
MOST = 4  # sizes looked at: each further column means terabytes to read, for a few panoramas
LICENCES = {
    **{"0": "all rights reserved", "1": "CC BY-NC-SA", "2": "CC BY-NC", "3": "CC BY-NC-ND", "4": "CC BY", "5": "CC BY-SA"},
    **{"6": "CC BY-ND", "7": "no known restrictions", "8": "US government", "9": "CC0", "10": "public domain mark"},
}  # flickr.photos.licenses.getInfo


@dataclass(frozen=True)
class SizeColumns:
    """The columns of one size of the photos."""

    url: str
    width: str | None
    height: str | None
    long: int  # pixels, where the columns do not say it


@dataclass(frozen=True)
class Columns:
    """Which column of a table is which."""

    id: str
    sizes: tuple[SizeColumns, ...]  # ascending
    licence: str | None
    owner: str | None

    def names(self) -> list[str]:
        """All columns to read."""
        of_sizes = [name for size in self.sizes for name in (size.url, size.width, size.height)]
        return [name for name in (self.id, self.licence, self.owner, *of_sizes) if name]


def find_files(sources: Sequence[str]) -> list[Path]:
    """The parquet files that `sources` name, folders searched recursively but for hidden parts; sorted, each once.

    Raises:
        UserError: if a source is missing or a folder holds none.
    """
    found: set[Path] = set()
    for source in map(Path, sources):
        if source.is_dir():
            inside = ((path, path.relative_to(source).parts) for path in source.rglob("*.parquet"))
            here = [path for path, parts in inside if path.is_file() and not any(part.startswith(".") for part in parts)]
            if not here:
                raise UserError(f"--metadata {source}: no .parquet file in this folder or below; check the path")
            found.update(here)
        elif source.is_file():
            found.add(source)
        else:
            raise UserError(f"--metadata {source}: there is no such file or folder; check the path")
    return sorted(found)


def find_columns(names: Sequence[str], side: int, path: Path) -> Columns:
    """Say which columns to read.

    Args:
        names: of all columns of a table.
        side: short side in pixels that a photo should have; smaller sizes are ignored.
        path: to be named in an error.

    Raises:
        UserError: if there is no id or no address; the columns that there are are listed.
    """
    by_name = {name.lower(): name for name in names}

    def first(*wanted: str) -> str | None:
        return next((by_name[name] for name in wanted if name in by_name), None)

    photo, sizes = first("id", "photo_id", "photoid"), []
    for suffix, long in (*((f"_{size}", long) for size, long in SIZES.items()), ("_o", WHOLE), ("", WHOLE)):
        if (url := first(f"url{suffix}")) and long >= side:
            sizes.append(SizeColumns(url, first(f"width{suffix}"), first(f"height{suffix}"), long))
    if photo is None or not sizes:
        wanted = "id" if photo is None else f"url_m or another size of {side} pixels or more"
        raise UserError(f"{path}: no column {wanted}; its columns are {', '.join(names)}")
    return Columns(photo, tuple(sizes[:MOST]), first("license", "licence", "license_id"), first("owner", "owner_id", "nsid"))


def choose_url(row: dict[str, Any], columns: Columns, side: int) -> str | None:
    """The address of the smallest size whose short side is `side` or more, else of the largest; None if there is none.

    Where a table does not say how large a size is, a photo of 3:2 is assumed.
    """
    best = None
    for size in columns.sizes:
        url = row[size.url]
        if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
            continue  # a path, or bytes
        best = url
        sides = [_pixels(row[name]) for name in (size.width, size.height) if name]
        if (min(sides) if len(sides) == 2 and all(sides) else size.long * 2 / 3) >= side:
            break
    return best


def _pixels(value: object) -> float:
    """0 where a cell says no size."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0
