"""Predictions kept beside a report: they give the reported numbers again, and what must be equal is seen to differ."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.probe.crossval import folds
from clicv2lite.probe.metrics import report
from clicv2lite.probe.predictions import keep, pack, unpack, unpack_names
from clicv2lite.probe.task import Task

NAMES = ["a", "b"] * 40


def task(**changed):
    rng = np.random.default_rng(0)
    paths = [Path(f"/here/{i}.jpg") for i in range(80)]
    return Task(
        **{"paths": paths, "scores": rng.random(80), "categories": NAMES, "train": np.ones(80, bool), "test": None} | changed
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_a_packed_number_is_within_half_a_step(values):
    got = unpack(pack(values))
    assert np.abs(got - values).max() <= (max(values) - min(values)) / 65535 * 0.5001 + 1e-9


def test_equal_values_and_ends_are_exact():
    assert unpack(pack([0.3, 0.3])).tolist() == [0.3, 0.3]
    assert unpack(pack([True, False, True])).tolist() == [1, 0, 1]


@pytest.mark.parametrize("scale", [1, 1e-9])  # an encoder that collapsed predicts almost the same everywhere
def test_kept_predictions_give_the_reported_correlation(scale):
    one, rng = task(), np.random.default_rng(1)
    predictions = 0.5 + scale * (one.scores + rng.normal(0, 0.3, 80))
    kept = keep(one, np.arange(80), predictions, folds(80, 5, NAMES, 0))
    again = report(unpack(kept["rated"]["scores"]), unpack(kept["values"]), unpack_names(kept["rated"]["categories"]))
    assert again["mean_pcc"] == pytest.approx(report(one.scores, predictions, NAMES)["mean_pcc"], abs=1e-5)
    assert unpack_names(kept["rated"]["categories"]) == NAMES


def test_the_digest_of_images_changes_with_image_score_category_and_rows_but_not_with_their_folder():
    rows, tests = np.arange(80), folds(80, 5, NAMES, 0)
    first = keep(task(), rows, np.arange(80.0), tests)
    moved = task(paths=[Path(f"/there/{i}.jpg") for i in range(80)])
    assert keep(moved, rows, np.arange(80.0), tests)["images"] == first["images"]
    others = [
        (task(paths=[Path(f"/here/{i + 1}.jpg") for i in range(80)]), rows),
        (task(scores=np.linspace(0, 1, 80)), rows),
        (task(categories=["b", "a"] * 40), rows),
        (task(categories=None), rows),
        (task(), rows[:-1]),
    ]
    assert all(keep(one, some, np.arange(len(some)), tests)["images"] != first["images"] for one, some in others)
    assert unpack_names(keep(others[3][0], rows, np.arange(80.0), tests)["rated"]["categories"]) is None


def test_the_digest_of_folds_changes_with_their_seed_alone():
    rows = np.arange(80)
    first, same, other = (keep(task(), rows, rows * w, folds(80, 5, NAMES, seed)) for seed, w in ((0, 1), (0, 2), (1, 1)))
    assert first["folds"] == same["folds"] != other["folds"]
    assert first["images"] == same["images"] == other["images"]


def test_a_thousand_predictions_are_below_three_kilobytes():
    rng = np.random.default_rng(0)
    assert len(pack(rng.random(992))["steps"]) < 3000
    assert len(pack(rng.random(992) < 0.5)["steps"]) < 1000
