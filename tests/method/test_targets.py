"""What the decoder is asked for: each target against a slow reference, and the registry against the settings that name it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.method.entropy import default_bins, patch_entropy
from clicv2lite.method.targets import (
    TARGETS,
    TargetConfig,
    entropy_target,
    frequency_target,
    pixel_target,
    reconstruction_target,
)
from clicv2lite.method.views import ViewConfig
from tests.method.patch_batches import each, luma_of, patches


@given(patches())
def test_pixel_targets_are_normalised_within_each_patch(batch):
    want = [((x := patch.flatten()) - x.mean()) / np.sqrt(x.var(ddof=1) + 1e-6) for patch in each(batch)]
    got = pixel_target(batch)
    assert got.shape == (*batch.shape[:-3], 3 * batch.shape[-1] ** 2) and got.dtype == torch.float32
    np.testing.assert_allclose(got.reshape(len(want), -1), want, atol=1e-3)


def test_the_pixel_target_of_a_flat_patch_is_zero():
    assert not pixel_target(torch.full((3, 4, 4), 0.25)).any()


@given(patches())
def test_frequency_targets_are_the_log_amplitudes_of_a_discrete_fourier_transform(batch):
    p = batch.shape[-1]
    wave = np.exp(-2j * np.pi * np.outer(np.arange(p), np.arange(p)) / p) / np.sqrt(p)  # the transform as a matrix
    want = [np.log1p(np.abs(wave @ luma_of(patch) @ wave.T))[:, : p // 2 + 1].flatten() for patch in each(batch)]
    got = frequency_target(batch)
    assert got.shape == (*batch.shape[:-3], p * (p // 2 + 1)) and got.dtype == torch.float32
    np.testing.assert_allclose(got.reshape(len(want), -1), want, atol=1e-4)


@given(patches(), st.sampled_from([None, 2, 7, 32]))
def test_the_entropy_target_is_in_bits_or_a_share_of_the_most_there_can_be(batch, bins):
    bits, share = entropy_target(batch, bins), entropy_target(batch, bins, "normalised")
    assert bits.shape == (*batch.shape[:-3], 1) and bits[..., 0].equal(patch_entropy(batch, bins))
    np.testing.assert_allclose(share * math.log2(bins or default_bins(batch.shape[-1])), bits, atol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("leading", [(), (2, 5), (2, 0)])
@pytest.mark.parametrize("patch", [4, 8])
def test_a_target_has_as_many_numbers_as_its_setting_says(target, leading, patch):
    config = ViewConfig(size=32, patch=patch, target=target)
    pixels = torch.rand(*leading, 3, patch, patch, generator=torch.Generator().manual_seed(0))
    found = reconstruction_target(pixels, config)
    assert found.shape == (*leading, config.target_size) and found.dtype == torch.float32 and found.isfinite().all()


def test_one_patch_does_not_change_the_target_of_another():
    pixels = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    for target in TARGETS:
        alone = torch.stack([reconstruction_target(patch, TargetConfig(target)) for patch in pixels])
        torch.testing.assert_close(reconstruction_target(pixels, TargetConfig(target)), alone)


def test_a_target_that_is_not_there_is_an_error_with_those_that_are():
    with pytest.raises(ValueError, match=f"target 'colour': choose one of {', '.join(TARGETS)}"):
        _ = ViewConfig(target="colour").target_size


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("target, size", [("entropy", 1), ("pixels", 192), ("frequency", 40), ("none", 0)])
def test_where_nothing_is_masked_there_is_nothing_to_predict(target, size):
    found = reconstruction_target(torch.rand(2, 0, 3, 8, 8), ViewConfig(patch=8, target=target))
    assert found.shape == (2, 0, size) and found.dtype == torch.float32
