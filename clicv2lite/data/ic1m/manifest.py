"""The manifest of a downloaded set: one line a photo, enough to cite the set and to build it again.

It holds no path and no time, so two builds from the same bytes have the same manifest, and its SHA-256 names the set.
"""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from clicv2lite.data.names import as_cell, from_cell
from clicv2lite.errors import UserError
from clicv2lite.files import digest, write_table


@dataclass(frozen=True, slots=True)
class Photo:
    """One line of the manifest, in the order of the draw."""

    id: str
    url: str
    licence: str = ""  # as the metadata have it
    owner: str = ""
    # ok; gone (404), disallowed (the site says noai), error, refused (403, 429, 5xx), unreachable; unusable (no image, or
    # a damaged one), duplicate (the bytes of a photo before it); after a re-build also changed
    status: str = ""
    sha256: str = ""  # of the bytes as they were downloaded; with their number and the upright size:
    bytes: str = ""
    width: str = ""
    height: str = ""
    shard: str = ""  # tar that holds the small JPEG,
    key: str = ""  # its name there without .jpg,
    packed_sha256: str = ""  # and its SHA-256
    error: str = ""


FIELDS = tuple(field.name for field in fields(Photo))


def write_manifest(path: Path, photos: Iterable[Photo]) -> str:
    """Write a manifest as CSV, atomically.

    Returns:
        The SHA-256 of the file.
    """
    write_table(path, FIELDS, (map(as_cell, asdict(photo).values()) for photo in photos))
    return digest(path)


def read_manifest(path: Path) -> list[Photo]:
    """Read what `write_manifest` wrote.

    Raises:
        UserError: if the file is missing or is not such a table, or if a line of it is incomplete.
    """
    photos = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in (table := csv.DictReader(file)):
                missing = [name for name in FIELDS if row.get(name) is None]
                if missing or None in row:
                    what = f"no {missing[0]}" if missing else "too many cells"
                    raise UserError(f"--manifest {path} line {table.line_num}: {what}; the columns are {','.join(FIELDS)}")
                photos.append(Photo(**{name: from_cell(row[name]) for name in FIELDS}))
                if photos[-1].status == "ok" and not _is_whole(photos[-1]):
                    raise UserError(f"--manifest {path} line {table.line_num}: an image without url, sha256 or key")
    except FileNotFoundError:
        raise UserError(f"--manifest {path}: there is no such file; check the path") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--manifest {path}: cannot be read ({error}); give the manifest.csv of a build") from None
    if not any(photo.status == "ok" for photo in photos):
        raise UserError(f"--manifest {path}: it lists no image; give the manifest.csv of a build")
    return photos


def _is_whole(photo: Photo) -> bool:
    return bool(photo.url) and len(photo.sha256) == 64 and photo.key.isdecimal()
