"""`clicv2lite measures`: how far hand-crafted measures agree with people, one report a measure (book chapters 1 and 11)."""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from tqdm import tqdm

from clicv2lite.arrays import Floats
from clicv2lite.baselines.measures.basic import Pixels, measure
from clicv2lite.baselines.measures.sets import SETS
from clicv2lite.data.images import read_square
from clicv2lite.data.rated.table import Ratings, read_ratings
from clicv2lite.errors import UserError
from clicv2lite.files import put_json
from clicv2lite.outputs import add_json
from clicv2lite.probe.metrics import RESAMPLES, report
from clicv2lite.probe.task import add_score_range
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


def measured(ratings: Ratings, size: int, chosen: str) -> dict[str, Floats]:
    """Each measure of a set, of every rated image at this side: measure -> (n,). ImageError for one that cannot be read."""
    return measure(tqdm(squares(ratings, size), "measuring", len(ratings), unit="img", disable=None), SETS[chosen])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `measures`."""
    add_measuring(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure every image of a rating table and report the agreement; exit status 0.

    Raises:
        UserError: for a table or an image that cannot be used, a size too small, or an output that cannot be written.
    """
    began = time.perf_counter()
    check_size(args.size)
    ratings = read_ratings(args.ratings, args.score_range)
    values = measured(ratings, args.size, args.set)
    result = {
        "metric": "mean_pcc",
        "n": len(ratings),
        "size": args.size,
        "measures": agreement(values, ratings.scores, ratings.categories),
    }
    put_json(args.json, stamped(result, began))
    return 0
