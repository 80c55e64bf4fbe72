"""Parquet parts of a run on several machines: what each is made of, and which are finished (book chapter 12).

A part is written whole or not at all, and says in its own header which images it is of, by their names and sizes, and which
model. So a later run has to know no more than what stands in the folder.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clicv2lite.data.identity import identity as listing
from clicv2lite.data.names import PackedNames, is_tar_name
from clicv2lite.data.parts import Files
from clicv2lite.data.sources import ImageSet
from clicv2lite.data.tars.remote import is_address
from clicv2lite.errors import UserError, one_line
from clicv2lite.extras import extra
from clicv2lite.files import atomic, remove_leftovers, shortened
from clicv2lite.interrupts import Threads
from clicv2lite.models.model import Model
from clicv2lite.models.norms import Norms, fingerprint
from clicv2lite.score.arguments import ImageRow, check_any, members, rows_of
from clicv2lite.score.columns import COLUMNS
from clicv2lite.score.table import cells

FILES = 1000  # image files in one part; a tar is one part, however many it holds
READERS = 16  # headers read at once: on a shared disk each is a request
NUMBERS = ("score", "percentile", "uncertainty")
HEADER = b"clicv2lite"  # key of a part's own description, in the metadata of its schema


@dataclass(frozen=True)
class Part:
    """One file of scores to be."""

    path: Path
    source: str  # what its images were, and which of them; of a tar that is not opened yet, its name
    rows: tuple[ImageRow, ...] | None = None  # None: those of the tar, which is opened where it is scored

    def opened(self) -> "Part":
        """The part with its rows, and a source that says which images they are.

        Raises:
            UserError: if the tar is gone, damaged or without images.
        """
        if self.rows is not None:
            return self
        rows = members(self.source)
        if (images := rows[0].archive) is None:
            raise UserError(rows[0].error or "")
        return replace(self, source=f"{self.source} ({_which(images)})", rows=tuple(rows))


def plan(arguments: Sequence[str], out: Path) -> list[Part]:
    """The parts that images are scored in: a tar is one, named after it; image files are taken by the thousand.

    The parts of a folder have its name and a number, those of files that were named one by one `images` and a number.

    Args:
        arguments: from `expand`.

    Raises:
        UserError: if a tar is missing, two parts would have one name, or there is no image.
    """
    parts: list[Part] = []
    files: list[str] = []
    for argument in arguments:
        if os.path.isdir(argument):
            name = Path(argument).resolve().name or "root"
            parts += _by_the_thousand(out, name, argument, rows_of([argument]))
        elif is_tar_name(argument):
            parts.append(Part(out / f"{shortened(Path(argument).stem)}.parquet", argument))
        else:
            files.append(argument)
    if files:
        parts += _by_the_thousand(out, "images", "images", rows_of(files))
    if tars := [part.source for part in parts if part.rows is None]:
        _check_there(tars)
    else:
        check_any([row for part in parts for row in part.rows or ()], arguments)
    taken: dict[str, Part] = {}
    for part in parts:
        other = taken.setdefault(part.path.name.casefold(), part)
        if other is not part:
            both = f"{one_line(other.source)} and {one_line(part.source)}"
            raise UserError(f"--out {out}: {both} would both be {part.path.name}; score them into two folders")
    return parts


def finished(parts: Sequence[Part], out: Path, model: str) -> dict[str, dict[str, Any]]:
    """The parts that stand in the folder: name -> header. Temporary files of a killed run are removed.

    Args:
        model: from `identity`.

    Raises:
        UserError: if a part is of other images or of another model, or its tar cannot be read.
    """
    remove_leftovers(out, lambda name: name.endswith(".parquet"))
    names = set(os.listdir(out))
    there = [part for part in parts if part.path.name in names]
    with Threads(READERS) as threads:
        headers = list(threads.map(lambda part: read_header(part.path), there))
        sources = list(threads.map(lambda part: part.opened().source, there))  # workers kept the indexes of the tars
    for part, header, source in zip(there, headers, sources, strict=True):
        if header["model"] != model:
            raise UserError(f"--out {out}: {part.path.name} is of another model or norms; name another folder")
        if header["source"] != source:
            advice = "name another folder, or remove the parts of that name"
            raise UserError(f"--out {out}: {part.path.name} is of {header['source']}, not of {source}; {advice}")
    return {part.path.name: header for part, header in zip(there, headers, strict=True)}


def identity(model: Model, norms: Norms | None) -> str:
    """What the numbers of a part depend on besides its images: 16 digits of the model, and 16 of its norms."""
    if norms is None:
        return fingerprint(model.head)
    arrays = [norms.quantiles, *(array for array in (norms.edges, norms.half) if array is not None)]
    return f"{fingerprint(model.head)} {hashlib.sha256(b' '.join(array.tobytes() for array in arrays)).hexdigest()[:16]}"


def write_part(part: Part, rows: Sequence[ImageRow], norms: Norms | None, header: dict[str, Any]) -> None:
    """Write the rows with the columns of `clicv2lite score --csv`; what is empty there is null.

    Args:
        header: about the part, with `source` and `model`.

    Raises:
        OSError: if it cannot be written.
    """
    with extra("ray", "--engine ray"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    columns = dict(zip(COLUMNS, zip(*(cells(row, norms) for row in rows), strict=True), strict=True))
    arrays = []
    for name in COLUMNS:
        read, kind = (float, pa.float64()) if name in NUMBERS else (str, pa.string())
        arrays.append(pa.array([read(cell) if cell else None for cell in columns[name]], kind))
    table = pa.table(arrays, names=COLUMNS).replace_schema_metadata({HEADER: json.dumps(header).encode()})
    with atomic(part.path) as temporary:
        pq.write_table(table, temporary)


def read_header(path: Path) -> dict[str, Any]:
    """What a part says about itself: `source`, `model`, `images`, `failed`.

    Raises:
        UserError: if the file is no such part.
    """
    with extra("ray", "--engine ray"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        found = json.loads((pq.read_schema(path).metadata or {})[HEADER])
        return {key: found[key] for key in ("source", "model", "images", "failed")}
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError):
        raise UserError(
            f"--out {path}: this is no part that clicv2lite score wrote; remove it or name another folder"
        ) from None


def _by_the_thousand(out: Path, name: str, what: str, rows: Sequence[ImageRow]) -> Iterator[Part]:
    # every part carries the digest of the whole list: with one image more or less, each would hold other ones
    listed = _which(ImageSet([Files(os.curdir, PackedNames(row.image for row in rows))]))
    for number, start in enumerate(range(0, len(rows), FILES)):
        some = tuple(rows[start : start + FILES])
        yield Part(out / f"{shortened(name)}-{number:05d}.parquet", f"{what} ({listed}) from {start} on", some)


def _which(images: ImageSet) -> str:
    return f"{len(images)} images, {listing(images)[:16]}"


def _check_there(tars: Sequence[str]) -> None:
    missing = [tar for tar in tars if not is_address(tar) and not os.path.exists(tar)]
    if missing:
        count = f" ({len(missing)} of {len(tars)} are missing)" if len(tars) > 1 else ""
        raise UserError(f"{missing[0]}: there is no such tar{count}; correct the name or the range, or fetch it")
