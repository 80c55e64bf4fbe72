import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from clicv2lite.method.entropy import default_bins, luma, patch_entropy
from tests.method.patch_batches import each, luma_of, patches

FLOATS = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])


@given(patches(), st.integers(1, 300))
def test_patch_entropy_matches_a_histogram_per_patch(batch, bins):
    brightness = [luma_of(patch) for patch in each(batch)]
    edges = np.array(brightness) * bins
    assume(np.abs(edges - edges.round())[edges.round() % bins != 0].min(initial=1) > 1e-4)  # an edge is a matter of rounding
    want = [scipy_entropy(np.histogram(level, bins, (0, 1 + 1e-9))[0], base=2) for level in brightness]
    got = patch_entropy(batch, bins)
    assert got.shape == batch.shape[:-3] and got.dtype == torch.float32
    np.testing.assert_allclose(got.flatten(), want, atol=1e-5)


@given(patches(), st.integers(1, 300))
def test_entropy_lies_between_zero_and_log2_of_bins_and_of_pixels(batch, bins):
    bits = patch_entropy(batch, bins)
    assert (bits >= 0).all() and (bits <= math.log2(min(bins, batch.shape[-1] ** 2)) + 1e-5).all()


@given(patches(), st.integers(0, 99))
def test_a_permutation_of_the_pixels_changes_nothing(batch, seed):
    p = batch.shape[-1]
    order = torch.randperm(p * p, generator=torch.Generator().manual_seed(seed))
    shuffled = batch.flatten(-2)[..., order].reshape(batch.shape)
    assert patch_entropy(shuffled).equal(patch_entropy(batch))


@given(st.tuples(*[st.floats(0, 1)] * 3), st.integers(1, 12), st.integers(1, 300), FLOATS)
def test_a_flat_patch_has_no_entropy(colour, p, bins, dtype):
    flat = torch.tensor(colour, dtype=dtype)[:, None, None].expand(3, p, p)
    assert patch_entropy(flat, bins) == 0


@pytest.mark.parametrize("bins", [1, 2, 8, 32, 256])
def test_as_many_pixels_in_every_bin_give_log2_of_bins(bins):
    gray = (torch.arange(256) % bins + 0.5) / bins
    assert float(patch_entropy(gray.reshape(16, 16).expand(3, 16, 16), bins)) == pytest.approx(math.log2(bins))


def test_white_is_in_range_and_belongs_to_the_last_bin():
    gray = torch.tensor([[1.0, 1.0], [0.99, 0.99]])
    assert patch_entropy(gray.expand(3, 2, 2), 8) == 0
    assert patch_entropy(torch.tensor([[1.0, 1.0], [0.0, 0.0]]).expand(3, 2, 2), 8) == 1


@given(patches(), FLOATS)
def test_any_floating_dtype_gives_the_entropy_of_its_float32_values(batch, dtype):
    batch = batch.to(dtype)
    assert patch_entropy(batch).equal(patch_entropy(batch.float()))


def test_no_patches_have_no_entropies():
    assert patch_entropy(torch.zeros(2, 0, 3, 4, 4)).shape == (2, 0)


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_value_outside_the_range_is_refused(value, channel):
    patch = torch.full((2, 3, 4, 4), 0.5)
    patch[1, channel, 2, 3] = value  # one channel of one pixel: its brightness may well lie inside
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        patch_entropy(patch)


def test_other_channel_counts_and_no_bins_are_refused():
    with pytest.raises(ValueError, match="expected 3 channels"):
        patch_entropy(torch.zeros(2, 1, 4, 4))
    with pytest.raises(ValueError, match="0 bins"):
        patch_entropy(torch.zeros(2, 3, 4, 4), 0)


@given(st.integers(1, 300))
def test_default_bins_are_the_power_of_two_that_leaves_eight_pixels_a_bin(p):
    bins = default_bins(p)
    assert math.log2(bins).is_integer() and 2 <= bins <= 256
    assert bins == 2 or bins * 8 <= p * p
    assert bins == 256 or 2 * bins * 8 > p * p
    if p >= 3:
        assert (bins - 1) / (2 * p * p * math.log(2)) < 0.1  # the bias in bits that the docstring promises


def test_default_bins_are_used_when_none_are_given():
    noise = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert patch_entropy(noise).equal(patch_entropy(noise, 32)) and not patch_entropy(noise).equal(patch_entropy(noise, 16))


@given(patches())
def test_luma_is_a_weighted_mean_of_the_channels(batch):
    want = np.array([luma_of(patch) for patch in each(batch)]).reshape(*batch.shape[:-3], *batch.shape[-2:])
    np.testing.assert_allclose(luma(batch), want, atol=1e-12)
