"""Ranges of settings: a value is refused exactly when it lies outside, in words that say where it may lie."""

import math
import operator

import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.ranges import Count, Share, fault

HOLDS = {Gt: operator.gt, Ge: operator.ge, Lt: operator.lt, Le: operator.le}


@given(st.floats(), st.lists(st.tuples(st.sampled_from(list(HOLDS)), st.integers(-3, 3)), max_size=3))
def test_a_value_is_refused_exactly_when_a_bound_does_not_hold(value, bounds):
    wanted = all(HOLDS[kind](value, limit) for kind, limit in bounds)
    assert (fault(value, [kind(limit) for kind, limit in bounds]) is None) == wanted


MOST = "must be above 0 and at most 1,000,000,000"


@pytest.mark.parametrize("value, kind, words", [
    (0, Count, MOST), (10**9 + 1, Count, MOST), (1.5, Share, "must be 0 or more and at most 1"),
    (math.nan, Share, "must be 0 or more and at most 1"), (1, Count, None), (0, Share, None), (1, Share, None),
])  # fmt: skip
def test_the_fault_is_said_in_words(value, kind, words):
    assert fault(value, kind.__metadata__) == words
