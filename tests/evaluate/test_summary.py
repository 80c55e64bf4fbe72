"""Spreads and verdicts against numbers worked out by hand and by scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from clicv2lite.evaluate.summary import above, direction, markdown, numbers, over_seeds, spread
from clicv2lite.probe.metrics import report

VALUES = st.lists(st.floats(-1, 1), min_size=2, max_size=6).filter(lambda v: np.std(v) > 1e-3)


@given(VALUES)
def test_interval_is_that_of_a_t_test(values):
    low, high = spread(values)["interval"]
    np.testing.assert_allclose([low, high], list(ttest_1samp(values, 0).confidence_interval(0.95)), rtol=1e-9, atol=1e-12)


def test_spread_by_hand():
    found = spread([0.60, 0.62, 0.64])  # mean 0.62, s = 0.02, t(2) = 4.3027, half = 4.3027 * 0.02 / sqrt(3)
    assert found["mean"] == pytest.approx(0.62)
    assert found["range"] == [0.60, 0.64]
    assert found["interval"] == pytest.approx([0.62 - 0.04968, 0.62 + 0.04968], abs=1e-5)


def test_a_single_seed_has_no_interval_and_decides_nothing():
    assert spread([0.5])["interval"] is None
    assert above(spread([0.5]), spread([0.1, 0.11])) == "undecided"


@pytest.mark.parametrize(
    ("left", "right", "verdict"),
    [((0.5, 0.6), (0.3, 0.4), "agrees"), ((0.3, 0.4), (0.5, 0.6), "disagrees"), ((0.3, 0.5), (0.4, 0.6), "undecided")],
)
def test_only_intervals_that_do_not_overlap_decide(left, right, verdict):
    assert above({"interval": left}, {"interval": right}) == verdict


def test_direction_follows_the_paper_whichever_way_it_points():
    low, high = {"interval": (0.1, 0.2)}, {"interval": (0.3, 0.4)}
    assert direction(0.8, high, 0.7, low) == "agrees"
    assert direction(0.7, low, 0.8, high) == "agrees"
    assert direction(0.7, high, 0.8, low) == "disagrees"
    assert direction(0.8, high, 0.8, low) == "undecided"


def test_numbers_are_those_of_the_report():
    rng = np.random.default_rng(0)
    scores, names = rng.random(40), ["a", "b"] * 20
    result = report(scores, scores + rng.normal(0, 0.3, 40), names, resamples=10)
    over, pooled = numbers(result, "mean_pcc"), numbers(result, "pcc")
    parts = result["per_category"]
    assert over["pcc"] == pytest.approx((parts["a"]["pcc"] + parts["b"]["pcc"]) / 2)
    assert over["srcc"] == pytest.approx((parts["a"]["srcc"] + parts["b"]["srcc"]) / 2)
    assert (pooled["pcc"], pooled["srcc"]) == (result["pcc"], result["srcc"])
    assert over["variance"] == pytest.approx(np.var([parts["a"]["pcc"], parts["b"]["pcc"]]))


def test_what_one_seed_lacks_has_no_spread():
    assert list(over_seeds([{"a": 1.0, "b": 2.0}, {"a": 2.0}])) == ["a"]
    assert over_seeds([]) == {}


def test_markdown_has_a_line_a_row_with_as_many_cells():
    ours = {"ridge": {"pcc": spread([0.6, 0.7])}, "top1": spread([50.0, 51.0])}
    row = {"label": "x", "paper": {"pcc": 0.865, "top1": 34.6}, "ours": ours, "missing": None}
    row["runs"] = [{"seed": 0, "backbone": "resnet18", "weights": "scratch"}]
    rows = [row | {"direction": {"pcc": "agrees", "top1": None}}]
    rows.append(
        {"label": "y", "paper": {}, "ours": None, "missing": "not built", "runs": [], "direction": {"pcc": None, "top1": None}}
    )
    rows.append(rows[0] | {"label": "z", "note": "built from its abstract alone"})
    rows.append(rows[1] | {"label": "w", "note": "a note"})
    about = {"suite": "s", "size": "ci", "caption": "C", "metric": "pcc", "heads": ["ridge"], "seeds": [0, 1], "reference": "x"}
    text = markdown({**about, "n": 5, "rows": rows, "commit": "abc", "command": "clicv2lite"})
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 6
    assert len({line.count("|") for line in lines}) == 1
    assert "| x (here resnet18, scratch) | 0.865 | 0.650 [0.600, 0.700] |" in text
    assert "| z (here resnet18, scratch; built from its abstract alone) | 0.865 |" in text
    assert "| w (a note) | " in lines[-1] and "| y |" in lines[3] and all("not built" in lines[i] for i in (3, 5))
