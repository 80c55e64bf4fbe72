"""Image files in batches, each image squared; a file that cannot be read is reported, not raised."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from clicv2lite.arrays import Mask
from clicv2lite.data.images import ImageError, read_square
from clicv2lite.device import cores
from clicv2lite.interrupts import Threads
from clicv2lite.lines import Notes, progress, say


class Reader(Protocol):
    """How a file becomes a square."""

    def __call__(self, source: Path, size: int, /, *, note: Callable[[str], object] | None) -> Tensor:
        """A file and a side in pixels -> (3, side, side) uint8; `note` as in `read_square`; ImageError if it cannot be read."""


class ImageBatch(NamedTuple):
    """What was read of one stretch of the paths."""

    rows: list[int]  # which of the paths the images below are
    images: Tensor  # (len(rows), 3, S, S) uint8
    errors: dict[int, str]  # which path could not be read -> one line that names the file


def batches(
    paths: Sequence[Path], size: int, batch_size: int, label: str, reader: Reader = read_square
) -> Iterator[ImageBatch]:
    """Read images in order, `batch_size` files at a time, with a progress bar (img/s) on stderr.

    Args:
        paths: image files. size: side of the square that the encoder sees, in pixels.
        label: what the bar says. reader: how a file becomes a square.
    """
    with (
        Threads(min(16, cores())) as threads,
        progress(len(paths), label) as bar,
        closing(Notes()) as note,
    ):
        for start in range(0, len(paths), batch_size):
            group = paths[start : start + batch_size]
            read = dict(enumerate(threads.map(partial(_read, reader, size=size, note=note), group), start))
            good = {i: r for i, r in read.items() if isinstance(r, Tensor)}
            images = torch.stack(list(good.values())) if good else torch.empty(0, 3, size, size, dtype=torch.uint8)
            yield ImageBatch(list(good), images, {i: r for i, r in read.items() if isinstance(r, str)})
            bar.update(len(group))


def map_images(
    work: Callable[[Tensor], Tensor],
    paths: Sequence[Path],
    size: int,
    batch_size: int,
    label: str,
    reader: Reader = read_square,
) -> tuple[Tensor, Mask, list[str]]:
    """What `work` makes of every image that can be read; each of the others is one line on stderr.

    Args:
        work: (B, 3, size, size) uint8 -> (B, ...). Others as in `batches`.

    Returns:
        (m, ...) of the m images that could be read, all in memory, (0,) if there is none; (n,) which were read; the names of
        the others.
    """
    parts, read, skipped = [torch.empty(0)], np.zeros(len(paths), dtype=bool), []
    for batch in batches(paths, size, batch_size, label, reader):
        for i, error in batch.errors.items():
            say(f"{error} (skipped)")
            skipped.append(str(paths[i]))
        if batch.rows:
            parts.append(work(batch.images))
            read[batch.rows] = True
    if skipped:
        say(f"{len(skipped)} of {len(paths)} images skipped")
    return torch.cat(parts[1:] or parts), read, skipped


def read_squares(paths: Sequence[Path], size: int) -> tuple[Tensor, Mask, list[str]]:
    """The images themselves, (m, 3, size, size) uint8; see `map_images`."""
    return map_images(lambda images: images, paths, size, 64, "reading")


def _read(reader: Reader, path: Path, size: int, note: Notes) -> Tensor | str:
    try:
        return reader(path, size, note=note)
    except ImageError as error:
        return str(error)
