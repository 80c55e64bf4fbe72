"""Feature maps of a frozen network, pooled and stored, against timm and loops."""

import numpy as np
import pytest
import timm
import torch

from clicv2lite.encoders.config import FrozenConfig, PoolConfig, stored_config
from clicv2lite.encoders.frozen import untrained_encoder
from clicv2lite.encoders.place_shares import shares
from clicv2lite.method.backbone import shape
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.pixels import normalize
from clicv2lite.models.as_timm import timm_model
from clicv2lite.models.by_name import load_encoder
from tests.encoders.test_frozen import pictures


def encoder(name, size=64, **pool):
    return untrained_encoder(name, FrozenConfig(EncoderConfig(size, backbone=name, **shape(name)), PoolConfig(**pool)), 0)


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet-lite", "swin-lite"])
def test_features_are_statistics_over_the_places_of_the_stages_side_by_side(name):
    net, images = encoder(name, blocks=(0, 3), statistics=("mean", "std", "max")), pictures(2, 64)
    maps = net.net.forward_intermediates(normalize(images / 255), output_fmt="NCHW", intermediates_only=True)
    want = []
    for image in range(2):
        row = []
        for stage in (maps[-4], maps[-1]):
            values = stage[image].double().flatten(1).numpy()
            row += [values.mean(1), values.std(1), values.max(1)]
        want.append(np.concatenate(row))
    got = net.features(images)
    assert got.shape == (2, net.config.features)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(net.tokens(images), maps[-1].permute(0, 2, 3, 1), atol=1e-5)


@pytest.mark.parametrize("name", ["resnet-lite", "swin-lite"])
def test_the_mean_of_the_shares_of_all_places_is_the_feature(name):
    net, images = encoder(name, blocks=(0, 1, 3), halvings=1), pictures(2, 64)
    found = shares(net, images)
    assert found.shape == (2, 16, 16, net.config.features)
    np.testing.assert_allclose(found.mean((1, 2)), net.features(images), rtol=1e-3, atol=1e-4)


def test_oblong_images_have_oblong_maps_and_a_network_of_one_size_resizes_them():
    images = pictures(1, 96)[..., :64]
    assert (
        encoder("resnet-lite").channels(images)[0].shape[1:3] == encoder("swin-lite").channels(images)[0].shape[1:3] == (3, 2)
    )
    with pytest.raises(ValueError, match="do not tile"):
        encoder("resnet-lite").channels(images[..., :50])
    fixed = encoder("mixer_s32_224", 64)
    whole = torch.nn.functional.interpolate(images.float(), (64, 64), mode="bilinear", antialias=True)
    assert fixed.channels(images)[0].shape[1:3] == (2, 2)
    torch.testing.assert_close(fixed.features(images), fixed.features(whole))


@pytest.mark.parametrize("half", [False, True])
def test_a_stored_network_gives_the_same_features_and_loads_in_timm(tmp_path, half):
    net, images = encoder("resnet-lite", blocks=(1, 3)), pictures(2, 64)
    net.save(tmp_path, half)
    again = load_encoder(str(tmp_path))
    torch.testing.assert_close(again.features(images), net.features(images), rtol=0.02 if half else 0, atol=0.02 if half else 0)
    assert again.config == net.config and again.net.bn1.running_mean.dtype == torch.float32
    own = timm_model(str(tmp_path))
    assert isinstance(own, timm.models.resnet.ResNet)
    torch.testing.assert_close(own(normalize(images / 255)), again.net(normalize(images / 255)))


def test_the_configuration_of_a_vit_is_stored_as_before():
    assert "backbone" not in FrozenConfig().stored()["encoder"] and stored_config(FrozenConfig().stored()) == FrozenConfig()
    other = encoder("resnet-lite").config
    assert other.stored()["encoder"]["backbone"] == "resnet-lite" and stored_config(other.stored()) == other


@pytest.mark.parametrize(
    "change",
    [
        {"width": 64},
        {"depth": 5},
        {"size": 65},
        {"size": 32 * 257},
        {"backbone": "hf-hub:a/b"},
        {"backbone": ""},
        {"backbone": 3},
    ],
    ids=str,
)
def test_a_stored_network_that_cannot_be_is_refused(change):
    stored = encoder("resnet-lite").config.stored()
    stored["encoder"] |= change
    with pytest.raises((ValueError, TypeError)):
        stored_config(stored)


def test_likeness_reads_maps_as_it_reads_tokens():
    assert encoder("resnet-lite", read="likeness").features(pictures(2, 64)).shape == (2, 10)
