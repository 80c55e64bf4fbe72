"""`clicv2lite supervised`: train a supervised baseline and report it as `probe` reports a head (table 1; book chapter 11).

The folds are those of `probe --seed`, so the numbers stand side by side. With `--work`, every finished fold is stored under the
hash of all that it depends on, and a run that was interrupted goes on with the next fold.
"""

import argparse
import hashlib
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from clicv2lite.arrays import Floats
from clicv2lite.baselines.supervised.registry import BASELINES, SIZES, Settings, Supervised
from clicv2lite.baselines.supervised.training import predict, train
from clicv2lite.data.batches import batches
from clicv2lite.errors import UserError, check_seed
from clicv2lite.files import add_json, check_output_file, make_folder, put_json, write_json
from clicv2lite.probe.crossval import folds
from clicv2lite.probe.metrics import RESAMPLES, report
from clicv2lite.probe.task import Task, add_score_range, keep_rows, load_task
from clicv2lite.provenance import commit, provenance

Rows = NDArray[np.int64]


def measure(name: str, settings: Settings, task: Task, seed: int, k: int = 5, work: Path | None = None) -> dict[str, Any]:
    """Train a baseline on a task and report it as `probe` reports a head.

    Args:
        k: folds of cross-validation, where the task has no test rows.
        work: folder where finished folds are kept, and found again.

    Returns:
        What :func:`clicv2lite.probe.metrics.report` returns, and model, settings, weights, parameters, evaluation, folds, seed,
        skipped (names of unreadable images); seconds and commits, of the training of all folds.

    Raises:
        UserError: where weights or a package are missing, for a wrong number of folds, or a loss that is not finite.
    """
    net = BASELINES[name].build(settings.backbone, settings.weights)
    with torch.no_grad():  # weights or a package that are missing show before the long part
        side = settings.crop or settings.side
        cast(Supervised, net).loss(torch.zeros(2, 3, side, side), torch.zeros(2))
    if task.test is None:
        folds(len(task.paths), k, task.categories, seed)  # refuses a wrong number, too
    images, task, skipped = read_squares(task, settings.side)
    parts = evaluate(name, settings, images, task, seed, k, work)
    predictions = np.full(len(images), np.nan)
    for part in parts:
        predictions[part["rows"]] = part["predictions"]
    rows = np.flatnonzero(np.isfinite(predictions))
    names = [task.categories[i] for i in rows] if task.categories else None
    return report(task.scores[rows], predictions[rows], names, RESAMPLES, seed) | {
        "model": name,
        "settings": asdict(settings),
        "weights": settings.weights,
        "parameters": sum(p.numel() for p in net.parameters()),
        "evaluation": "test" if task.test is not None else "cross-validation",
        "folds": None if task.test is not None else k,
        "skipped": skipped,
        "seed": seed,
        "seconds": sum(part["seconds"] for part in parts),
        "commits": sorted({str(part.get("commit")) for part in parts}),
    }


def evaluate(
    name: str, settings: Settings, images: Tensor, task: Task, seed: int, k: int = 5, work: Path | None = None
) -> list[dict[str, Any]]:
    """Predict the test rows of a task, or by cross-validation all of them; finished folds are kept in `work`.

    Args:
        images: (n, 3, side, side) uint8, the task's, in its order.

    Returns:
        A dictionary for each fold: rows; predictions for them, by a network that was trained on the others; seconds, commit.
    """
    every = np.arange(len(images))
    if task.test is None:
        tests = folds(len(images), k, task.categories, seed)
        parts = [(np.setdiff1d(every, test), test) for test in tests]
    else:
        parts = [(np.flatnonzero(task.train), np.flatnonzero(task.test))]
    found: list[dict[str, Any]] = []
    for number, (fitted, tested) in enumerate(parts, 1):
        key = fold_key(name, settings, images, task.scores, fitted, tested, seed)
        path = work / f"{name}-{key}.json" if work else None
        if path and path.is_file():
            found.append(json.loads(path.read_text(encoding="utf-8")))
            continue
        started = time.perf_counter()
        rows = torch.from_numpy(fitted)
        net = train(name, settings, images[rows], task.scores[fitted], seed, f"{name} {number}/{len(parts)}")
        predictions = predict(net, images[torch.from_numpy(tested)], settings)
        seconds = round(time.perf_counter() - started)
        found.append({"rows": tested.tolist(), "predictions": predictions.tolist(), "seconds": seconds, "commit": commit()})
        if path:
            write_json(path, found[-1])
    return found


def fold_key(name: str, settings: Settings, images: Tensor, scores: Floats, fitted: Rows, tested: Rows, seed: int) -> str:
    """Twelve hexadecimal digits that change when anything changes that a fold's predictions depend on, code aside."""
    about = json.dumps([name, asdict(settings), seed, list(images.shape)])
    digest = hashlib.sha256(about.encode())
    for array in (images.numpy(), scores, fitted, tested):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]


def read_squares(task: Task, side: int) -> tuple[Tensor, Task, list[str]]:
    """All readable images, (m, 3, side, side) uint8, the task on them, and the names of the others."""
    parts, read, skipped = [], np.zeros(len(task.paths), dtype=bool), []
    for batch in batches(task.paths, side, 64, "reading"):
        for row, error in batch.errors.items():
            tqdm.write(f"clicv2lite: {error} (skipped)", file=sys.stderr)
            skipped.append(str(task.paths[row]))
        parts.append(batch.images)
        read[batch.rows] = True
    return torch.cat(parts), keep_rows(task, read), skipped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `supervised`."""
    parser.add_argument("--model", required=True, choices=sorted(BASELINES), help="which baseline")
    parser.add_argument("--ratings", required=True, metavar="CSV", help="table image,score[,category][,split]")
    parser.add_argument("--test", metavar="CSV", help="table to test on; both tables are then used whole")
    parser.add_argument("--folds", type=int, metavar="K", help="cross-validate (default: the table's split column, else K = 5)")
    add_score_range(parser)
    parser.add_argument("--size", choices=SIZES, default="lite", help="ci (seconds), lite (half an hour), full (the paper's)")
    parser.add_argument(
        "--weights", choices=["scratch", "imagenet"], help="imagenet: from torch's hub folder (default: the size's)"
    )
    parser.add_argument("--epochs", type=int, help="passes over the training rows (default: the size's)")
    parser.add_argument("--lr", type=float, help="learning rate (default: the size's)")
    parser.add_argument("--seed", type=int, default=0, help="of folds, weights, order and bootstrap (0)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep finished folds here, and go on from them")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Train, predict, report as `probe` does; exit status 0.

    Raises:
        UserError: for a table that cannot be used, a missing package or weights, or an output that cannot be written.
    """
    changed = {key: getattr(args, key) for key in ("weights", "epochs", "lr") if getattr(args, key) is not None}
    for key in ("epochs", "lr"):
        if key in changed and not changed[key] > 0:
            raise UserError(f"--{key} {changed[key]}: give a number above 0")
    check_seed(args.seed)
    check_output_file(args.json, "--json")
    if args.work:
        make_folder(args.work, "--work")
    settings = replace(BASELINES[args.model].settings(args.size), **changed)
    task = load_task(args.ratings, args.test, args.folds, args.score_range)
    found = measure(args.model, settings, task, args.seed, 5 if args.folds is None else args.folds, args.work)
    put_json(args.json, {**found, "size": args.size, **provenance()})
    return 0
