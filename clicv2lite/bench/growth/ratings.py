"""Ratings of images whose features are ready: the ridge head in five folds, and the intervals of its correlation."""

from pathlib import Path

import numpy as np
import torch

from clicv2lite.bench.growth.work import Work
from clicv2lite.bench.measure import Operation
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.probe.crossval import cross_validate, folds
from clicv2lite.probe.metrics import report

FEATURES, FOLDS = 64, 5


def works() -> list[Work]:
    """Generated ratings."""
    return [
        Work(f"ridge in {FOLDS} folds, {FEATURES} features", "ratings", (1_000, 10_000, 100_000, 1_000_000),
             "1: products of all features", _ridge),
        Work("correlations with intervals", "ratings", (1_000, 10_000, 100_000),
             "1: each resample draws all ratings; ranks are sorted", _report),
    ]  # fmt: skip


def _ridge(ratings: int, folder: Path) -> Operation:
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.standard_normal((ratings, FEATURES), dtype=np.float32))
    scores = inputs.numpy() @ rng.standard_normal(FEATURES) + rng.standard_normal(ratings)
    tests = folds(ratings, FOLDS, None, 0)
    return lambda: cross_validate(fit_ridge, inputs, scores, tests)


def _report(ratings: int, folder: Path) -> Operation:
    rng = np.random.default_rng(0)
    scores = rng.random(ratings)
    predictions = scores + rng.random(ratings)
    return lambda: report(scores, predictions)
