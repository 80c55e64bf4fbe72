"""Ranges of settings: a value is refused exactly when it lies outside, in words that say where it may lie."""

import math
import operator
import typing
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.ranges import Count, OneOf, Pixels, Share, fault, shown, wrong_field
from clicv2lite.recipes.settings import kinds

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


@dataclass(frozen=True)
class Inner:
    sizes: tuple[Pixels, ...] = (1,)


@dataclass(frozen=True)
class Outer:
    share: Share = 0.5
    name: str = "a"
    on: bool = False
    bins: Count | None = None
    way: Literal["in", "out"] = "in"
    kind: Annotated[str, OneOf({"x": 1})] = "x"
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize("change", [
    {}, {"share": 0}, {"share": 1}, {"bins": 3}, {"way": "out"}, {"inner": Inner([4, 5])}, {"on": True}, {"name": ""},
])  # fmt: skip
def test_a_record_whose_values_fit_has_no_fault(change):
    assert wrong_field(Outer(**change)) is None


@pytest.mark.parametrize("change", [
    {"share": 1.5}, {"share": math.nan}, {"share": math.inf}, {"share": "0.5"}, {"share": True}, {"share": None},
    {"share": 10**400}, {"share": [0.5]}, {"name": 3}, {"name": "a" * 5000}, {"on": 1}, {"on": "true"}, {"bins": 0},
    {"bins": 10**5000}, {"bins": 2.0}, {"bins": True}, {"bins": "3"}, {"way": "up"}, {"way": ["in"]}, {"kind": "y"},
    {"kind": []}, {"inner": None}, {"inner": {}}, {"inner": Inner("12")}, {"inner": Inner((1, 1))}, {"inner": Inner((0,))},
    {"inner": Inner(tuple(range(1, 2000)))}, {"inner": Inner((1.5,))}, {"inner": Inner(([],))},
])  # fmt: skip
def test_the_first_value_that_does_not_fit_is_named_on_one_short_line(change):
    reason = wrong_field(Outer(**change))
    assert reason and "must" in reason and "\n" not in reason and len(reason) < 200
    assert reason.startswith("sizes=" if isinstance(change.get("inner"), Inner) else "must be" if "inner" in change else "")


@pytest.mark.parametrize("value, text", [(3, "3"), ("a\nb", "a\\nb"), ("x" * 70, "x" * 60 + "..."), (None, "None")])
def test_a_wrong_value_is_shown_short(value, text):
    assert shown(value) == text


def test_a_number_that_python_does_not_write_is_named_by_its_type():
    assert shown(10**5000) == "int, too long to print"


@pytest.mark.parametrize("kind", kinds().values(), ids=kinds())
def test_every_number_that_can_be_set_has_two_bounds(kind):
    for part in (kind, *typing.get_args(kind)):
        if part in (int, float) and typing.get_origin(kind) is not Annotated and typing.get_origin(kind) is not tuple:
            pytest.fail(f"{kind} has no bounds")
    if typing.get_origin(kind) is Annotated and typing.get_args(kind)[0] in (int, float):
        bounds = typing.get_args(kind)[1:]
        assert any(isinstance(b, Le | Lt) for b in bounds) and any(isinstance(b, Ge | Gt) for b in bounds)
