"""Image files in batches for a frozen encoder: each squared, and a file that cannot be read reported, not raised."""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from clicv2lite.data.images import ImageError, read_square


class Batch(NamedTuple):
    """What was read of one stretch of the paths."""

    rows: list[int]  # places in `paths` of the images below
    images: Tensor  # (len(rows), 3, S, S) uint8
    errors: dict[int, str]  # place in `paths` -> one line that names the file, for those that could not be read


def batches(paths: Sequence[Path], size: int, batch_size: int, label: str) -> Iterator[Batch]:
    """Read images in order, `batch_size` files at a time, with a progress bar (img/s) on a terminal's stderr.

    Args:
        paths: image files. size: side of the square that the encoder sees, in pixels.
        label: what the bar says.
    """
    with (
        ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool,
        tqdm(total=len(paths), desc=label, unit="img", disable=None, file=sys.stderr) as bar,
    ):
        for start in range(0, len(paths), batch_size):
            group = paths[start : start + batch_size]
            read = dict(enumerate(pool.map(_read, group, [size] * len(group)), start))
            good = {i: r for i, r in read.items() if isinstance(r, Tensor)}
            images = torch.stack(list(good.values())) if good else torch.empty(0, 3, size, size, dtype=torch.uint8)
            yield Batch(list(good), images, {i: r for i, r in read.items() if isinstance(r, str)})
            bar.update(len(group))


def _read(path: Path, size: int) -> Tensor | str:
    try:
        return read_square(path, size)
    except ImageError as error:
        return str(error)
