"""Spreads and verdicts against numbers worked out by hand and by scipy."""

from typing import get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from clicv2lite.evaluate.paired import MEANINGS, Paired, Verdict
from clicv2lite.evaluate.summary import direction, markdown, numbers, over_seeds, spread
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


def test_a_single_seed_has_no_interval():
    assert spread([0.5])["interval"] is None


def test_direction_follows_the_paper_whichever_way_it_points():
    up, down = (Paired((sign * 0.1, sign * 0.11, sign * 0.12), sign * np.linspace(0.05, 0.15, 99)) for sign in (1, -1))
    assert direction(0.1, up) == direction(-0.1, down) == "agrees"
    assert direction(-0.1, up) == direction(0.1, down) == "disagrees"
    assert direction(0.0, up) == "undecided"  # a tie in the paper


def test_direction_needs_both_intervals():
    seeds, images = (0.1, 0.11, 0.12), np.linspace(0.05, 0.15, 99)
    assert direction(0.1, Paired((-0.1, 0.11, 0.3), images)) == "undecided"
    assert direction(0.1, Paired(seeds, images - 0.06)) == "undecided"
    assert direction(0.1, Paired((0.1,), images)) == "undecided"
    assert direction(0.1, Paired(seeds, lack="no predictions stored")) == "undecided"


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
    ours = {"ridge": {"pcc": spread([0.6, 0.7])}, "category_accuracy": spread([50.0, 51.0])}
    row = {"label": "x", "paper": {"pcc": 0.865, "top1": 34.6}, "ours": ours, "missing": None}
    row["runs"] = [{"seed": 0, "backbone": "resnet18", "weights": "scratch"}]
    pcc = {"mean": 0.05, "over_seeds": [0.01, 0.09], "over_images": [-0.012, 0.11]}
    accuracy = {"mean": -1.25, "over_seeds": [-2.5, 0.0], "over_images": None}
    none = {"pcc": None, "top1": None, "category_accuracy": None}
    against = none | {"pcc": pcc, "category_accuracy": accuracy}
    rows = [row | {"direction": none | {"pcc": "undecided"}, "difference": against}]
    rows.append({"label": "y", "paper": {}, "ours": None, "missing": "not built", "runs": [], "direction": none})
    rows[1]["difference"] = none
    rows.append(rows[0] | {"label": "z", "note": "built from its abstract alone"})
    rows.append(rows[1] | {"label": "w", "note": "a note"})
    about = {"suite": "s", "size": "ci", "caption": "C", "metric": "pcc", "heads": ["ridge"], "seeds": [0, 1], "reference": "x"}
    text = markdown({**about, "n": 5, "rows": rows, "commit": "abc", "command": "clicv2lite"})
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 6
    assert len({line.count("|") for line in lines}) == 1
    assert "| x (here resnet18, scratch) | 0.865 | 0.650 [0.600, 0.700] |" in text
    assert "| +0.050 | 0.010 to 0.090 | -0.012 to 0.110 | undecided |" in text
    assert "| -1.2 | -2.5 to 0.0 |  |  |" in text  # Python rounds a half to the even digit
    assert "| z (here resnet18, scratch; built from its abstract alone) | 0.865 |" in text
    assert "| w (a note) | " in lines[-1] and "| y |" in lines[3] and all("not built" in lines[i] for i in (3, 5))
    assert "Reference: x. Differences are paired" in text
    foot = next(line for line in text.splitlines() if line.startswith("Reference: "))
    assert all(foot.count(f"*{word}*: ") == 1 for word in get_args(Verdict))
    assert "not corrected for their number; `clicv2lite claims`" in foot
    assert "| not run: not built |" in lines[3]
    paired = "minus reference | 95 % over seeds | 95 % over images | direction"
    assert f"| paper top-1 on ImageNet, % | ours, category probe, % [range] | {paired} |" in text
    assert "| 34.6 | 50.5 [50.0, 51.0] |" in text and "ours, top-1" not in text
    ours["top1"] = spread([30.0, 32.0])  # measured, too: each has columns
    text = markdown({**about, "n": 5, "rows": rows, "commit": "abc", "command": "clicv2lite"})
    assert f"| ours, top-1 on ImageNet, % [range] | {paired} | ours, category probe, % [range] | {paired} |" in text
    assert "| 34.6 | 31.0 [30.0, 32.0] |  |  |  |  | 50.5 [50.0, 51.0] |" in text


def test_a_direction_has_the_words_of_a_verdict():
    assert list(MEANINGS) == list(get_args(Verdict))
    assert set(get_args(get_type_hints(direction)["return"])) == set(get_args(Verdict))


def test_each_head_has_its_columns_and_an_unread_or_missing_row_says_so():
    pcc = {"pcc": spread([0.6, 0.7])}
    pair = {"mean": 0.05, "over_seeds": [0.01, 0.09], "over_images": [-0.012, 0.11]}
    none = {"pcc": None, "top1": None, "category_accuracy": None}
    row = {"label": "x", "paper": {"pcc": 0.8}, "ours": {"ridge": pcc, "likeness": pcc}, "missing": None, "runs": [{"seed": 0}]}
    row |= {"direction": none | {"pcc": "agrees"}, "difference": none | {"pcc": pair}, "lacks": {}}
    row["by_head"] = {"likeness": {"difference": pair | {"mean": -0.05}, "direction": "disagrees"}}
    unread = row | {"label": "y", "ours": {"ridge": pcc}, "lacks": {"likeness": "no tokens"}}
    unread["by_head"] = {"likeness": {"difference": None, "direction": "not run"}}
    absent = row | {"label": "z", "ours": None, "runs": [], "by_head": unread["by_head"]}
    absent |= {"difference": none, "direction": none | {"pcc": "not run"}}
    about = {"suite": "s", "size": "ci", "caption": "C", "metric": "pcc", "heads": ["ridge", "likeness"], "seeds": [0]}
    about |= {"reference": "x", "n": 5, "commit": "abc", "command": "clicv2lite", "only_finished": True}
    head, _, *lines = [line for line in markdown(about | {"rows": [row, unread, absent]}).splitlines() if line[:1] == "|"]
    assert head.startswith("|  | seeds | paper PCC | ours, ridge [range] | ") and "| ours, likeness [range] | " in head
    assert len({line.count("|") for line in (head, *lines)}) == 1
    assert lines[0].startswith("| x | 1 | 0.800 |") and "| +0.050 |" in lines[0] and lines[0].endswith("| disagrees |")
    assert "| -0.050 |" in lines[0] and "| missing |" in lines[1] and lines[1].endswith("| not run |")
    assert lines[2].startswith("| z | 0 |") and lines[2].count("| not run |") == 2


def test_the_interval_of_a_correlation_ends_at_one():
    first, second = (
        {"pcc": 0.99, "pcc:Art": -0.99, "variance": 0.0, "x": 0.9},
        {"pcc": 0.9, "pcc:Art": -0.9, "variance": 0.2, "x": 1},
    )
    found = over_seeds([first, second])
    plain = spread([0.99, 0.9])["interval"]
    assert plain[1] > 1 and found["pcc"]["interval"] == [plain[0], 1.0]
    assert found["pcc:Art"]["interval"] == [-1.0, pytest.approx(-plain[0])]
    assert found["variance"]["interval"][0] == 0.0 and found["x"]["interval"][1] > 1


def test_the_part_within_the_limits_holds_the_mean_as_often():
    rng = np.random.default_rng(0)
    held = 0
    for values in np.tanh(rng.normal(1.5, 0.4, (2000, 3))):  # correlations near 1
        low, high = spread(values, (-1, 1))["interval"]
        held += low <= np.tanh(rng.normal(1.5, 0.4, 10)).mean() <= high  # of ten other seeds
        assert -1 <= low <= values.mean() <= high <= 1
    assert held / 2000 > 0.85


@pytest.mark.parametrize("made, words", [
    ({"commit": "abc", "versions": "clicv2lite 0.1.0, torch 2"}, "commit abc;"),
    ({"commit": None, "versions": "clicv2lite 0.1.0, torch 2"}, "installed 0.1.0;"),
    ({"commit": None}, "version not recorded;"),
])  # fmt: skip
def test_the_table_says_in_words_which_code_made_it(made, words):
    about = {
        "size": "ci",
        "caption": "C",
        "metric": "pcc",
        "heads": ["ridge"],
        "seeds": [0],
        "reference": "x",
        "n": 5,
        "rows": [],
    }
    text = markdown({**about, **made, "command": "clicv2lite"})
    assert words in text and "None" not in text


def test_a_supervised_row_without_a_backbone_names_none():
    row = {
        "label": "x",
        "paper": {},
        "ours": None,
        "missing": None,
        "direction": {"pcc": None, "top1": None},
        "difference": {"pcc": None, "top1": None},
    }
    row["runs"] = [{"seed": 0, "backbone": None, "weights": "scratch"}]
    about = {"size": "ci", "caption": "C", "metric": "pcc", "heads": ["ridge"], "seeds": [0], "reference": "x", "n": 5}
    assert "| x (here scratch) |" in markdown({**about, "rows": [row], "commit": "a", "command": "clicv2lite"})
