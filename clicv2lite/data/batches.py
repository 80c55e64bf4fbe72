"""Image files in batches, each image squared; a file that cannot be read is reported, not raised."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from clicv2lite.arrays import Mask
from clicv2lite.data.images import ImageError, read_square
from clicv2lite.device import cores

Reader = Callable[[Path, int], Tensor]
"""A file and a side in pixels -> (3, side, side) uint8; ImageError if the file cannot be read."""


class ImageBatch(NamedTuple):
    """What was read of one stretch of the paths."""

    rows: list[int]  # which of the paths the images below are
    images: Tensor  # (len(rows), 3, S, S) uint8
    errors: dict[int, str]  # which path could not be read -> one line that names the file


def batches(
    paths: Sequence[Path], size: int, batch_size: int, label: str, reader: Reader = read_square
) -> Iterator[ImageBatch]:
    """Read images in order, `batch_size` files at a time, with a progress bar (img/s) on a terminal's stderr.

    Args:
        paths: image files. size: side of the square that the encoder sees, in pixels.
        label: what the bar says. reader: how a file becomes a square.
    """
    with (
        ThreadPoolExecutor(max_workers=min(16, cores())) as pool,
        tqdm(total=len(paths), desc=label, unit="img", disable=None, file=sys.stderr) as bar,
    ):
        for start in range(0, len(paths), batch_size):
            group = paths[start : start + batch_size]
            read = dict(enumerate(pool.map(partial(_read, reader), group, [size] * len(group)), start))
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
            tqdm.write(f"clicv2lite: {error} (skipped)", file=sys.stderr)
            skipped.append(str(paths[i]))
        if batch.rows:
            parts.append(work(batch.images))
            read[batch.rows] = True
    if skipped:
        print(f"clicv2lite: {len(skipped)} of {len(paths)} images skipped", file=sys.stderr)
    return torch.cat(parts[1:] or parts), read, skipped


def read_squares(paths: Sequence[Path], size: int) -> tuple[Tensor, Mask, list[str]]:
    """The images themselves, (m, 3, size, size) uint8; see `map_images`."""
    return map_images(lambda images: images, paths, size, 64, "reading")


def _read(reader: Reader, path: Path, size: int) -> Tensor | str:
    try:
        return reader(path, size)
    except ImageError as error:
        return str(error)
