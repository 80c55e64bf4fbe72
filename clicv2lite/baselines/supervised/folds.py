"""A supervised baseline trained and tested fold by fold, and reported as `probe` reports a head (table 1; book chapter 11).

The folds are those of `probe --seed`, so the numbers stand side by side. With a folder `work`, every finished fold is stored
under the hash of all that it depends on, and a run that was interrupted goes on with the next fold.
"""

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from clicv2lite.arrays import Floats, Rows
from clicv2lite.baselines.supervised.networks import BASELINES
from clicv2lite.baselines.supervised.settings import Settings, Supervised
from clicv2lite.baselines.supervised.training import predict, train
from clicv2lite.data.batches import read_squares
from clicv2lite.device import CPU
from clicv2lite.errors import UserError
from clicv2lite.files import write_json
from clicv2lite.probe.crossval import splits
from clicv2lite.probe.metrics import RESAMPLES, report
from clicv2lite.probe.predictions import keep
from clicv2lite.probe.task import Task, keep_rows
from clicv2lite.provenance import commit


def measure(
    name: str, settings: Settings, task: Task, seed: int, k: int = 5, work: Path | None = None, device: torch.device = CPU
) -> dict[str, Any]:
    """Train a baseline on a task and report it as `probe` reports a head.

    Args:
        k: folds of cross-validation, where the task has no test rows.
        work: folder where finished folds are kept, and found again.
        device: where the networks are trained.

    Returns:
        What :func:`clicv2lite.probe.metrics.report` returns, and model, settings, weights, parameters, evaluation, folds, seed,
        skipped (names of unreadable images); seconds and commits, of the training of all folds (an installed package has no
        commit); predictions, kept by :func:`clicv2lite.probe.predictions.keep`.

    Raises:
        UserError: where weights or a package are missing, for a wrong number of folds, or a loss or prediction that is not
            finite.
    """
    net = BASELINES[name].build(settings.backbone, settings.weights)
    with torch.no_grad():  # weights or a package that are missing show before the long part
        side = settings.crop or settings.side
        cast(Supervised, net).loss(torch.zeros(2, 3, side, side), torch.zeros(2))
    splits(task, k, seed)  # refuses a wrong number, too
    images, read, skipped = read_squares(task.paths, settings.side)
    task = keep_rows(task, read)
    parts = evaluate(name, settings, images, task, seed, k, work, device)
    predictions = np.full(len(images), np.nan)
    for part in parts:
        predictions[part["rows"]] = part["predictions"]
    rows = np.sort(np.concatenate([np.array(part["rows"]) for part in parts]))
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
        "commits": sorted({part["commit"] for part in parts if part.get("commit")}),
        "predictions": keep(task, rows, predictions[rows], [np.array(part["rows"]) for part in parts]),
    }


def evaluate(
    name: str,
    settings: Settings,
    images: Tensor,
    task: Task,
    seed: int,
    k: int = 5,
    work: Path | None = None,
    device: torch.device = CPU,
) -> list[dict[str, Any]]:
    """Predict the test rows of a task, or by cross-validation all of them; finished folds are kept in `work`.

    Args:
        images: (n, 3, side, side) uint8, the task's, in its order.

    Returns:
        A dictionary for each fold: rows; predictions for them, by a network that was trained on the others; seconds, commit.

    Raises:
        UserError: for a loss or a prediction that is not finite.
    """
    tests, train_rows = splits(task, k, seed)
    found: list[dict[str, Any]] = []
    for number, tested in enumerate(tests, 1):
        fitted = np.setdiff1d(np.arange(len(images)), tested) if train_rows is None else train_rows
        key = fold_key(name, settings, images, task.scores, fitted, tested, seed)
        path = work / f"{name}-{key}.json" if work else None
        if path and (known := _finished(path, tested)):
            found.append(known)
            continue
        started = time.perf_counter()
        rows = torch.from_numpy(fitted)
        label = f"{name} {number}/{len(tests)}"
        net = train(name, settings, images[rows], task.scores[fitted], seed, label, device)
        predictions = predict(net, images[torch.from_numpy(tested)], settings)
        if not np.isfinite(predictions).all():  # the last update is in no loss
            raise UserError(f"--model {name}: a prediction is not finite; lower --lr (now {settings.lr})")
        seconds = round(time.perf_counter() - started)
        found.append({"rows": tested.tolist(), "predictions": predictions.tolist(), "seconds": seconds, "commit": commit()})
        if path:
            write_json(path, found[-1])
    return found


def _finished(path: Path, tested: Rows) -> dict[str, Any] | None:
    """A fold as it was stored; None if there is none, or the file is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        predictions = np.array(found["predictions"], dtype=np.float64)
        whole = found["rows"] == tested.tolist() and predictions.shape == tested.shape and np.isfinite(predictions).all()
        return found if whole and found["seconds"] >= 0 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def fold_key(name: str, settings: Settings, images: Tensor, scores: Floats, fitted: Rows, tested: Rows, seed: int) -> str:
    """Twelve hexadecimal digits that change with everything that a fold's predictions depend on, except the code."""
    about = json.dumps([name, asdict(settings), seed, list(images.shape)])
    digest = hashlib.sha256(about.encode())
    for array in (images.numpy(), scores, fitted, tested):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]
