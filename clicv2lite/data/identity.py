"""Whether a set of images is the one of before: a digest of its listing, for `data pack` and `pretrain --resume`."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from clicv2lite.data.parts import Embedded, Files, Part, Worlds
from clicv2lite.data.sources import REQUESTS, ImageSet
from clicv2lite.data.tars.index import TarImages
from clicv2lite.interrupts import Threads

AT_ONCE = 1024  # files that a thread asks the size of in one task


def listing_digest(lines: Iterable[str]) -> str:
    """SHA-256, hexadecimal, of a listing of images in its order, one line each."""
    found = hashlib.sha256()
    for line in lines:
        found.update(line.encode("utf-8", "surrogateescape") + b"\0")
    return found.hexdigest()


def identity(images: ImageSet) -> str:
    """Digest of the name of each image below its source, and of its size, in order.

    It stays the same when the data are moved as a whole. It takes seconds for a million images: the indexes of tars know the
    sizes, and each file is asked for its size once. Nothing is read.
    """
    return listing_digest(line for part in images.parts for line in _listing(part))


def _listing(part: Part) -> Iterator[str]:
    match part:
        case TarImages(index=index):
            names = (index.names[i] for i in range(len(index.names)))
            return (f"{name}\t{size}" for name, size in zip(names, index.sizes.tolist(), strict=True))
        case Files():
            return _files(part)
        case Embedded(files=files):
            return (f"{name}\t{size_of(path)}" for name, path in files)
        case Worlds(recipes=recipes):
            return (f"{category}\t{level!r}\t{seed}" for category, level, seed in recipes)
        case _:
            return (part.name(i) for i in range(len(part)))


def _files(part: Files) -> Iterator[str]:
    def sizes(start: int) -> list[int]:
        return [size_of(part.name(i)) for i in range(start, min(len(part), start + AT_ONCE))]

    with Threads(REQUESTS) as threads:  # a file system over a network answers many at once
        found = (size for some in threads.map(sizes, range(0, len(part), AT_ONCE)) for size in some)
        for i, size in enumerate(found):
            yield f"{part.paths[i] if part.root else os.path.basename(part.paths[i])}\t{size}"


def size_of(path: str | Path) -> int:
    """Bytes of a file; -1 if it is gone, or no file can have its name."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return -1
