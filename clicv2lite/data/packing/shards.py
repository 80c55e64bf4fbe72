"""One image made small, and a tar of such images: what `clicv2lite data pack` does a thousand times (book chapter 10).

The tars are plain ustar: one header block of 512 bytes before each member, no extended headers, every time stamp and
owner zero. So a reader needs only where each member begins, and the same images give the same bytes.
"""

import csv
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

from PIL import Image

from clicv2lite.data.budget import PIXELS
from clicv2lite.data.images import ImageError, read_image
from clicv2lite.data.names import as_cell, as_text, from_cell
from clicv2lite.data.pillow import header
from clicv2lite.data.rgb import REDUCING_GAP, orientation
from clicv2lite.files import atomic, write_table

FILTER = Image.Resampling.LANCZOS  # antialiased; a large JPEG is first decoded near twice the size that is wanted


MADE = "#mosaic-"  # in a name: between that of an image and that of the picture made of it
Make = Callable[[bytes, str], Image.Image]  # bytes and name of an image -> another picture


class Images(Protocol):
    """What can be packed: `about` adds to each image's JSON; `make` makes another picture of its bytes, if not None."""

    def __len__(self) -> int: ...
    def __hash__(self) -> int: ...
    def name(self, i: int) -> str: ...
    def read(self, i: int) -> bytes: ...
    def about(self, i: int) -> dict[str, str]: ...
    def make(self, i: int) -> Make | None: ...


@dataclass(frozen=True)
class Small:
    """An image as it is packed."""

    data: bytes  # JPEG
    width: int
    height: int
    source_width: int  # upright, as `read_image` sees it
    source_height: int


@dataclass(frozen=True, slots=True)
class ShardRow:
    """One line of a manifest."""

    id: str  # the key: number of the image in its source, nine digits
    name: str
    sha256: str = ""  # of the bytes in the shard
    width: str = ""
    height: str = ""
    shard: str = ""  # 000012.tar
    status: str = "ok"  # or failed
    error: str = ""
    source_sha256: str = ""  # of the bytes that were read, also of a file that is no image
    source_bytes: str = ""
    source_width: str = ""
    source_height: str = ""


class _NoImage(Exception):
    """No image of a shard could be used."""


FIELDS = tuple(field.name for field in fields(ShardRow))


def small_jpeg(data: bytes, name: str, side: int, quality: int, make: Make | None = None) -> Small:
    """Make the short side of an image `side` pixels long; its aspect ratio stays, and nothing is enlarged.

    A gray or RGB JPEG that is upright and small enough is decoded, to check that it is whole, and kept byte for byte.
    Anything else is resized with a Lanczos filter and written as a JPEG of `quality` with 4:2:0 chroma.

    Args:
        make: makes another picture of the bytes, which is packed instead of the image.

    Raises:
        ImageError: as `read_image`.
    """
    with PIXELS.hold():
        return _small(data, name, side, quality, make)


def _small(data: bytes, name: str, side: int, quality: int, make: Make | None) -> Small:
    image = make(data, name) if make else read_image(data, name, at_least=round(side * REDUCING_GAP))
    kind, mode, (width, height), turned = _header(data, name.rpartition(MADE)[0] if make else name)
    if turned >= 5:  # EXIF: lies on its side
        width, height = height, width
    whole = image.size if make else (width, height)  # `read_image` may have decoded it smaller
    if min(whole) > side:
        scale = side / min(whole)
        size = max(side, round(whole[0] * scale)), max(side, round(whole[1] * scale))
        image = image.resize(size, FILTER, reducing_gap=REDUCING_GAP)
    elif not make and kind == "JPEG" and mode in ("RGB", "L") and turned == 1:
        return Small(data, width, height, width, height)
    buffer = io.BytesIO()
    try:
        image.save(buffer, "JPEG", quality=quality, comment=b"")  # Pillow would copy that of the file, which may be too long
    except OSError as error:  # JPEG ends at 65,535 pixels a side
        raise ImageError(f"{name}: {image.width} x {image.height} cannot be a JPEG ({error}); crop it first") from None
    return Small(buffer.getvalue(), *image.size, width, height)


def write_shard(images: Images, which: range, path: Path, side: int, quality: int) -> Iterator[ShardRow]:
    """Write images `which` into the tar `path` (whole or not at all), yielding a row for each as it is done.

    If none of them is good, no tar is written: one without images is an error to every reader.
    """
    good = False
    with suppress(_NoImage), atomic(path) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for i in which:
                row, small = _packed(images, i, path.name, side, quality)
                if small is not None:
                    good = True
                    add_member(tar, f"{row.id}.jpg", small.data)
                    add_member(tar, f"{row.id}.json", _about(row, small, images.about(i)))
                yield row
        if not good:
            raise _NoImage  # makes `atomic` take the file back


def write_rows(path: Path, rows: list[ShardRow]) -> None:
    """Write the manifest of one shard as CSV, atomically."""
    write_table(path, FIELDS, ([as_cell(value, path=key == "name") for key, value in asdict(row).items()] for row in rows))


def read_rows(path: Path) -> Iterator[ShardRow]:
    """The rows of a manifest that `write_rows` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield ShardRow(**{key: from_cell(value, path=key == "name") for key, value in row.items()})


def is_done(images: Images, which: range, tar: Path, piece: Path, side: int, quality: int) -> bool:
    """Whether an earlier run made the shard of images `which`, and its manifest `piece`.

    Its tar is whole, and what failed then is the same file as then and fails again: a plugin may be installed by now.
    """
    rows = list(read_rows(piece)) if piece.exists() else []
    failed = [(i, row) for i, row in zip(which, rows, strict=False) if row.status != "ok"]
    again = ((row, _packed(images, i, tar.name, side, quality)[0]) for i, row in failed)
    has_tar = len(failed) < len(rows)  # one without images is not written
    return (
        bool(rows)
        and (not has_tar or _is_whole(tar))
        and not any(new.status == "ok" or new.source_sha256 != old.source_sha256 for old, new in again)
    )


def _is_whole(tar: Path) -> bool:
    """Whether a tar is there to its end, which is two blocks of zeros in a whole record."""
    try:
        with tar.open("rb") as file:
            file.seek(-2 * tarfile.BLOCKSIZE, os.SEEK_END)
            return not any(file.read()) and file.tell() % tarfile.RECORDSIZE == 0
    except OSError:  # gone, or shorter than that
        return False


def _packed(images: Images, i: int, shard: str, side: int, quality: int) -> tuple[ShardRow, Small | None]:
    key, name = f"{i:09d}", images.name(i)
    source: dict[str, str] = {}
    try:
        data = images.read(i)
        source = {"source_sha256": hashlib.sha256(data).hexdigest(), "source_bytes": str(len(data))}
        small = small_jpeg(data, name, side, quality, images.make(i))
    except ImageError as error:
        return ShardRow(key, as_text(name), status="failed", error=str(error), **source), None
    source |= {"source_width": str(small.source_width), "source_height": str(small.source_height)}
    sha256 = hashlib.sha256(small.data).hexdigest()
    return ShardRow(key, as_text(name), sha256, str(small.width), str(small.height), shard, **source), small


def _about(row: ShardRow, small: Small, more: dict[str, str]) -> bytes:
    source = {"sha256": row.source_sha256, "bytes": int(row.source_bytes)}
    source |= {"width": small.source_width, "height": small.source_height}
    about = {"id": row.id, "name": row.name, "sha256": row.sha256, "bytes": len(small.data)}
    about |= {"width": small.width, "height": small.height, "source": source, **more}
    return json.dumps(about, ensure_ascii=False).encode()


def _header(data: bytes, name: str) -> tuple[str | None, str, tuple[int, int], int]:
    """Format, mode, size as stored, and EXIF orientation of an image that is known to be good."""
    with header(data, name) as image:
        return image.format, image.mode, image.size, orientation(image)


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Append a file to a tar that is open for writing; the same data gives the same bytes, whenever and by whomever."""
    member = tarfile.TarInfo(name)  # time stamp and owner are 0
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
