import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.errors import UserError
from clicv2lite.probe.crossval import cross_validate, folds, left_by


@given(st.lists(st.sampled_from("abc"), min_size=12, max_size=60), st.integers(2, 6), st.integers(0, 9))
def test_folds_part_the_rows_and_share_every_category_evenly(names, k, seed):
    parts = folds(len(names), k, names, seed)
    assert len(parts) == k
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(names)))
    for name in set(names):
        counts = [sum(names[i] == name for i in part) for part in parts]
        if names.count(name) >= k:
            assert max(counts) - min(counts) <= 1


def test_folds_are_shuffled_by_the_seed_alone():
    names = ["a", "b"] * 20
    same = all(np.array_equal(p, q) for p, q in zip(folds(40, 4, names, 1), folds(40, 4, names, 1), strict=True))
    other = all(np.array_equal(p, q) for p, q in zip(folds(40, 4, names, 1), folds(40, 4, names, 2), strict=True))
    assert same and not other


def test_categories_smaller_than_the_folds_are_spread():
    parts = folds(20, 5, [f"c{i // 2}" for i in range(20)], 0)
    assert sorted(len(p) for p in parts) == [4] * 5
    assert [len(p) for p in folds(11, 2, None, 0)] == [6, 5]


@given(st.integers(2, 6), st.integers(0, 40), st.integers(1, 3))
def test_the_largest_fold_leaves_what_is_said(k, more, kinds):
    n = 2 * k + more
    names = [f"c{(i * i) % kinds}" for i in range(n)]
    assert n - max(len(test) for test in folds(n, k, names, 0)) == left_by(n, k)


@pytest.mark.parametrize(
    "n, k, said", [(10, 1, "--folds 1"), (9, 5, "9 rated images are too few for 5 folds"), (3, 2, "need 4")]
)
def test_too_few_rows_or_folds_are_refused(n, k, said):
    with pytest.raises(UserError, match=said):
        folds(n, k, None, 0)


class Memory:
    """A head that knows the rows it was fitted on."""

    def __init__(self, inputs, scores, groups):
        self.known = dict(zip(inputs[:, 0].tolist(), scores.tolist(), strict=True))

    def predict(self, inputs):
        return np.array([self.known.get(v, -1.0) for v in inputs[:, 0].tolist()])


def test_no_row_is_predicted_by_a_head_that_saw_it():
    inputs, scores = torch.arange(20.0)[:, None], np.linspace(0, 1, 20)
    np.testing.assert_array_equal(cross_validate(Memory, inputs, scores, folds(20, 4, None, 0)), -np.ones(20))
