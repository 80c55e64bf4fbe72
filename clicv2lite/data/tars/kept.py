"""Where the images of a tar lie, kept between runs: a start with 1,500 shards reads 1,500 small files, and no header.

The indexes lie in the cache folder, one for each tar, and are valid as long as the tar has the size and the time stamp (or
the server's version) that it had. Any other file at that path is ignored, and replaced.
"""

import hashlib
import io
import json
import os
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clicv2lite.data.cache import cache_dir
from clicv2lite.data.formats import readable_endings
from clicv2lite.data.names import PackedNames
from clicv2lite.files import write_bytes

SETTLED = 2.0  # seconds: a tar that was written later may change again within one tick of the file system's clock


@dataclass(frozen=True, eq=False)
class TarIndex:
    """The image members of a tar, in its order."""

    names: PackedNames
    starts: NDArray[np.int64]  # (n,) where each member's bytes begin
    sizes: NDArray[np.int64]  # (n,) how many there are
    passed: Counter[str]  # ending -> how many members may be images and are not read


def load(address: str, size: int, mark: str) -> TarIndex | None:
    """The index kept for the tar of `size` bytes and version `mark` at `address`; None if there is none that fits."""
    try:
        with np.load(_file(address), allow_pickle=False) as file:
            if str(file["version"]) != _version(size, mark):
                return None
            passed = Counter[str](json.loads(str(file["passed"])))
            starts, sizes = file["starts"], file["sizes"]
            names = file["names"].tobytes().split(b"\0")
    except (OSError, ValueError, TypeError, AttributeError, KeyError, EOFError, zipfile.BadZipFile):
        # none, or damaged: the zip holds checksums
        return None
    if not len(names) == len(starts) == len(sizes) or (starts + sizes).max(initial=0) > size:
        return None
    return TarIndex(PackedNames(map(os.fsdecode, names)), starts, sizes, passed)


def keep(address: str, size: int, mark: str, index: TarIndex) -> None:
    """Keep an index for `load`; where the folder cannot be written to, nothing happens."""
    names = b"\0".join(os.fsencode(index.names[i]) for i in range(len(index.names)))
    buffer = io.BytesIO()
    version, packed = np.array(_version(size, mark)), np.frombuffer(names, np.uint8)
    passed = np.array(json.dumps(index.passed))
    np.savez(buffer, version=version, names=packed, starts=index.starts, sizes=index.sizes, passed=passed)
    path = _file(address)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, buffer.getvalue())
    except OSError:
        return


def _version(size: int, mark: str) -> str:
    endings = hashlib.sha256(" ".join(sorted(readable_endings())).encode()).hexdigest()[:16]  # they say which members count
    return f"{size} {endings} {mark}"


def settled(modified: float) -> bool:
    """Whether a local file's time stamp is old enough to tell its content from any later one."""
    return time.time() - modified > SETTLED


def _file(address: str) -> Path:
    return cache_dir() / "tars" / f"{hashlib.sha256(os.fsencode(address)).hexdigest()[:32]}.npz"
