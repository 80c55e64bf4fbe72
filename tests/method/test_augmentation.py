import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve1d

from clicv2lite.method.augmentation import AugmentConfig, augment, blurred


@st.composite
def patches_to_augment(draw):
    """Patches (B, V, 3, p, p) in [0, 1], their noise, and a configuration of any strength."""
    b, v, p, seed = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 7)), draw(st.integers(0, 99))
    generator = torch.Generator().manual_seed(seed)
    config = AugmentConfig(
        augment=draw(st.sampled_from(["patch", "image"])),
        flip=draw(st.sampled_from([0.0, 0.5, 1.0])),
        color=draw(st.sampled_from([0.0, 0.4, 1.0])),
        blur=draw(st.sampled_from([0.0, 0.5, 1.0])),
    )
    return torch.rand(b, v, 3, p, p, generator=generator), torch.rand(b, v, 5, generator=generator), config


def augmented_patch(patch, noise, config):
    """One (3, p, p) float64 patch: mirror, saturation, contrast, brightness, blur, one after the other."""
    if config.augment == "patch" and noise[0] < config.flip:
        patch = patch[:, :, ::-1]
    gain, contrast, saturation = (1 + config.color * (2 * n - 1) for n in noise[1:4])
    gray = 0.299 * patch[0] + 0.587 * patch[1] + 0.114 * patch[2]
    patch = gray + saturation * (patch - gray)
    patch = gray.mean() + contrast * (patch - gray.mean())
    patch = np.clip(gain * patch, 0, 1)
    if noise[4] < config.blur:
        strength = 1 - noise[4] / config.blur
        patch = (1 - strength) * patch + strength * blurred_patch(patch)
    return patch


def blurred_patch(patch):
    taps = np.array([1, 4, 6, 4, 1]) / 16
    return convolve1d(convolve1d(patch, taps, axis=-1, mode="nearest"), taps, axis=-2, mode="nearest")


@given(patches_to_augment())
def test_augmentation_is_the_formula_patch_by_patch(case):
    patches, noise, config = case
    got = augment(patches, noise, config)
    assert got.min() >= 0 and got.max() <= 1
    for i, j in np.ndindex(noise.shape[:2]):
        want = augmented_patch(patches[i, j].double().numpy(), noise[i, j].double().numpy(), config)
        np.testing.assert_allclose(got[i, j], want, atol=2e-6)


@given(patches_to_augment())
def test_augmentation_leaves_its_input_as_it_was(case):
    patches, noise, config = case
    before = patches.clone()
    augment(patches, noise, config)
    assert patches.equal(before)


def test_no_augmentation_changes_nothing():
    patches = torch.rand(2, 3, 3, 4, 4)
    assert augment(patches, torch.rand(2, 3, 5), AugmentConfig("none")).equal(patches)


@given(st.integers(1, 9), st.integers(0, 99))
def test_blur_is_a_binomial_filter_with_replicated_edges(p, seed):
    patches = torch.rand(2, 3, p, p, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    np.testing.assert_allclose(blurred(patches), [blurred_patch(patch) for patch in patches.numpy()], atol=1e-12)


def test_a_flat_patch_stays_flat_under_blur():
    np.testing.assert_allclose(blurred(torch.full((3, 6, 6), 0.7)), 0.7, atol=1e-6)
