"""A closer look at patches: their middles, enlarged, through the patch embedding alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clicv2lite.encoders.config import FrozenConfig, PoolConfig, stored_config
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.encoders.token_similarity import NEAREST_CHANNELS, nearest
from clicv2lite.encoders.zoom import zoomed
from clicv2lite.errors import UserError
from clicv2lite.method.encoder import EncoderConfig, build_vit
from clicv2lite.method.pixels import MEAN, STD
from clicv2lite.models.by_name import load_encoder
from clicv2lite.widgets.tokens import token_maps

SHAPE = EncoderConfig(size=32, patch=8, width=16, depth=2, heads=2)


def frozen(shape=SHAPE, **pooling):
    torch.manual_seed(0)
    return FrozenEncoder("tiny", PlainViT(shape), FrozenConfig(shape, PoolConfig(**pooling)))


def pictures(b, h, w=None):
    return torch.randint(0, 256, (b, 3, h, w or h), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize(("patch", "times"), [(8, 1), (8, 2), (8, 4), (8, 8), (6, 2), (6, 3), (9, 3), (12, 4)])
def test_each_pixel_of_a_zoomed_patch_is_one_of_the_patchs_middle(patch, times):
    images = pictures(2, 2 * patch, 3 * patch)
    got, side = zoomed(images, patch, times), patch // times
    assert got.shape == images.shape and got.dtype == images.dtype
    first = (patch - side) // 2
    for y in range(2 * patch):
        for x in range(3 * patch):
            from_y = y // patch * patch + first + y % patch // times
            from_x = x // patch * patch + first + x % patch // times
            assert torch.equal(got[:, :, y, x], images[:, :, from_y, from_x])


def test_the_middle_keeps_the_same_distance_to_both_borders():
    marked = torch.zeros(1, 1, 8, 8)
    marked[..., 2:6, 2:6] = 1
    assert zoomed(marked, 8, 2).all() and not zoomed(1 - marked, 8, 2).any()


def test_a_zoom_is_read_through_the_patch_embedding_alone():
    """Against NumPy in float64: no block and no position has a part in it."""
    encoder, images = frozen(read="tokens", zoom=(2,)), pictures(2, 32)
    weight = encoder.net.patch_embed.proj.weight.double().numpy()
    bias = encoder.net.patch_embed.proj.bias.double().numpy()
    got = encoder.channels(images)[-1]
    assert got.shape == (2, 4, 4, 16) and got.dtype == torch.float32
    for image in range(2):
        for row in range(4):
            for column in range(4):
                cell = images[image, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].numpy()
                middle = np.kron(cell[:, 2:6, 2:6], np.ones((2, 2))) / 255
                pixels = (middle - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
                token = (weight * pixels).sum((1, 2, 3)) + bias
                want = (token - token.mean()) / np.sqrt(token.var() + 1e-5)
                np.testing.assert_allclose(got[image, row, column], want, atol=1e-4)


def test_zooms_follow_what_is_read_without_them():
    without, images = frozen(blocks=(0, 1), read="nearest", halvings=1), pictures(3, 32)
    encoder = without.read_as({"pool_zoom": (2, 1)})
    got, few = encoder.features(images), without.feature_count
    assert got.shape == (3, encoder.feature_count) and encoder.feature_count == few + 2 * 2 * NEAREST_CHANNELS
    assert torch.equal(got[:, :few], without.features(images))
    for place, times in enumerate((2, 1)):
        maps = nearest(encoder.embedded(zoomed(images, 8, times))).flatten(1, 2)
        part = got[:, few + 2 * NEAREST_CHANNELS * place :][:, : 2 * NEAREST_CHANNELS]
        want = torch.cat([maps.mean(1), maps.std(1, correction=0)], 1)
        torch.testing.assert_close(part, want, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("patch_embed", ["linear", "conv", "conv-pool"])
@pytest.mark.parametrize("class_token", [False, True])
def test_ours_and_timms_vit_read_the_same_zooms(patch_embed, class_token):
    shape = replace(SHAPE, patch_embed=patch_embed, class_token=class_token)
    ours = frozen(shape, read="nearest", zoom=(2,))
    vit = build_vit(shape)
    vit.load_state_dict(ours.net.state_dict())
    theirs = FrozenEncoder("timm", vit, ours.config)
    torch.testing.assert_close(ours.features(pictures(2, 32)), theirs.features(pictures(2, 32)), atol=1e-4, rtol=1e-4)


def test_a_zoom_comes_back_from_a_file_and_files_without_one_stay_as_they_were(tmp_path):
    encoder = frozen(read="nearest", zoom=(2, 4))
    encoder.save(tmp_path)
    assert load_encoder(str(tmp_path)).config == encoder.config
    stored = frozen().config.stored()
    assert "zoom" not in stored["pool"] and stored_config(stored).pool.zoom == ()


@pytest.mark.parametrize(
    ("shape", "zoom", "said"),
    [
        (SHAPE, (3,), "--set pool_zoom=3: must divide patch=8"),
        (SHAPE, (2, 16), "--set pool_zoom=16: must divide patch=8"),
        (SHAPE, (0,), "--set pool_zoom=(0,): must be 1 or more"),
        (SHAPE, (2, -2), "--set pool_zoom=(2, -2): must be 1 or more"),
    ],
)
def test_a_zoom_that_cannot_be_is_one_line(shape, zoom, said):
    with pytest.raises(UserError) as caught:
        frozen(shape).read_as({"pool_zoom": zoom})
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_a_network_without_patches_has_no_zoom():
    pytest.importorskip("timm")
    with pytest.raises(UserError, match="pool_zoom: backbone=resnet18 has no patch embedding"):
        load_encoder("untrained:resnet18").read_as({"pool_zoom": (2,)})


def test_widgets_of_tokens_show_blocks_and_no_zoom():
    picture = pictures(1, 32)[0].permute(1, 2, 0).numpy()
    assert len(token_maps([picture], frozen(blocks=(0, 1), read="nearest", zoom=(2,)))) == 2
