"""How far a rating lies from its prediction: conformal intervals from the residuals of cross-validation (book chapter 12).

As the CV form of Barber, Candès, Ramdas and Tibshirani ("Predictive inference with the jackknife+", Annals of Statistics
2021), but around the head that saw all ratings, and with one half-width for each quarter of the predictions (Boström and
Johansson, "Mondrian conformal regressors", 2020): errors differ between simple and complex images. If new images are like the
rated ones, about the share `LEVEL` of their ratings lies in the intervals; `coverage` measures it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clicv2lite.arrays import Floats, Names
from clicv2lite.heads.bounds import bounded
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.probe.crossval import cross_validate, fit_rows, folds

LEVEL = 0.9
BINS = 4
OVERALL = "overall"  # all categories together


def half_widths(predictions: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """The half-width for each quarter of the predictions: the k-th smallest of n errors, k = ceil(LEVEL (n + 1)), at most n.

    Args:
        predictions: (n,) by heads that did not see the image. scores: (n,) ratings.

    Returns:
        (BINS - 1,) edges between the quarters, (BINS,) half-widths.
    """
    edges = np.quantile(predictions, np.arange(1, BINS) / BINS)
    part, errors = np.searchsorted(edges, predictions, side="right"), np.abs(scores - predictions)
    widths = []
    for i in range(BINS):
        sorted_errors = np.sort(errors[part == i] if (part == i).any() else errors)
        k = int(np.ceil(LEVEL * (len(sorted_errors) + 1)))
        widths.append(sorted_errors[min(k, len(sorted_errors)) - 1])
    return edges, np.array(widths)


def held_out(
    inputs: Tensor, scores: Floats, categories: Sequence[str] | None, groups: Names | None, k: int, seed: int
) -> Floats:
    """(n,) scores in 0..1 of (n, F) features, each by a ridge that was fitted on the other folds."""
    predictions = cross_validate(fit_ridge, inputs, scores, folds(len(scores), k, categories, seed), groups)
    return _in_bounds(predictions)


def coverage(
    inputs: Tensor, scores: Floats, categories: Sequence[str] | None, groups: Names | None, k: int, seeds: Sequence[int]
) -> dict[str, Any]:
    """Share of held-out ratings that lie in their interval: nested, so that no part of it saw the rating.

    Of each outer fold, the head and the half-widths (from inner folds) are fitted on the other rows.

    Returns:
        overall and by category (one called `overall` is `category overall`): for each seed, the share; `half`: the mean
        half-width.
    """
    names = np.array(categories if categories is not None else ["all"] * len(scores))
    called = {str(name): f"category {name}" if name == OVERALL else str(name) for name in np.unique(names)}
    shares: dict[str, list[float]] = {name: [] for name in (OVERALL, *called.values())}
    widths = []
    for seed in seeds:
        inside, half = np.zeros(len(scores), dtype=bool), np.zeros(len(scores))
        for test in folds(len(scores), k, categories, seed):
            train = np.setdiff1d(np.arange(len(scores)), test)
            part = None if groups is None else groups[train]
            inner = held_out(inputs[train], scores[train], names[train].tolist() if categories else None, part, k, seed)
            edges, by_bin = half_widths(inner, scores[train])
            predictions = _in_bounds(fit_rows(fit_ridge, inputs, scores, train, groups).predict(inputs[test]))
            half[test] = by_bin[np.searchsorted(edges, predictions, side="right")]
            inside[test] = np.abs(scores[test] - predictions) <= half[test]
        shares[OVERALL].append(float(inside.mean()))
        for name, share in called.items():
            shares[share].append(float(inside[names == name].mean()))
        widths.append(float(half.mean()))
    return {"level": LEVEL, "seeds": list(seeds), "folds": k, "share": shares, "half": float(np.mean(widths))}


def _in_bounds(predictions: Floats) -> Floats:
    scores: Floats = bounded(torch.from_numpy(predictions)).numpy()
    return scores
