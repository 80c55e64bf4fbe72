"""`clicv2lite label-curve`: how many ratings of one's own a head needs, on frozen features (book chapter 12)."""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from clicv2lite.arrays import Names
from clicv2lite.device import add_device, choose_device
from clicv2lite.errors import UserError, check_seed
from clicv2lite.files import put_json
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.models.by_name import ENCODERS, load_encoder
from clicv2lite.outputs import add_json
from clicv2lite.probe.encoding import encode_task
from clicv2lite.probe.metrics import or_none, pcc
from clicv2lite.probe.task import Task, add_score_range, load_task
from clicv2lite.provenance import stamped

COUNTS, DRAWS, LEFT = (5, 10, 20, 50, 100), 12, 40


def label_curve(
    features: Tensor, scores: ArrayLike, counts: Sequence[int] = COUNTS, draws: int = DRAWS, seed: int = 0
) -> dict[int, list[float]]:
    """PCC of a ridge that was fitted on a few random images, with the scores of all others.

    Args:
        features: (n, F). scores: (n,).
        counts: how many images to fit on; those that leave fewer than 40 to test on are left out.
        draws: random choices of images for each count. seed: of these choices.

    Returns:
        Number of images fitted on -> ``draws`` correlations; nan where the scores fitted on, or those tested on, are all equal.
    """
    target, rng = np.asarray(scores, dtype=np.float64), np.random.default_rng(seed)
    curve: dict[int, list[float]] = {}
    for count in counts:
        if count + LEFT > len(target):
            continue
        curve[count] = []
        for _ in range(draws):
            some, rest = np.split(rng.permutation(len(target)), [count])
            head = fit_ridge(features[some], target[some])
            curve[count].append(pcc(target[rest], head.predict(features[rest])))
    return curve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `label-curve`."""
    parser.add_argument("--encoder", required=True, metavar="E", help=ENCODERS)
    parser.add_argument("--ratings", required=True, metavar="CSV", help="rating table image,score[,category]")
    add_score_range(parser)
    add_device(parser)
    add_json(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the choices of images, and of a random encoder (default 0)")


def run(args: argparse.Namespace) -> int:
    """Encode the images of a rating table, and draw a curve within each category; exit status 0.

    A correlation that is not defined is null in the file.

    Raises:
        UserError: for a table, an encoder or an image that cannot be used, or an output that cannot be written.
    """
    began = time.perf_counter()
    check_seed(args.seed)
    device = choose_device(args.device)
    task = load_task(args.ratings, None, None, args.score_range)
    _check_size(task, args.ratings)
    encoder = load_encoder(args.encoder, args.seed).to(device)
    features, task, skipped = encode_task(encoder, "ridge", task, batch_size=32)
    kinds = _check_size(task, args.ratings)
    result: dict[str, Any] = {"metric": "pcc", "encoder": args.encoder, "draws": DRAWS, "per_category": {}}
    for kind in sorted(set(kinds)):
        rows = np.flatnonzero(kinds == kind)
        if curve := label_curve(features[rows], task.scores[rows], seed=args.seed):
            stored = {str(count): [or_none(value) for value in found] for count, found in curve.items()}
            result["per_category"][kind] = {"n": len(rows), "curve": stored}
    put_json(args.json, stamped(result | {"skipped": skipped, "seed": args.seed}, began, device))
    return 0


def _check_size(task: Task, table: str) -> Names:
    """The category of each image; a table without categories is one."""
    kinds = np.array(task.categories or [""] * len(task.paths))
    if np.unique(kinds, return_counts=True)[1].max() < min(COUNTS) + LEFT:
        raise UserError(f"--ratings {table}: no category has {min(COUNTS) + LEFT} readable images; rate more of one kind")
    return kinds
