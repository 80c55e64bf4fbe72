"""A row: ratios of turns with their spread, equal work, and a reason where there is no ratio."""

from itertools import product
from statistics import median

import pytest
import torch

from clicv2lite.bench.peers import row
from clicv2lite.bench.peers.row import Comparison, because, flops_of, median_interval, row_of


def compared(build, counted=False):
    return row_of(Comparison("work", "no-such-peer", "same", "ours", "theirs", build, counted))


def test_the_ratio_is_of_pairs_and_above_one_where_ours_is_faster(monkeypatch):
    taken = {"ours": [1.0, 2.0, 4.0], "peer": [3.0, 4.0, 20.0]}  # pairs: 3, 2, 5
    monkeypatch.setattr(row, "rounds", lambda sides, at_least: taken)
    found = compared(lambda: (lambda: 1, lambda: 1))
    assert found.ratio == 3.0 and found.interval == (2.0, 5.0)
    assert found.seconds == {"ours": 2.0, "peer": 4.0} and found.rounds == taken and found.failed is None


def test_both_take_turns_and_each_goes_first(monkeypatch):
    monkeypatch.setattr("clicv2lite.bench.measure.CALL_SECONDS", 0.0)  # one call a turn
    monkeypatch.setattr("clicv2lite.bench.measure.MIN_SECONDS", 0.0)
    calls = []
    found = compared(lambda: (lambda: calls.append("a"), lambda: calls.append("b")))
    assert len(found.rounds["ours"]) == len(found.rounds["peer"]) == row.PAIRS
    assert "".join(calls[-2 * row.PAIRS :]) == "abba" * (row.PAIRS // 2)


def test_the_time_of_the_cores_is_that_between_begin_and_end(monkeypatch):
    clock, spent = iter([1.0, 4.0, 10.0, 10.5]), []
    monkeypatch.setattr(row.time, "process_time", lambda: next(clock))
    operation = row.clocked(lambda: None, spent)
    operation()
    operation()
    assert spent == [3.0, 0.5]


def test_unequal_work_is_no_ratio():
    found = compared(lambda: (lambda: (32, 16), lambda: (32, 17)))
    assert found.ratio is None and found.failed == "ValueError: the two sides did unequal work: (32, 16) here, (32, 17) there"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModuleNotFoundError("No module named 'solo'"), "ModuleNotFoundError: No module named 'solo'"),
        (RuntimeError("two\nlines"), "RuntimeError: two lines"),
    ],
)
def test_a_peer_that_fails_is_a_row_with_the_reason(error, reason):
    def build():
        raise error

    found = compared(build)
    assert (found.name, found.peer, found.version) == ("work", "no-such-peer", "")
    assert found.failed == reason and found.ratio is None and found.rounds == {}


def test_operations_are_those_of_both_passes():
    x, w = torch.rand(3, 5), torch.rand(5, 7, requires_grad=True)
    assert flops_of(lambda: x @ w) == 2 * 3 * 5 * 7
    assert flops_of(lambda: (x @ w).sum().backward()) == 2 * 2 * 3 * 5 * 7


def test_counted_work_has_its_operations_and_memory():
    x = torch.rand(64, 64)
    found = compared(lambda: (lambda: (x @ x).shape, lambda: (x @ x).shape), counted=True)
    assert found.flops == {"ours": 2 * 64**3, "peer": 2 * 64**3} and found.memory == {"ours": 4 * 64**2, "peer": 4 * 64**2}
    assert set(found.processor) == {"ours", "peer"} and compared(lambda: (lambda: 1, lambda: 1)).processor == {}


@pytest.mark.parametrize("n", [1, 2, 5, 6, 9, 12])
def test_the_interval_covers_the_median_as_often_as_it_says(n):
    low, high = median_interval(list(range(n)))
    if n < 6:
        assert (low, high) == (0, n - 1)  # the range: as much as there is
        return
    # each value is below the true median or above it, like heads and tails: count the outcomes in which it lies inside
    inside = sum(low < sum(below) <= high for below in product((0, 1), repeat=n)) / 2**n
    narrower = sum(low + 1 < sum(below) <= high - 1 for below in product((0, 1), repeat=n)) / 2**n
    assert inside >= 0.95 > narrower and low + high == n - 1


def test_the_interval_holds_the_median_and_does_not_mind_the_order():
    values = [5.0, 1.0, 9.0, 3.0, 7.0, 2.0, 8.0, 4.0, 6.0]
    low, high = median_interval(values)
    assert low < median(values) < high and (low, high) == median_interval(sorted(values))


def test_a_reason_is_one_line_and_not_endless():
    assert because("a\n  b\tc") == "a b c"
    assert len(because("word " * 1000)) <= row.LONGEST + 3
