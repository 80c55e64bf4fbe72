import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from clicv2lite.probe.metrics import bootstrap, interval, pcc, report, srcc

value = st.floats(-1e3, 1e3).map(lambda v: round(v, 1))  # rounded: ties are common
pairs = st.lists(st.tuples(value, value), min_size=2, max_size=40).map(lambda p: tuple(np.array(p).T))


def varies(x):
    return np.ptp(x) > 0


@given(pairs)
def test_pcc_and_srcc_match_scipy_with_ties(pair):
    x, y = pair
    if varies(x) and varies(y):
        assert pcc(x, y) == pytest.approx(stats.pearsonr(x, y)[0], abs=1e-9)
        assert srcc(x, y) == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-9)
    else:
        assert np.isnan(pcc(x, y)) and np.isnan(srcc(x, y))


@given(pairs, st.floats(0.01, 100), st.floats(-1e3, 1e3))
def test_pcc_ignores_scale_and_offset_and_is_symmetric(pair, scale, offset):
    x, y = pair
    if varies(x) and varies(y):
        assert pcc(x, scale * y + offset) == pytest.approx(pcc(x, y), abs=1e-6)
        assert pcc(y, x) == pytest.approx(pcc(x, y), abs=1e-12)
        assert pcc(x, -y) == pytest.approx(-pcc(x, y), abs=1e-12)


def test_a_constant_is_undefined_even_where_its_mean_is_rounded():
    assert np.isnan(pcc([0.1] * 7, np.arange(7)))
    assert np.isnan(pcc([1.0], [2.0])) and np.isnan(pcc([], []))


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1e30, 1e200])
def test_pcc_neither_overflows_nor_underflows(size):
    x = np.array([1.0, 2.0, 4.0, 3.0])
    assert pcc(size * x, x) == pytest.approx(1)


@pytest.mark.parametrize("x, y", [([1, 2], [1, 2, 3]), ([[1, 2]], [[1, 2]]), ([1, np.nan], [1, 2]), ([1, 2], [np.inf, 2])])
def test_lengths_shapes_and_values_that_are_not_finite_are_refused(x, y):
    with pytest.raises(ValueError):
        pcc(x, y)


@pytest.mark.parametrize("statistic, reference", [("pcc", stats.pearsonr), ("srcc", stats.spearmanr)])
def test_bootstrap_is_a_loop_over_resamples(statistic, reference):
    rng = np.random.default_rng(1)
    x = rng.integers(0, 6, 30).astype(float)
    y = x + rng.integers(0, 6, 30)
    index = np.random.default_rng(5).integers(30, size=(50, 30))
    want = [reference(x[i], y[i])[0] for i in index]
    np.testing.assert_allclose(bootstrap(x, y, statistic, 50, seed=5), want, atol=1e-12)


def test_bootstrap_in_chunks_equals_one_draw(monkeypatch):
    x = np.random.default_rng(0).normal(size=20)
    y = x + np.random.default_rng(1).normal(size=20)
    whole = bootstrap(x, y, resamples=100, seed=3)
    monkeypatch.setattr("clicv2lite.probe.metrics.CHUNK", 20 * 7)
    np.testing.assert_array_equal(bootstrap(x, y, resamples=100, seed=3), whole)


def test_the_interval_agrees_with_scipy_bootstrap():
    rng = np.random.default_rng(2)
    x = rng.normal(size=200)
    y = x + rng.normal(size=200)
    low, high = interval(bootstrap(x, y, resamples=2000))
    want = stats.bootstrap(
        (x, y),
        lambda a, b: stats.pearsonr(a, b)[0],
        paired=True,
        vectorized=False,
        n_resamples=600,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert low == pytest.approx(want.low, abs=0.02) and high == pytest.approx(want.high, abs=0.02)


def test_the_interval_leaves_out_25_in_1000_on_either_side():
    assert interval(np.arange(2001.0)) == pytest.approx([50, 1950])


def test_the_interval_covers_the_true_correlation_about_95_times_in_100():
    rng, rho, covered = np.random.default_rng(0), 0.6, 0
    for trial in range(200):
        x, e = rng.normal(size=(2, 100))
        low, high = interval(bootstrap(x, rho * x + np.sqrt(1 - rho**2) * e, resamples=300, seed=trial))
        covered += low <= rho <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_a_report_averages_over_categories():
    rng = np.random.default_rng(0)
    scores, noise = rng.uniform(size=(2, 90))
    names = ["c", "a", "b"] * 30
    got = report(scores, scores + noise, names)
    each = {n: [stats.pearsonr(*(v[np.array(names) == n] for v in (scores, scores + noise)))[0]] for n in "abc"}
    assert list(got["per_category"]) == ["a", "b", "c"]
    for name, entry in got["per_category"].items():
        assert set(entry) == {"n", "pcc", "srcc", "pcc_ci"} and entry["n"] == 30
        assert entry["pcc"] == pytest.approx(each[name][0]) and entry["pcc_ci"][0] < entry["pcc"] < entry["pcc_ci"][1]
    assert got["mean_pcc"] == pytest.approx(np.mean(list(each.values())))
    assert got["pcc_variance"] == pytest.approx(np.var(list(each.values())))
    assert got["mean_pcc_ci"][0] < got["mean_pcc"] < got["mean_pcc_ci"][1]
    assert got["pcc_ci"][0] < got["pcc"] < got["pcc_ci"][1]
    assert got["srcc_ci"][0] < got["srcc"] < got["srcc_ci"][1]
    assert got == report(scores, scores + noise, names)


def test_the_mean_is_blind_to_category_offsets_that_inflate_the_pooled_value():
    rng = np.random.default_rng(0)
    offset = np.repeat([0.0, 10.0], 40)
    got = report(rng.normal(size=80) + offset, rng.normal(size=80) + offset, ["low"] * 40 + ["high"] * 40)
    assert got["pcc"] > 0.9 and abs(got["mean_pcc"]) < 0.4


def test_the_intervals_of_a_report_are_those_of_loops():
    """Offsets between the categories make the pooled PCC large; `exp` bends it, and leaves the ranks alone."""
    rng = np.random.default_rng(0)
    names, offset = np.repeat(["low", "high"], 60), np.repeat([0.0, 6.0], 60)
    scores, predictions = rng.normal(size=120) + offset, rng.normal(size=120) + offset
    scores[60:] += 0.5 * (predictions[60:] - 6)  # another PCC in each category
    predictions = np.exp(predictions)
    places = [np.flatnonzero(names == name) for name in ("low", "high")]
    within, ranks = [], []
    for _ in range(600):
        drawn = [rng.choice(place, 60) for place in places]
        within.append(np.mean([stats.pearsonr(scores[rows], predictions[rows])[0] for rows in drawn]))
        rows = rng.integers(120, size=120)
        ranks.append(stats.spearmanr(scores[rows], predictions[rows])[0])
    got = report(scores, predictions, names.tolist())
    np.testing.assert_allclose(got["mean_pcc_ci"], np.percentile(within, [2.5, 97.5]), atol=0.02)
    np.testing.assert_allclose(got["srcc_ci"], np.percentile(ranks, [2.5, 97.5]), atol=0.02)


def test_small_and_constant_categories_are_null_and_left_out_of_the_mean():
    scores = [0.1, 0.2, 0.4, 0.3, 0.9, 0.5, 0.5, 0.5]
    predictions = [0.1, 0.3, 0.4, 0.1, 0.8, 0.1, 0.2, 0.3]
    got = report(scores, predictions, ["fine"] * 3 + ["two"] * 2 + ["flat"] * 3)
    assert got["per_category"]["two"] == {"n": 2, "pcc": None, "srcc": None, "pcc_ci": None}
    assert got["per_category"]["flat"] == {"n": 3, "pcc": None, "srcc": None, "pcc_ci": None}
    assert got["mean_pcc"] == got["per_category"]["fine"]["pcc"] and got["pcc_variance"] == 0
    json.dumps(got, allow_nan=False)


def test_without_categories_the_mean_is_the_pooled_value():
    got = report([0.1, 0.2, 0.4, 0.3], [0.0, 0.5, 0.4, 0.3])
    assert got["mean_pcc"] == got["pcc"] and got["mean_pcc_ci"] == got["pcc_ci"]
    assert got["per_category"] == {} and got["pcc_variance"] is None


def test_constant_predictions_give_nulls_not_nans():
    got = report([0.1, 0.2, 0.4, 0.3], [0.5] * 4, ["a"] * 4)
    assert got["pcc"] is got["srcc"] is got["pcc_ci"] is got["mean_pcc"] is got["mean_pcc_ci"] is None
    json.dumps(got, allow_nan=False)


def test_categories_must_match_the_scores():
    with pytest.raises(ValueError, match="2 categories for 3 scores"):
        report([1, 2, 3], [1, 2, 3], ["a", "b"])
