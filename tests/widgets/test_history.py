"""The history of runs: the script reads the rows that Python reads, and a page carries little."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from traitlets import TraitError

from clicv2lite.errors import UserError
from clicv2lite.evaluate.stored import read_results, stored_results
from clicv2lite.extras import MissingPackage

history = pytest.importorskip("clicv2lite.widgets.history", exc_type=MissingPackage)

rows = st.lists(st.tuples(st.integers(1, 10**6), st.floats(0, 10)), min_size=2, max_size=20, unique_by=lambda row: row[0]).map(
    lambda some: [{"passes": passes, "contrast": loss} for passes, loss in sorted(some)]
)


@given(rows, st.integers(0, 10**6))
def test_browser_finds_the_last_row_up_to_there(script, log, passes):
    before = [k for k, row in enumerate(log) if row["passes"] <= passes]
    at = script("rowAt", {"passes": [row["passes"] for row in log]}, passes)
    assert at == (before[-1] if before else -1)
    assert history.row_at(log, passes) == (log[at] if before else None)


@given(rows, st.integers(0, 10**6), st.sampled_from([None, 11.0]))
def test_browser_has_pythons_share_of_the_fall(script, log, passes, start):
    losses = [row["contrast"] for row in log]
    log[-1]["contrast"] = min(losses) - 1  # it did fall
    first = losses[0] if start is None else start
    now = next((row["contrast"] for row in reversed(log) if row["passes"] <= passes), first)
    want = 1 - (now - log[-1]["contrast"]) / (first - log[-1]["contrast"])
    table = {"passes": [row["passes"] for row in log], "contrast": [row["contrast"] for row in log]}
    assert history.share_of_fall(log, "contrast", passes, start) == pytest.approx(want, abs=1e-9)
    assert script("shareOfFall", table, "contrast", passes, start) == pytest.approx(want, abs=1e-9)


def test_log_that_did_not_fall_has_no_share_of_the_fall(script):
    log = [{"passes": 10, "contrast": 5.0}]
    assert math.isnan(history.share_of_fall(log, "contrast", 10))
    assert script("shareOfFall", {"passes": [10], "contrast": [5.0]}, "contrast", 10) is None  # nan, as JSON has it


@pytest.fixture
def runs():
    return {f"seed {run.seed}": run.log for run in read_results(stored_results()).runs}


def test_stored_runs_go_into_a_page_of_some_kilobytes_at_four_digits(runs):
    widget = history.HistoryExplorer(runs)
    assert len(json.dumps(widget.constants)) < 60_000
    assert [panel["title"] for panel in widget.constants["panels"]] == [panel.title for panel in history.PANELS[:-1]]  # no PCC
    for (name, table), log in zip(widget.constants["runs"], runs.values(), strict=True):
        assert name in runs and table["passes"] == [row["passes"] for row in log]
        np.testing.assert_allclose(table["contrast"], [row["contrast"] for row in log], rtol=6e-4)


def test_slider_has_logged_passes_that_are_even_on_a_log_scale(runs):
    steps = history.HistoryExplorer(runs).constants["steps"]
    assert set(steps) <= {row["passes"] for row in runs["seed 0"]} and steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (1280, 256000) and 40 < len(steps) <= history.STEPS
    late = np.diff(np.log([step for step in steps if step > 20_000]))
    assert late.max() < 2 * late.min() + 0.05


def test_value_that_a_row_lacks_stays_away_and_its_panel_too(runs):
    log = [{"passes": 10, "contrast": 5.0}, {"passes": 20, "contrast": 4.0, "mean_pcc": 0.6}]
    widget = history.HistoryExplorer({"mine": log}, references={"mean_pcc": ("untrained", 0.5)}, passes=10)
    assert [panel["title"] for panel in widget.constants["panels"]] == ["InfoNCE", "mean PCC"]
    assert widget.constants["runs"] == [["mine", {"passes": [10, 20], "contrast": [5.0, 4.0], "mean_pcc": [None, 0.6]}]]
    assert widget.constants["references"] == [["mean_pcc", "untrained", 0.5]]
    assert widget.result() == {"mine": log[0]}
    widget.passes = 5
    assert widget.result() == {"mine": None}
    assert repr(widget) == "HistoryExplorer(passes=5, shown=['mine'])"


def test_result_holds_the_runs_that_are_shown(runs):
    widget = history.HistoryExplorer(runs, shown=["seed 2", "seed 0"], passes=6500)
    assert {name: row["passes"] for name, row in widget.result().items()} == {"seed 0": 6400, "seed 2": 6400}


def test_mistakes_are_named(runs):
    row = {"passes": 1, "contrast": 1.0}
    five = {name: [row] for name in "abcde"}
    for wrong, words in [({}, "1 to 4"), (five, "got 5"), ({"a": []}, "a: a log"), ({"a": [{}]}, "passes")]:
        with pytest.raises(UserError, match=words):
            history.HistoryExplorer(wrong)
    with pytest.raises(TraitError, match="no seed 7"):
        history.HistoryExplorer(runs, shown=["seed 7"])
