import numpy as np
import pytest
import torch
from scipy.special import erf

from clicv2lite.method.encoder import EncoderConfig, build_vit, encode_visible
from clicv2lite.method.patches import patchify
from clicv2lite.method.stem import AT_ONCE, CHANNELS, GROUPS, PatchStem, embedding_cost

KINDS = ["conv", "conv-pool"]


def stem_of(patch, width, pooled, seed=0):
    """A float64 stem whose every weight is random, biases and norms too."""
    torch.manual_seed(seed)
    stem = PatchStem(patch, width, pooled).double().requires_grad_(False)
    for parameter in stem.parameters():
        parameter.add_(torch.randn_like(parameter) / 10)
    return stem


def token_by_hand(stem, patch):
    """One patch (3, p, p) in NumPy, place by place."""
    w = {name: value.numpy() for name, value in stem.state_dict().items()}
    x = patch
    for level, channels in enumerate(CHANNELS):
        side = x.shape[1] // 2
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        y = np.zeros((channels, side, side))
        for c, row, column in np.ndindex(*y.shape):
            window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            y[c, row, column] = (w[f"convolutions.{level}.weight"][c] * window).sum() + w[f"convolutions.{level}.bias"][c]
        for group in np.split(np.arange(channels), GROUPS):
            y[group] = (y[group] - y[group].mean()) / np.sqrt(y[group].var() + 1e-5)
        y = y * w[f"norms.{level}.weight"][:, None, None] + w[f"norms.{level}.bias"][:, None, None]
        x = y * (1 + erf(y / np.sqrt(2))) / 2
    read = np.concatenate([x.mean((1, 2)), x.max((1, 2))]) if stem.pooled else x.flatten()
    return w["linear.weight"] @ read + w["linear.bias"]


@pytest.mark.parametrize("patch", [8, 16, 24])
@pytest.mark.parametrize("pooled", [False, True])
def test_a_token_is_that_of_three_convolutions_place_by_place(patch, pooled):
    stem, patches = stem_of(patch, 5, pooled), torch.randn(2, 3, 3, patch, patch, dtype=torch.float64)
    want = [[token_by_hand(stem, p.numpy()) for p in row] for row in patches]
    np.testing.assert_allclose(stem.tokens(patches), want, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, AT_ONCE, 2 * AT_ONCE + 3])
def test_many_patches_are_embedded_in_parts_each_as_alone(count):
    stem, patches, sizes = stem_of(8, 5, pooled=True), torch.randn(count, 1, 3, 8, 8, dtype=torch.float64), []
    stem.linear.register_forward_hook(lambda module, given, output: sizes.append(len(output)))
    got = stem.tokens(patches)
    assert sum(sizes) == count and max(sizes) <= AT_ONCE
    torch.testing.assert_close(got, torch.stack([stem.tokens(patch[None])[0] for patch in patches]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pooled", [False, True])
def test_no_convolution_leaves_its_patch(pooled):
    stem, images = stem_of(16, 6, pooled), torch.randn(1, 3, 48, 32, dtype=torch.float64)
    before = stem(images)
    assert before.shape == (1, 6, 3, 2)
    images[:, :, 16:32, :16] += 1
    changed = (stem(images) - before).abs().amax(1)[0] > 1e-9
    assert changed.tolist() == [[False, False], [True, False], [False, False]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_vit_on_images_and_on_their_patches_agrees(kind):
    config = EncoderConfig(size=48, patch=16, width=8, depth=2, heads=2, patch_embed=kind)
    vit, images = build_vit(config).double(), torch.randn(2, 3, 48, 48, dtype=torch.float64)
    every = torch.arange(9).expand(2, 9)
    np.testing.assert_allclose(
        vit.forward_features(images).detach(), encode_visible(vit, patchify(images, 16), every).detach(), atol=1e-9
    )


@pytest.mark.parametrize("kind", KINDS)
def test_patches_that_the_strides_do_not_divide_are_refused(kind):
    with pytest.raises(ValueError, match="multiple of 8 px, not 12"):
        build_vit(EncoderConfig(size=24, patch=12, width=8, depth=1, heads=2, patch_embed=kind))


@pytest.mark.parametrize("patch", [8, 32])
@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_are_counted(kind, patch):
    stem = PatchStem(patch, 24, kind == "conv-pool")
    assert embedding_cost(kind, patch, 24).weights == sum(p.numel() for p in stem.parameters())
