"""`clicv2lite measures`: how far hand-crafted measures agree with people, one report a measure (book chapters 1 and 11)."""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from clicv2lite.arrays import Floats
from clicv2lite.baselines.measures.basic import Pixels, measure
from clicv2lite.baselines.measures.sets import SETS
from clicv2lite.data.batches import map_images
from clicv2lite.data.images import read_square
from clicv2lite.data.rated.table import Ratings
from clicv2lite.errors import UserError
from clicv2lite.files import put_json
from clicv2lite.outputs import add_json
from clicv2lite.probe.metrics import RESAMPLES, report
from clicv2lite.probe.task import Task, add_score_range, keep_rows, load_task
from clicv2lite.provenance import stamped


def agreement(
    values: Mapping[str, ArrayLike], scores: ArrayLike, categories: Sequence[str] | None, resamples: int = RESAMPLES
) -> dict[str, dict[str, Any]]:
    """Correlation of each measure with the scores: measure -> :func:`clicv2lite.probe.metrics.report`.

    Args:
        values: measure -> (n,) values, as :func:`clicv2lite.baselines.measures.basic.measure` returns them.
        scores: (n,) complexity of the same images. categories: (n,) names, or None.
        resamples: of the bootstrap intervals.
    """
    return {name: report(scores, value, categories, resamples) for name, value in values.items()}


def squares(ratings: Ratings, size: int) -> Iterator[Pixels]:
    """The rated images one by one, resized to (size, size, 3) uint8.

    Raises:
        ImageError: for an image that cannot be read.
    """
    for path in ratings.paths:
        yield read_square(path, size).permute(1, 2, 0).contiguous().numpy()


def add_measuring(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is measured."""
    parser.add_argument("--ratings", type=Path, required=True, help="rating table: CSV image,score[,category]")
    add_score_range(parser)
    parser.add_argument("--size", type=int, default=224, help="side to which every image is resized, pixels (224)")
    parser.add_argument("--set", choices=list(SETS), default="eight", help="which measures; all needs visual-clutter (eight)")


def check_size(size: int) -> None:
    """Raise UserError for a --size that is too small to measure."""
    if size < 16:
        raise UserError(f"--size {size}: the measures need at least 16 pixels a side")


def measure_task(task: Task, size: int, chosen: str) -> tuple[dict[str, Floats], Task, list[str]]:
    """Measure every image of a task at this side.

    Args:
        chosen: which set of measures.

    Returns:
        measure -> (m,) of the images that could be read; the task on these; the names of the others.

    Raises:
        UserError: if fewer than 2 could be read, or a measure needs a package that is not installed.
    """

    def values(images: Tensor) -> Tensor:  # (B, 3, S, S) uint8 -> (B, measures) float64
        found = measure(images.permute(0, 2, 3, 1).contiguous().numpy(), SETS[chosen])
        return torch.from_numpy(np.stack(list(found.values()), axis=1))

    found, read, skipped = map_images(values, task.paths, size, 32, "measuring")
    kept = keep_rows(task, read)
    return dict(zip(SETS[chosen], found.T.numpy(), strict=True)), kept, skipped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `measures`."""
    add_measuring(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure every image of a rating table and report the agreement; exit status 0.

    Raises:
        UserError: for a table that cannot be used, a size too small, or an output that cannot be written.
    """
    began = time.perf_counter()
    check_size(args.size)
    task = load_task(args.ratings, None, 5, args.score_range)
    values, task, skipped = measure_task(task, args.size, args.set)
    result = {
        "metric": "mean_pcc",
        "n": len(task.paths),
        "size": args.size,
        "measures": agreement(values, task.scores, task.categories),
        "skipped": skipped,
    }
    put_json(args.json, stamped(result, began))
    return 0
