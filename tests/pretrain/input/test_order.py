import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.pretrain.input.order import samples

SEEDS = st.integers(0, 2**63 - 1)


@given(SEEDS, st.integers(1, 30), st.integers(0, 3))
def test_each_epoch_holds_every_index_once(seed, size, epoch):
    number, index = samples(seed, size, epoch * size, size)
    assert number.tolist() == [epoch] * size and sorted(index.tolist()) == list(range(size))
    assert number.dtype == index.dtype == np.int64


@given(SEEDS, st.integers(1, 20), st.integers(0, 50), st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_the_sequence_does_not_depend_on_how_it_is_cut_into_batches(seed, size, start, batches):
    epoch, index = samples(seed, size, start, sum(batches))
    parts, at = [], start
    for batch in batches:
        parts.append(samples(seed, size, at, batch))
        at += batch
    assert np.concatenate([p[0] for p in parts]).tolist() == epoch.tolist()
    assert np.concatenate([p[1] for p in parts]).tolist() == index.tolist()


def test_epochs_and_seeds_are_shuffled_differently():
    orders = {tuple(samples(seed, 50, epoch * 50, 50)[1]) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9 and tuple(range(50)) not in orders


def test_a_batch_larger_than_the_data_set_runs_through_several_epochs():
    epoch, index = samples(0, 3, 2, 8)
    assert epoch.tolist() == [0, 1, 1, 1, 2, 2, 2, 3] and sorted(index[1:4]) == sorted(index[4:7]) == [0, 1, 2]


@pytest.mark.parametrize("place", [0, 9])
def test_every_image_comes_first_and_last_equally_often(place):
    count = np.bincount([samples(seed, 10, 0, 10)[1][place] for seed in range(2000)], minlength=10)
    assert np.abs(count - 200).max() < 5 * np.sqrt(200)
