"""The generator is mulberry32, and the same in Python and in the browser."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.extras import MissingPackage

uniforms = pytest.importorskip("clicv2lite.widgets.draws", exc_type=MissingPackage).uniforms
seeds = st.integers(0, 2**32 - 1)


def mulberry32(seed: int, count: int) -> list[float]:
    """One number after the other in Python's own integers, as the generator is published."""
    numbers = []
    for _ in range(count):
        seed = (seed + 0x6D2B79F5) % 2**32
        t = (seed ^ seed >> 15) * (seed | 1) % 2**32
        t ^= (t + (t ^ t >> 7) * (t | 61)) % 2**32
        numbers.append((t ^ t >> 14) / 2**32)
    return numbers


@given(seeds, st.integers(0, 50))
def test_uniforms_are_those_of_the_published_loop(seed, count):
    assert uniforms(seed, count).tolist() == mulberry32(seed, count)


@given(seeds, st.integers(0, 50))
def test_browser_draws_the_same_numbers(script, seed, count):
    assert script("uniforms", seed, count) == uniforms(seed, count).tolist()


def test_uniforms_are_uniform_and_differ_between_seeds():
    numbers = uniforms(7, 20_000)
    assert numbers.dtype == torch.float64 and numbers.min() >= 0 and numbers.max() < 1
    counts = np.histogram(numbers.numpy(), 10, (0, 1))[0]
    assert np.abs(counts - 2000).max() < 5 * np.sqrt(2000 * 0.9)
    assert len(set(uniforms(7, 20).tolist()) & set(uniforms(8, 20).tolist())) == 0


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_that_is_no_32_bit_number_is_refused(seed):
    with pytest.raises(ValueError, match=f"seed {seed}"):
        uniforms(seed, 1)
