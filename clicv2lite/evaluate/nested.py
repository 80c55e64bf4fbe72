"""Nested cross-validation: what choosing the best of several encoders is worth on ratings that no choice has seen (chapter 11).

The best row of a table is too good by luck: it was chosen on the ratings that judge it. Here each outer fold is predicted by
the encoder that is best on inner folds of the *other* images, so the outer fold plays no part in the choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from clicv2lite.arrays import Floats, Rows
from clicv2lite.errors import UserError
from clicv2lite.probe.crossval import Fit, cross_validate, fit_rows, folds, splits
from clicv2lite.probe.metrics import report
from clicv2lite.probe.task import Task


@dataclass(frozen=True)
class Candidate:
    """What can be chosen: inputs (n, ...) of a task's n images, and how a head is fitted on them."""

    inputs: Tensor
    fit: Fit


def nested(candidates: Mapping[str, Candidate], task: Task, k: int, seed: int) -> tuple[Floats, list[str]]:
    """Predictions of the task's test rows, or of all rows in k folds, each by the candidate that the inner folds chose.

    The inner folds are k of the rows that the outer fold leaves; the candidate with the highest mean PCC there is fitted again
    on all of these.

    Returns:
        (m,) predictions of the test rows, ascending; the chosen name of each outer fold.

    Raises:
        UserError: if too few rows are left for the inner folds, or no candidate has a mean PCC there.
    """
    tests, fixed = splits(task, k, seed)
    predictions, chosen = np.full(len(task.scores), np.nan), []
    for test in tests:
        train = fixed if fixed is not None else np.setdiff1d(np.arange(len(task.scores)), test)
        found = {name: _inner(one, task, train, k, seed) for name, one in candidates.items()}
        best = max(found, key=lambda name: found[name])
        if found[best] == -np.inf:
            raise UserError("--nested: no encoder has a correlation on the inner folds; give more ratings, or fewer categories")
        head = fit_rows(candidates[best].fit, candidates[best].inputs, task.scores, train, task.groups)
        predictions[test] = head.predict(candidates[best].inputs[test])
        chosen.append(best)
    return predictions[np.sort(np.concatenate(tests))], chosen


def _inner(one: Candidate, task: Task, train: Rows, k: int, seed: int) -> float:
    """Mean PCC over the categories on inner folds of the rows `train`; -inf where it is not defined."""
    names = None if task.categories is None else [task.categories[i] for i in train]
    scores, inner_groups = task.scores[train], None if task.groups is None else task.groups[train]
    predictions = cross_validate(one.fit, one.inputs[train], scores, folds(len(train), k, names, seed), inner_groups)
    mean = report(scores, predictions, names, 0, seed)["mean_pcc"]
    return -np.inf if mean is None else float(mean)
