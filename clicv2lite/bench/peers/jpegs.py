"""The JPEGs of `clicv2lite bench` as files and as tars, for both sides of a comparison."""

import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from clicv2lite.bench.inputs import photographs_as_jpeg
from clicv2lite.data.packing.shards import add_member

COPIES, TARS = 4, 2  # of each JPEG; a tar for each worker


class Stored(NamedTuple):
    """Where the same images lie twice."""

    folder: Path
    tars: list[str]
    what: str  # which images
    whole: tempfile.TemporaryDirectory[str]  # removed with this process


@cache
def stored() -> Stored:
    """Write them, once in a process."""
    whole = tempfile.TemporaryDirectory(prefix="clicv2lite-peers-")
    folder, tars = Path(whole.name) / "files", [f"{whole.name}/{i:06d}.tar" for i in range(TARS)]
    folder.mkdir()
    files, what = photographs_as_jpeg()
    files = files * COPIES
    for t, path in enumerate(tars):
        with tarfile.open(path, "w") as tar:
            for i in range(t, len(files), TARS):
                name = f"{i:06d}.jpg"
                (folder / name).write_bytes(files[i])
                add_member(tar, name, files[i])
    return Stored(folder, tars, f"{len(files)} JPEGs ({what})", whole)
