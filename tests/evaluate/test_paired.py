"""Paired differences against scipy, a loop that draws images, Benjamini-Hochberg by hand, and data without a difference."""

import tracemalloc

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from clicv2lite.evaluate.paired import (
    CHUNK,
    Paired,
    adjusted,
    alike,
    all_above,
    draws,
    paired_difference,
    statistic_of,
)
from clicv2lite.probe.metrics import pcc, report

NAMES = ["art"] * 30 + ["text"] * 20 + ["two"] * 2  # the last one is too small to correlate
STATISTICS = ["mean_pcc", "pcc", "pcc:art", "variance", "category_accuracy"]


def data(seeds=3, effect=0.0, n=52, draw=0):
    rng = np.random.default_rng(draw)
    scores = rng.random(n)
    left, right = (scores + rng.normal(0, noise, (seeds, n)) for noise in (0.3, 0.3 + effect))
    return left, right, scores


def slow(statistic, scores, predictions, names):
    """The statistic of one list of images, by the report of `probe`."""
    if statistic == "category_accuracy":
        return 100 * predictions.mean()
    found = report(scores, predictions, list(names), resamples=0)
    if statistic.startswith("pcc:"):
        return found["per_category"][statistic[4:]]["pcc"]
    return found[{"variance": "pcc_variance"}.get(statistic, statistic)]


@pytest.mark.parametrize("statistic", STATISTICS)
def test_values_are_those_of_the_report(statistic):
    left, right, scores = data()
    got = paired_difference(left, right, scores, NAMES, statistic, resamples=10)
    want = [slow(statistic, scores, a, NAMES) - slow(statistic, scores, b, NAMES) for a, b in zip(left, right, strict=True)]
    np.testing.assert_allclose(got.values, want, atol=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_resample_is_the_statistic_of_the_images_drawn(statistic):
    left, right, scores = data(seeds=2)
    counts = draws(tuple(NAMES), 40, 5)
    got = paired_difference(left, right, scores, NAMES, statistic, resamples=40, seed=5).resampled
    for row, found in zip(counts, got, strict=True):
        drawn = np.repeat(np.arange(52), row)
        names = np.array(NAMES)[drawn]
        want = [slow(statistic, scores[drawn], one[drawn], names) for one in (*left, *right)]
        assert found == pytest.approx(np.mean(want[:2]) - np.mean(want[2:]), abs=1e-10)


def test_top1_of_many_images_has_the_interval_of_the_bootstrap_that_draws_each_image():
    left, right = (np.random.default_rng(seed).random((2, 300)) < share for seed, share in ((1, 0.6), (2, 0.5)))
    one, other = (paired_difference(left, right, np.zeros(300), None, name) for name in ("top1", "category_accuracy"))
    want = pytest.approx([100 * (a.mean() - b.mean()) for a, b in zip(left, right, strict=True)])
    assert list(one.values) == want and list(other.values) == want
    np.testing.assert_allclose(one.over_images, other.over_images, atol=0.35)
    assert one.resampled.std() == pytest.approx(100 * (1.0 * left - right).mean(0).std() / np.sqrt(300), rel=0.03)
    many = np.random.default_rng(3).random((2, 50_000)) < 0.5
    assert paired_difference(many, ~many, np.zeros(50_000), None, "top1").resampled.shape == (9999,)


def test_images_are_drawn_within_their_categories_and_alike_for_every_row():
    counts = draws(tuple(NAMES), 500, 0)
    assert (counts[:, :30].sum(1) == 30).all() and (counts[:, 30:50].sum(1) == 20).all() and (counts[:, 50:].sum(1) == 2).all()
    assert np.abs(counts[:, :50].mean(0) - 1).max() < 0.25  # every image as often as the others
    assert (counts == draws(tuple(NAMES), 500, 0)).all() and (counts != draws(tuple(NAMES), 500, 1)).any()


def test_resamples_of_many_images_are_drawn_in_parts_and_are_those_drawn_at_once():
    rng, n, resamples = np.random.default_rng(3), 100, 8 * CHUNK + 7
    names = tuple(np.repeat(["art", "text"], n // 2))
    tracemalloc.start()
    got = draws(names, resamples, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    for half in (got[:, : n // 2], got[:, n // 2 :]):
        picked = rng.integers(n // 2, size=(resamples, n // 2))
        np.testing.assert_array_equal(half, [np.bincount(row, minlength=n // 2) for row in picked])
    assert peak < got.nbytes + 8 * resamples * n // 2  # all numbers of one category


def test_interval_over_images_is_that_of_a_loop():
    left, right, scores = data(effect=0.2)
    rng, places = np.random.default_rng(9), [np.flatnonzero(np.array(NAMES) == name) for name in ("art", "text")]
    loop = []
    for _ in range(600):
        parts = [rng.choice(place, len(place)) for place in places]
        mean = [np.mean([pcc(scores[part], one[part]) for part in parts]) for one in (*left, *right)]
        loop.append(np.mean(mean[:3]) - np.mean(mean[3:]))
    np.testing.assert_allclose(
        paired_difference(left, right, scores, NAMES).over_images, np.percentile(loop, [2.5, 97.5]), atol=0.015
    )


def test_interval_and_p_value_over_seeds_are_those_of_a_paired_t_test():
    a, b = np.array([0.60, 0.62, 0.65]), np.array([0.55, 0.58, 0.57])
    pair, want = Paired(tuple(a - b)), ttest_rel(a, b)
    assert pair.over_seeds == pytest.approx(list(want.confidence_interval(0.95)))
    assert pair.p == pytest.approx(want.pvalue)
    assert Paired(tuple(b - a)).p == pytest.approx(want.pvalue)
    assert pair.p_beyond(0.03, 1) == pytest.approx(ttest_1samp(a - b, 0.03, alternative="greater").pvalue)
    assert pair.p_beyond(0.03, -1) == pytest.approx(ttest_1samp(a - b, 0.03, alternative="less").pvalue)


def test_the_larger_p_value_of_both_tests_counts():
    values, clear, unclear = (0.05, 0.051, 0.052), np.linspace(0.01, 0.09, 999), np.linspace(-0.02, 0.12, 1001)
    assert Paired(values, clear).p == pytest.approx(max(2 / 1000, ttest_1samp(values, 0).pvalue))
    few = Paired(values, unclear)
    assert few.p == pytest.approx(2 * (1 + (unclear <= 0).sum()) / 1002) and few.p > 0.05
    assert few.over_seeds[0] > 0 > few.over_images[0]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_p_value_below_5_percent_means_that_both_intervals_leave_out_zero(sign):
    for draw in range(20):
        left, right, scores = data(effect=0.05 * draw, draw=draw)
        pair = paired_difference(*((left, right) if sign > 0 else (right, left)), scores, NAMES, resamples=999)
        out = all(low > 0 or high < 0 for low, high in (pair.over_seeds, pair.over_images))
        assert (pair.p < 0.05) == out or abs(pair.p - 0.05) < 0.01


def test_what_cannot_be_tested_says_why():
    assert Paired((0.1,), np.ones(9)).undecided == "one seed: no interval over seeds"
    assert Paired((0.1,), np.ones(9)).p is None and Paired((0.1,)).over_seeds is None
    assert Paired((0.1, 0.2), lack="no predictions").undecided == "no predictions"
    assert Paired((0.1, 0.2), lack="no predictions").p is None
    assert Paired((0.1, 0.2)).undecided is None  # a number of a whole map: seeds alone


def test_two_rows_that_are_one_run_do_not_differ():
    left, _, scores = data()
    pair = paired_difference(left, left, scores, NAMES, resamples=99)
    assert (pair.values, pair.p, pair.over_seeds, pair.over_images) == ((0, 0, 0), 1.0, [0, 0], [0, 0])


def test_a_constant_prediction_has_no_correlation_and_is_left_out_as_in_the_report():
    left, right, scores = data()
    left[0, :30] = 0.5  # in one category
    pair = paired_difference(left, right, scores, NAMES, resamples=20)
    assert pair.values[0] == pytest.approx(pcc(scores[30:50], left[0, 30:50]) - slow("mean_pcc", scores, right[0], NAMES))
    assert np.isnan(statistic_of("pcc", scores, np.full((1, 52), 0.1), NAMES, np.ones((1, 52)))).all()


def test_shapes_that_do_not_fit_are_refused():
    left, right, scores = data()
    with pytest.raises(ValueError, match="are needed"):
        paired_difference(left, right[:, :-1], scores)
    with pytest.raises(ValueError, match="are needed"):
        paired_difference(left[0], right[0], scores)


def pair(mean, half=0.001):
    """A clear difference, by both tests."""
    return Paired((mean - half, mean, mean + half), np.linspace(mean - half, mean + half, 99))


def test_all_comparisons_must_hold_and_one_is_enough_against():
    up, less, down, none = pair(0.1), pair(0.01), pair(-0.1), pair(0.0)
    assert all_above([up, less]) == (True, max(up.p, less.p))
    assert all_above([up, less, down]) == (False, pytest.approx(3 * down.p))
    assert all_above([up, none, none]) == (False, 1.0)
    lacking = Paired((0.1, 0.11), lack="none stored")
    assert all_above([up, lacking]) == (True, None)
    assert all_above([down, lacking]) == (False, pytest.approx(2 * down.p))


def test_of_several_comparisons_the_largest_p_value_holds_and_the_smallest_stands_against():
    wide, narrow = pair(0.05, half=0.06), pair(0.017, half=0.004)
    assert all_above([narrow, wide]) == (True, pytest.approx(ttest_1samp(wide.values, 0).pvalue))
    assert all_above([pair(-0.05, half=0.06), pair(-0.017, half=0.004)]) == (False, pytest.approx(2 * 2 / 100))  # two of 99 + 1
    assert alike([wide, narrow], 0.01) == (False, pytest.approx(2 * ttest_1samp(narrow.values, 0.01).pvalue))
    unsure = ttest_1samp(narrow.values, 0.02, alternative="less").pvalue
    assert alike([pair(0.005), narrow], 0.02) == (True, pytest.approx(unsure))


def test_equivalence_is_two_one_sided_tests_within_the_margin():
    close, wide, far = pair(0.005), pair(0.005, half=0.04), pair(-0.05)
    low, high = (ttest_1samp(close.values, end, alternative=side).pvalue for end, side in ((-0.02, "greater"), (0.02, "less")))
    assert alike([close], 0.02) == (True, pytest.approx(max(low, high, 1 / 100)))
    assert alike([close], 0.02)[1] < 0.05 < alike([wide], 0.02)[1]
    assert alike([far], 0.02) == (False, pytest.approx(2 * far.p_beyond(-0.02, -1)))
    assert alike([close, far], 0.02)[0] is False
    assert alike([Paired((0.001, 0.002), lack="none stored")], 0.02) == (True, None)


def test_benjamini_hochberg_by_hand():
    ps = [0.01, 0.04, 0.03, 0.5]  # sorted: .01 * 4 / 1, .03 * 4 / 2, .04 * 4 / 3, .5; then the smallest from the right
    assert adjusted(ps) == pytest.approx([0.04, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5])
    assert adjusted([]) == []


@pytest.mark.parametrize(("common", "own", "alone"), [(0.3, 0.0, "over_seeds"), (0.0, 0.05, "over_images"), (0.05, 0.02, None)])
def test_without_a_difference_a_verdict_is_as_rare_as_it_says(common, own, alone):
    """Two ways to train whose expected score is equal: errors that all seeds share, image by image, and luck of each seed."""
    rng, names, trials, hits, one_test = np.random.default_rng(3), ["a"] * 60 + ["b"] * 60, 200, 0, 0
    for _ in range(trials):
        scores, sides = rng.random(120), []
        for _ in range(2):
            noise = 0.3 + own * rng.normal(size=(5, 1))
            sides.append(scores + common * rng.normal(size=120) + noise * rng.normal(size=(5, 120)))
        pair = paired_difference(*sides, scores, names, resamples=199)
        hits += pair.p <= 0.05
        low, high = getattr(pair, alone or "over_seeds")
        one_test += low > 0 or high < 0
    assert hits <= 0.05 * trials + 2 * np.sqrt(0.05 * 0.95 * trials)  # two standard deviations
    assert not alone or one_test > 0.15 * trials  # one of the tests alone is wrong far more often


def test_a_difference_that_is_there_is_found():
    found = [
        paired_difference(*data(seeds=5, effect=0.3, n=52, draw=draw), NAMES, resamples=199).p <= 0.05 for draw in range(20)
    ]
    assert np.mean(found) > 0.7
