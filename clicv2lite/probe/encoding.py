"""Rated images to what a head reads, each encoded once by the frozen encoder (book chapter 8)."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from clicv2lite.arrays import Mask
from clicv2lite.data.batches import map_images
from clicv2lite.encoders.finite import check_finite
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError
from clicv2lite.heads.base import KINDS
from clicv2lite.models.model import read_by
from clicv2lite.probe.task import Task, keep_rows


def encode(encoder: FrozenEncoder, head: str, paths: Sequence[Path], batch_size: int) -> tuple[Tensor, Mask, list[str]]:
    """Encode every image once.

    Returns:
        (m, F) float32 features or (m, h, w, D) float16 tokens of the m images that could be read, as `head` reads them;
        (n,) which were read; the names of the others, each of which gets its line on stderr.

    Raises:
        UserError: if no image could be read, or if a feature or token is not finite.
    """

    def inputs(images: Tensor) -> Tensor:
        part = read_by(KINDS[head], encoder, images).cpu()
        return part.half() if head == "icnet" else part  # half the memory: 9,600 x 196 x 768 tokens are 2.9 GB

    found, read, skipped = map_images(inputs, paths, encoder.size, batch_size, "encoding")
    if not read.any():
        raise UserError(f"--ratings: none of the {len(paths)} rated images could be read; check the image column")
    check_finite(encoder, found.split(batch_size))
    return found, read, skipped


def encode_task(encoder: FrozenEncoder, head: str, task: Task, batch_size: int) -> tuple[Tensor, Task, list[str]]:
    """Encode every image of a task once.

    Returns:
        what `encode` gives of the images that could be read; the task on these; the names of the others.

    Raises:
        UserError: as `encode` and :func:`clicv2lite.probe.task.keep_rows`.
    """
    found, read, skipped = encode(encoder, head, task.paths, batch_size)
    return found, keep_rows(task, read), skipped


def encode_again(encoder: FrozenEncoder, head: str, task: Task, batch_size: int) -> Tensor:
    """What `encode` gives of a task whose images have all been read before.

    Raises:
        UserError: as `encode`, and if one of them cannot be read now: rows would no longer belong together.
    """
    found, _, failed = encode(encoder, head, task.paths, batch_size)
    if failed:
        raise UserError(f"--ratings: {failed[0]} could be read, and now it cannot; run the command again")
    return found
