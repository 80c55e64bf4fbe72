"""k-fold cross-validation: every rated image is predicted by a head that never saw it (book chapter 8)."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from clicv2lite.arrays import Floats, Mask, Names, Rows
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.heads.base import Head
from clicv2lite.probe.task import Task

with extra("probe"):
    from sklearn.model_selection import KFold, StratifiedKFold

Fit = Callable[[Tensor, Floats, Names | None], Head]
"""(n, ...) inputs, (n,) scores, (n,) groups or None, see `fit_ridge` -> a fitted head."""


def folds(n: int, k: int, categories: Sequence[str] | None, seed: int) -> list[Rows]:
    """Part the rows 0..n-1 into k shuffled test folds, each with the same share of every category.

    A category with fewer rows than folds is spread over as many folds as it has rows; if all have, categories are ignored.

    Raises:
        UserError: if k < 2, or if a fold would hold fewer than 2 rows.
    """
    if k < 2:
        raise UserError(f"--folds {k}: cross-validation needs at least 2 folds")
    if n < 2 * k:
        raise UserError(f"--ratings: {n} rated images are too few for {k} folds, which need {2 * k} or more; rate more")
    names = list(categories) if categories is not None else ["all"] * n
    largest = max(names.count(name) for name in set(names))
    kind = StratifiedKFold if largest >= k else KFold  # scikit-learn stratifies only by a category that fills all folds
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        parts = kind(k, shuffle=True, random_state=seed).split(np.zeros(n), names)
        return [test for _, test in parts]


def check_inner(left: int, k: int, option: str) -> None:
    """Refuse, before the long part, rows of which k inner folds cannot be made.

    Args:
        left: rows that the largest of the outer folds leaves; :func:`left_by` says how many. option: is named in the error.

    Raises:
        UserError: if an inner fold would hold fewer than 2 rows.
    """
    if left < 2 * k:
        raise UserError(f"{option}: {left} rated images are left for {k} inner folds, which need {2 * k} or more; rate more")


def left_by(n: int, k: int) -> int:
    """How many of n rows the largest of k folds leaves: folds differ by one row at most."""
    return n - -(-n // k)


def fit_rows(fit: Fit, inputs: Tensor, scores: Floats, rows: Rows | Mask, groups: Names | None = None) -> Head:
    """A head fitted on some rows of the inputs (n, ...), scores (n,) and groups (n,)."""
    return fit(inputs[rows], scores[rows], None if groups is None else groups[rows])


def cross_validate(fit: Fit, inputs: Tensor, scores: Floats, tests: list[Rows], groups: Names | None = None) -> Floats:
    """Predict each fold by a head fitted on the others.

    Args:
        inputs: (n, ...). scores: (n,). tests: a partition of 0..n-1. groups: (n,), or None.

    Returns:
        (n,) predictions, none of them by a head that was fitted on its row.
    """
    predictions = np.full(len(scores), np.nan)
    for test in tests:
        train = np.setdiff1d(np.arange(len(scores)), test)
        predictions[test] = fit_rows(fit, inputs, scores, train, groups).predict(inputs[test])
    return predictions


def predicted(fit: Fit, inputs: Tensor, task: Task, k: int, seed: int) -> tuple[Rows, Floats]:
    """What heads that never saw an image predict for it: of the task's test rows, or of all rows in k folds if it has none.

    Args:
        inputs: (n, ...) of the task's n images. k, seed: of the folds.

    Returns:
        (m,) rows, ascending; (m,) predictions.
    """
    tests, train = splits(task, k, seed)
    if train is None:
        return np.arange(len(task.scores)), cross_validate(fit, inputs, task.scores, tests, task.groups)
    return tests[0], fit_rows(fit, inputs, task.scores, train, task.groups).predict(inputs[tests[0]])


def splits(task: Task, k: int, seed: int) -> tuple[list[Rows], Rows | None]:
    """The rows to test on, and those to fit on for it: the task's own, or k folds of all rows and None, all others for each."""
    if task.test is None:
        return folds(len(task.scores), k, task.categories, seed), None
    return [np.flatnonzero(task.test)], np.flatnonzero(task.train)
