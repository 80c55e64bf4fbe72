"""The reader of offsets against encoders whose tokens are known: all of the offset, nothing of it, what the border shows."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import untrained_encoder
from clicv2lite.evaluate.offsets import offset_r2, read_offsets, shifted
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.patches import patchify, shift, unpatchify
from clicv2lite.method.pixels import MEAN
from clicv2lite.method.views import PATCH_DRAWS, ViewConfig

SHAPE = SimpleNamespace(size=32, patch=8, depth=2)


def offsets_of(n=40, places=16):
    return np.random.default_rng(0).integers(-4, 5, (n, places, 2))


def test_tokens_that_hold_the_offset_are_read_whole():
    mixed = offsets_of() @ np.random.default_rng(1).normal(size=(2, 12)) + 3
    assert offset_r2(mixed, offsets_of()) == pytest.approx(1, abs=1e-4)


def test_the_reader_is_judged_on_the_images_that_it_was_not_fitted_on():
    turned = offsets_of() * np.where(np.arange(40) % 2, -1, 1)[:, None, None]
    assert offset_r2(turned, offsets_of()) == pytest.approx(-3, abs=0.1)  # each error is twice the offset


def test_tokens_with_one_axis_give_half():
    one = np.stack([offsets_of()[..., 0], np.zeros((40, 16))], -1)
    assert offset_r2(one, offsets_of()) == pytest.approx(0.5, abs=0.02)


def test_constant_tokens_and_tokens_of_noise_hold_nothing():
    assert offset_r2(np.ones((40, 16, 12)), offsets_of()) == pytest.approx(0, abs=0.02)
    assert offset_r2(np.random.default_rng(2).normal(size=(40, 16, 12)), offsets_of()) == pytest.approx(0, abs=0.05)


def test_images_are_shifted_cell_by_cell_by_the_offsets_that_are_told():
    images = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    noise = torch.rand(2, 16, PATCH_DRAWS)
    moved, offset = shifted(images, ViewConfig(size=32, patch=8), noise)
    assert offset.abs().amax() == 2 and (offset.abs().amax(-1) >= 1).all()  # p / 4, and nothing stays
    mean = torch.tensor(MEAN)[:, None, None] * 255
    want = unpatchify(shift(patchify(images - mean, 8), offset), (4, 4)) + mean  # zeros are the mean colour
    torch.testing.assert_close(moved, want, atol=1e-3, rtol=0)


class BorderReader:
    """Its token says how many rows and columns of the mean colour a cell has at each side; nothing in its first block."""

    def __init__(self):
        self.config, self.device = SimpleNamespace(encoder=SHAPE), torch.device("cpu")

    def read_as(self, pooling):
        assert pooling["pool_blocks"] == (0, 1)
        return self

    def blocks(self, images):
        cells = patchify(images / 255, 8)
        empty = ((cells - torch.tensor(MEAN)[:, None, None]).abs() < 1e-4).all(2)  # (B, G, p, p)
        rows, columns = empty.all(3).float(), empty.all(2).float()
        sides = [part.cumprod(-1).sum(-1) for line in (rows, columns) for part in (line, line.flip(-1))]
        return [torch.ones(len(images), 16, 4), torch.stack(sides, -1)]


def test_the_whole_path_finds_zeros_at_the_border_and_nothing_where_the_image_goes_on():
    images = torch.randint(256, (24, 3, 32, 32), dtype=torch.uint8)  # noise
    found = read_offsets(BorderReader(), images)
    assert found["r2"]["zeros"] == [pytest.approx(0, abs=0.05), pytest.approx(1, abs=1e-3)]
    assert found["r2"]["image"] == found["r2"]["edge"] == [pytest.approx(0, abs=0.05)] * 2
    assert (found["limit"], found["n"]) == (2, 12 * 16)


def test_a_vit_has_one_value_a_block_and_its_reading_does_not_matter():
    images = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8)
    encoder = untrained_encoder("u", FrozenConfig(EncoderConfig(size=32, patch=8, width=16, depth=3, heads=2)), 0)
    found = read_offsets(encoder, images, fills=("zeros",))
    assert list(found["r2"]) == ["zeros"] and len(found["r2"]["zeros"]) == 3
    again = read_offsets(encoder.read_as({"pool_read": "likeness", "pool_size": 64}), images, fills=("zeros",))
    assert again == found
