"""Formulas as an encoder: the numbers of the formulas themselves, for a square of any side, and one line for what they lack."""

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite.baselines.measures.encoder import SIDE, HandcraftedEncoder
from clicv2lite.baselines.measures.sets import PLAIN
from clicv2lite.data.worlds import render
from clicv2lite.errors import UserError


def pictures(side, count=3):
    return [render(("cells", "glyphs")[i % 2], (i + 1) / (count + 1), i, side) for i in range(count)]


def squares(images):
    return torch.stack([torch.from_numpy(image.copy()).permute(2, 0, 1) for image in images])


@pytest.mark.parametrize("side", [96, SIDE, 448])
def test_features_are_each_formula_of_the_square_at_its_own_side(side):
    images = pictures(side)
    got = HandcraftedEncoder().features(squares(images))
    small = [np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for image in images]
    want = [[formula(image) for formula in PLAIN.values()] for image in small]
    np.testing.assert_array_equal(got.numpy(), np.array(want, dtype=np.float32))
    assert got.shape == (3, HandcraftedEncoder().feature_count) == (3, 11)


def test_the_features_of_an_image_do_not_depend_on_its_batch():
    images = squares(pictures(64, 4))
    alone = torch.cat([HandcraftedEncoder().features(image[None]) for image in images])
    assert torch.equal(HandcraftedEncoder().features(images), alone)


@pytest.mark.parametrize(
    "ask", [lambda e: e.tokens(squares(pictures(32, 1))), lambda e: e.vit, lambda e: e.read_as({"pool_size": 224})]
)
def test_what_formulas_lack_is_one_line(ask):
    with pytest.raises(UserError, match=r"formulas .*; (take|leave)"):
        ask(HandcraftedEncoder())


def test_they_are_read_in_one_way_wherever_they_are_moved_to():
    encoder = HandcraftedEncoder()
    assert encoder.read_as({}) is encoder and encoder.to(torch.device("cpu")).device.type == "cpu"
