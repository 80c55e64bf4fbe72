import numpy as np
import pytest
import torch

from clicv2lite.encoders.config import FrozenConfig, PoolConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.place_shares import shares
from clicv2lite.encoders.side_by_side import SideBySide
from clicv2lite.encoders.token_similarity import CHANNELS, NEAREST_CHANNELS
from clicv2lite.method.encoder import EncoderConfig, build_vit


@pytest.mark.parametrize("blocks", [(-1,), (-1, -2)])
@pytest.mark.parametrize("statistics", [("mean",), ("std",), ("max",), ("min",), ("mean", "std", "max", "min")])
def test_the_mean_share_is_the_pooled_feature(blocks, statistics):
    torch.manual_seed(0)
    config = EncoderConfig(size=32, patch=8, width=16, depth=2, heads=2)
    encoder = FrozenEncoder("tiny", build_vit(config), FrozenConfig(config, PoolConfig(blocks, statistics)))
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    got = shares(encoder, images)
    assert got.shape == (3, 4, 4, 16 * len(blocks) * len(statistics))
    torch.testing.assert_close(got.mean((1, 2)), encoder.features(images), atol=1e-5, rtol=1e-5)


def test_each_share_stands_at_its_own_place_at_both_sizes():
    torch.manual_seed(0)
    config = EncoderConfig(size=32, patch=8, width=16, depth=1, heads=2)
    pooling = PoolConfig((-1,), ("mean", "max", "min"), 64, halvings=1)
    encoder = FrozenEncoder("tiny", build_vit(config), FrozenConfig(config, pooling))
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    got = shares(encoder, images).unflatten(-1, (2, 3, 16))  # sizes, statistics, channels
    for size, tokens in enumerate(encoder.channels(images)):  # (2, 8, 8, 16), (2, 4, 4, 16)
        most, least, places = tokens.amax((1, 2)), tokens.amin((1, 2)), tokens[0, ..., 0].numel()
        for i, y, x in np.ndindex(2, 8, 8):
            token = tokens[i, y >> size, x >> size]
            extremes = [torch.where(token == value[i], token * places, 0) for value in (most, least)]
            assert got[i, y, x, size].equal(torch.stack([token, *extremes]))


def test_tokens_that_do_not_deviate_add_nothing():
    config = EncoderConfig(size=32, patch=32, width=16, depth=1, heads=2)  # one patch: its deviation is 0
    encoder = FrozenEncoder("tiny", build_vit(config), FrozenConfig(config, PoolConfig((-1,), ("std",))))
    assert (shares(encoder, torch.zeros(1, 3, 32, 32, dtype=torch.uint8)) == 0).all()


@pytest.mark.parametrize("read, width", [("tokens", 16), ("likeness", CHANNELS), ("nearest", NEAREST_CHANNELS)])
def test_the_mean_share_is_the_pooled_feature_whatever_is_read_at_whichever_sizes(read, width):
    torch.manual_seed(0)
    config = EncoderConfig(size=32, patch=8, width=16, depth=2, heads=2)
    pooling = PoolConfig((0, 1), ("mean", "std"), 64, read, halvings=2, zoom=(2,))
    encoder = FrozenEncoder("tiny", build_vit(config), FrozenConfig(config, pooling))
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    got = shares(encoder, images)
    assert got.shape == (2, 8, 8, (3 * 2 + 1) * 2 * width)  # sizes and blocks, and a zoom; statistics
    torch.testing.assert_close(got.mean((1, 2)), encoder.features(images), atol=1e-5, rtol=1e-5)


def test_the_mean_share_is_the_pooled_feature_of_grids_that_are_no_multiples_of_each_other():
    torch.manual_seed(0)
    encoders = []
    for patch in (8, 12):
        config = EncoderConfig(size=24, patch=patch, width=16, depth=1, heads=2)
        encoders.append(FrozenEncoder("tiny", build_vit(config), FrozenConfig(config)))
    both = SideBySide("both", encoders)
    images = torch.randint(0, 256, (2, 3, both.size, both.size), dtype=torch.uint8)
    got = shares(both, images)
    assert got.shape[1:3] == (6, 6)
    torch.testing.assert_close(got.mean((1, 2)), both.features(images), atol=1e-5, rtol=1e-5)
