"""`clicv2lite handcrafted`: ridge on all hand-crafted measures at once, which learning must beat (book chapter 11)."""

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from clicv2lite.arrays import Floats
from clicv2lite.baselines.measures.agreement import add_measuring, check_size, measure_task
from clicv2lite.baselines.measures.sets import SETS
from clicv2lite.device import add_device, choose_device
from clicv2lite.errors import check_seed
from clicv2lite.files import put_json
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.models.by_name import load_encoder
from clicv2lite.outputs import add_json
from clicv2lite.probe.crossval import cross_validate, folds
from clicv2lite.probe.encoding import encode_again
from clicv2lite.probe.metrics import RESAMPLES, report
from clicv2lite.probe.task import add_within_categories, groups, load_task
from clicv2lite.provenance import stamped


def predict_by_measures(
    values: Mapping[str, ArrayLike],
    scores: ArrayLike,
    categories: Sequence[str] | None,
    k: int = 5,
    seed: int = 0,
    within: bool = False,
) -> Floats:
    """Predict every score by a ridge on the measures that was fitted on the other folds, as ``probe`` does with features.

    Args:
        values: measure -> (n,) values, as :func:`clicv2lite.baselines.measures.basic.measure` returns them.
        scores: (n,). categories: (n,) names, or None; they part the folds and are no input of the ridge.
        k: number of folds. seed: of their shuffling; the same folds as ``probe --seed``.
        within: fit differences within categories, as ``probe --within-categories``.

    Returns:
        (n,) predictions.

    Raises:
        UserError: if there are fewer than 2 images a fold.
    """
    target = np.asarray(scores, dtype=np.float64)
    features = torch.from_numpy(np.stack([np.asarray(value, dtype=np.float64) for value in values.values()], axis=1))
    return cross_validate(
        fit_ridge, features, target, folds(len(target), k, categories, seed), groups(within, categories, "the table")
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `handcrafted`."""
    add_measuring(parser)
    parser.add_argument("--seed", type=int, default=0, help="of folds and bootstrap (0)")
    add_within_categories(parser)
    parser.add_argument("--encoder", metavar="E", help="add the pooled features of this encoder, named as for `probe`")
    add_device(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure every image, cross-validate the ridge, report as ``probe`` does; exit status 0.

    Raises:
        UserError: for a table that cannot be used, a size too small, or an output that cannot be written.
    """
    began = time.perf_counter()
    check_size(args.size)
    check_seed(args.seed)
    task = load_task(args.ratings, None, 5, args.score_range, args.within_categories)
    tests = folds(len(task.paths), 5, task.categories, args.seed)  # refuses too few images before the long part
    device = choose_device(args.device)
    encoder = load_encoder(args.encoder, args.seed).to(device) if args.encoder else None
    values, task, skipped = measure_task(task, args.size, args.set)
    if encoder:
        features = encode_again(encoder, "ridge", task, 32)
        values |= {f"feature {i}": column for i, column in enumerate(features.T.numpy())}
    predictions = predict_by_measures(values, task.scores, task.categories, 5, args.seed, args.within_categories)
    result: dict[str, Any] = report(task.scores, predictions, task.categories, RESAMPLES, args.seed) | {
        "head": "ridge",
        "within_categories": args.within_categories,
        "measures": list(SETS[args.set]),
        "encoder": args.encoder,
        "size": args.size,
        "evaluation": "cross-validation",
        "folds": len(tests),
        "skipped": skipped,
        "seed": args.seed,
    }
    put_json(args.json, stamped(result, began, device if encoder else None))
    return 0
