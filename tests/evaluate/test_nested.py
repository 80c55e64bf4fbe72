"""The choice of an encoder on inner folds, against loops that make the same choice with the same folds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clicv2lite.errors import UserError
from clicv2lite.evaluate.nested import Candidate, nested
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.probe.crossval import folds
from clicv2lite.probe.task import Task

N = 60


def made(seed, test=None, grouped=False):
    """Scores, and three candidates: two see them through noise of about the same size, one sees nothing; b is rated higher."""
    rng = np.random.default_rng(seed)
    scores, categories = rng.uniform(size=N), [*"ab"] * (N // 2)
    seen = {"one": scores[:, None] + rng.normal(0, 0.3, (N, 1)), "two": scores[:, None] + rng.normal(0, 0.3, (N, 1))}
    seen["none"] = rng.normal(0, 1, (N, 1))
    train = np.ones(N, bool) if test is None else ~test
    groups = np.array(categories) if grouped else None
    scores = scores + 0.7 * (np.array(categories) == "b")
    return Task([Path(f"{i}.png") for i in range(N)], scores, categories, train, test, groups), seen


def as_candidates(seen):
    return {name: Candidate(torch.from_numpy(x), fit_ridge) for name, x in seen.items()}


def fitted(task, x, rows):
    return fit_ridge(torch.from_numpy(x[rows]), task.scores[rows], None if task.groups is None else task.groups[rows])


def by_loops(task, seen, tests):
    predictions, chosen = np.zeros(N), []
    for test in tests:
        train = np.array([i for i in range(N) if i not in set(test)])
        names = [task.categories[i] for i in train]
        mean = {}
        for name, x in seen.items():
            inner = np.zeros(len(train))
            for hidden in folds(len(train), 3, names, 1):
                rest = [i for i in range(len(train)) if i not in set(hidden)]
                head = fitted(task, x, train[rest])
                inner[hidden] = head.predict(torch.from_numpy(x[train[hidden]]))
            of = [[i for i, category in enumerate(names) if category == c] for c in "ab"]
            mean[name] = np.mean([np.corrcoef(inner[rows], task.scores[train[rows]])[0, 1] for rows in of])
        best = max(mean, key=mean.get)
        head = fitted(task, seen[best], train)
        predictions[test] = head.predict(torch.from_numpy(seen[best][test]))
        chosen.append(best)
    return predictions, chosen


@pytest.mark.parametrize("grouped", [False, True])
def test_every_fold_is_predicted_by_what_the_others_chose(grouped):
    both = set()
    for seed in range(4):
        task, seen = made(seed, grouped=grouped)
        predictions, chosen = nested(as_candidates(seen), task, 3, 1)
        expected, expected_choice = by_loops(task, seen, folds(N, 3, task.categories, 1))
        assert chosen == expected_choice and "none" not in chosen
        np.testing.assert_allclose(predictions, expected, atol=1e-12)
        both |= set(chosen)
    assert both == {"one", "two"}, "the choice differs from fold to fold: the test can tell"


def test_a_fixed_test_set_is_one_fold():
    test = np.arange(N) % 4 == 0
    task, seen = made(0, test)
    predictions, chosen = nested(as_candidates(seen), task, 3, 1)
    expected, expected_choice = by_loops(task, seen, [np.flatnonzero(test)])
    assert chosen == expected_choice and len(predictions) == test.sum()
    np.testing.assert_allclose(predictions, expected[test], atol=1e-12)


def test_the_outer_fold_plays_no_part_in_its_choice():
    task, seen = made(0)
    first = folds(N, 3, task.categories, 1)[0]
    _, chosen = nested(as_candidates(seen), task, 3, 1)
    spoilt = {name: x.copy() for name, x in seen.items()}
    spoilt[chosen[0]][first] = 1e3  # the chosen one is worthless there, which nobody may know
    assert nested(as_candidates(spoilt), task, 3, 1)[1][0] == chosen[0]


def test_no_candidate_with_a_correlation_is_one_line():
    task, seen = made(0)
    task = replace(task, categories=[f"pair {i // 2}" for i in range(N)])  # too few in each for a correlation
    with pytest.raises(UserError, match="--nested: no encoder has a correlation"):
        nested(as_candidates(seen), task, 3, 1)
