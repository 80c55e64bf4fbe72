"""Maps to brush: the script selects and counts as Python does, and its range of chance is that of random selections."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from traitlets import TraitError

from clicv2lite.errors import UserError
from clicv2lite.extras import MissingPackage

maps = pytest.importorskip("clicv2lite.widgets.maps", exc_type=MissingPackage)

RNG = np.random.default_rng(0)
N = 120
KINDS = [["art", "cat", "zoo"][k] for k in RNG.integers(3, size=N)]
SCORES = RNG.uniform(size=N).round(3)
SCORES[:2] = 0, 1
POINTS = {name: RNG.normal(size=(N, 2)) * (3, 1) for name in ("one", "two")}

corners = st.tuples(*[st.floats(0, 1)] * 4).map(lambda c: [min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3])])
selections = st.one_of(
    st.just({}),
    st.builds(lambda name, box: {"map": name, "box": box}, st.sampled_from(["one", "two"]), corners),
    st.sampled_from([{"category": kind} for kind in ("art", "cat", "zoo")]),
    st.integers(0, 9).map(lambda k: {"bin": k}),
)


def explorer(**settings):
    return maps.MapExplorer(POINTS, KINDS, SCORES, **settings)


def numbers(widget):
    """The state as the page has it, out of the bytes."""
    return {
        "positions": np.frombuffer(widget.positions, "<u2").tolist(),
        "kinds": list(widget.kinds),
        "levels": np.frombuffer(widget.levels, "<u2").tolist(),
        "constants": widget.constants,
    }


@given(selections)
def test_browser_selects_and_counts_as_python(script, selection):
    widget = explorer()
    widget.selection = selection
    want, got = widget.result(), script("brush", numbers(widget) | {"selection": selection})
    assert got["chosen"] == want.chosen.tolist()
    for name, here, chance, margin in (
        ("classes", want.classes, want.classes_by_chance, want.classes_margin),
        ("scores", want.scores, want.scores_by_chance, want.scores_margin),
        ("score", want.mean_score, want.mean_by_chance, want.mean_margin),
    ):
        np.testing.assert_allclose(got[name]["all"], chance, atol=1e-12)
        if want.chosen.any():
            np.testing.assert_allclose(got[name]["here"], here, atol=1e-9)
            np.testing.assert_allclose(got[name]["margin"], margin, atol=1e-7)


def test_rectangle_holds_the_points_that_lie_in_it_with_y_downwards():
    widget = explorer()
    low, high = POINTS["two"].min(0), POINTS["two"].max(0)
    middle, span = (low + high) / 2, (high - low).max() / (1 - 2 * maps.MARGIN)
    widget.selection = {"map": "two", "box": [0.5, 0.0, 1.0, 0.5]}  # right of the middle, and above it
    want = (POINTS["two"] >= middle).all(1)
    near = (np.abs(POINTS["two"] - middle) < span / 10_000).any(1)
    assert 0 < want.sum() < N
    np.testing.assert_array_equal(widget.result().chosen[~near], want[~near])


def test_shares_are_counts_and_a_class_or_a_tenth_can_be_chosen():
    widget = explorer()
    everyone = widget.result()
    assert everyone.chosen.all() and everyone.classes_margin.max() == 0
    np.testing.assert_allclose(everyone.classes, [KINDS.count(kind) / N for kind in ("art", "cat", "zoo")])
    assert everyone.mean_score == pytest.approx(SCORES.mean())
    widget.selection = {"category": "cat"}
    cats = np.array(KINDS) == "cat"
    np.testing.assert_array_equal(widget.result().chosen, cats)
    np.testing.assert_allclose(widget.result().scores, np.histogram(SCORES[cats], 10, (0, 1))[0] / cats.sum())
    widget.selection = {"bin": 9}
    np.testing.assert_array_equal(widget.result().chosen, SCORES >= 0.9)  # 1.0 belongs to the last tenth


def test_range_of_chance_is_that_of_random_selections():
    kinds, levels = np.array([k % 3 for k in range(N)]), (1000 * SCORES).round().astype(int)
    drawn = [maps.brushed(np.isin(np.arange(N), RNG.permutation(N)[:30]), kinds, levels, 3) for _ in range(2000)]
    one = drawn[0]
    np.testing.assert_allclose(2 * np.std([d.classes for d in drawn], 0), one.classes_margin, rtol=0.1)
    np.testing.assert_allclose(2 * np.std([d.scores for d in drawn], 0), one.scores_margin, rtol=0.1)
    assert 2 * np.std([d.mean_score for d in drawn]) == pytest.approx(one.mean_margin, rel=0.1)


def test_empty_selection_has_no_shares():
    widget = explorer()
    widget.selection = {"map": "one", "box": [0.0, 0.0, 0.0, 0.0]}
    found = widget.result()
    assert not found.chosen.any() and np.isnan(found.classes).all() and np.isnan(found.mean_score)


def test_map_keeps_its_shape_and_stays_inside():
    at = np.frombuffer(explorer().positions, "<u2").reshape(2, N, 2) / maps.WHOLE
    for points, drawn in zip(POINTS.values(), at, strict=True):
        ratio = np.ptp(drawn, 0) / np.ptp(points, 0)
        assert ratio[0] == pytest.approx(ratio[1], rel=1e-3)
        assert drawn.min() >= 0 and drawn.max() == pytest.approx(1 - maps.MARGIN, abs=1e-4)


def test_mistakes_are_named():
    for wrong, words in [
        (({}, KINDS, SCORES), "at least one map"),
        (({"one": POINTS["one"][:5]}, KINDS, SCORES), r"one: needed are 120 finite positions"),
        ((POINTS, [str(k) for k in range(N)], SCORES), "more than the 8 colours"),
        ((POINTS, KINDS, SCORES * 5), r"numbers in 0\.\.1"),
        ((POINTS, KINDS, SCORES[:5]), "120 numbers"),
        (({"one": np.full((N, 2), np.nan)}, KINDS, SCORES), "finite"),
    ]:
        with pytest.raises(UserError, match=words):
            maps.MapExplorer(*wrong)
    with pytest.raises(TraitError, match="one of one, two"):
        explorer(left="three")
    with pytest.raises(TraitError):
        explorer(colour="mood")
    widget = explorer()
    for selection in (
        {"map": "three", "box": [0, 0, 1, 1]},
        {"map": "one", "box": [0, 1]},
        {"box": [0, 0, 1, 1]},
        {"category": "dog"},
        {"bin": 10},
        {"bin": 1, "category": "art"},
        {"mood": "good"},
    ):
        with pytest.raises(TraitError, match="map and box, or category, or bin"):
            widget.selection = selection
    assert widget.selection == {}
    assert repr(explorer()) == "MapExplorer(left='one', right='two', colour='category')"
