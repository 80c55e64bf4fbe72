"""CLIC's own settings, and what its key gets beyond MoCo's crop: mirrored, turned as by Pillow, noisy."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite.learners import clic_published
from clicv2lite.learners.clic import global_entropy
from clicv2lite.learners.clic_published import KEY_DRAWS, draws_per_image, make_views
from clicv2lite.learners.moco_published import DRAWS, published_crop
from clicv2lite.method.pixels import normalize
from clicv2lite.recipes.library import get_recipe
from tests.learners.batches import images, uniform_noise

VIEWS = get_recipe("ci", ["method=clic_published"]).views
noise = partial(uniform_noise, draws_per_image(VIEWS))
OFF = 0.999


def plain_key(b, draws):
    return published_crop(images(b), draws[:, DRAWS : 2 * DRAWS], VIEWS, gray=0)


def changed_key(b, draws, **coins):
    """The key before normalisation, where of its own changes only the named ones are drawn."""
    draws = draws.clone()
    for place, name in ((0, "headlong"), (1, "turned"), (3, "noisy")):
        draws[:, 2 * DRAWS + place] = 0 if name in coins else OFF
    for place, name in ((2, "turned"), (4, "noisy")):
        draws[:, 2 * DRAWS + place] = coins.get(name, 0)
    views = make_views(images(b), draws, VIEWS)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return views.key * std + mean


def test_the_query_is_never_gray_and_has_the_entropy_of_its_pixels():
    draws = noise(50)
    views = make_views(images(50), draws, VIEWS)
    query = published_crop(images(50), draws[:, :DRAWS], VIEWS, gray=0)
    assert draws_per_image(VIEWS) == 2 * DRAWS + KEY_DRAWS == 33
    assert views.query.equal(normalize(query)) and views.entropy.equal(global_entropy(query))
    assert (query.amax(1) > query.amin(1)).flatten(1).any(1).all()


def test_a_key_on_its_head_is_mirrored_top_to_bottom():
    draws = noise()
    got = changed_key(6, draws, headlong=1)
    torch.testing.assert_close(got, plain_key(6, draws).flip(-2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("draw", [0.0, 0.2, 0.5, 0.999])
def test_a_turned_key_is_pillows_with_black_corners(draw):
    draws = noise()
    got, plain = changed_key(6, draws, turned=draw), plain_key(6, draws)
    for found, crop in zip(got, plain, strict=True):
        for band, before in zip(found, crop, strict=True):
            want = np.asarray(Image.fromarray(before.numpy()).rotate(60 * draw - 30))
            assert np.mean(np.abs(band.numpy() - want) < 1e-4) > 0.97  # a pixel on the border of two may fall to either
    if draw == 0.0:
        assert float(got[..., 0, 0].abs().max()) < 1e-5  # the corner of a crop turned by 30 degrees
    if draw == 0.5:
        torch.testing.assert_close(got, plain, atol=1e-5, rtol=0)


def test_noise_has_25_gray_levels_and_is_the_samples_own():
    draws = noise(40)
    one, again, other = (changed_key(40, draws, noisy=which) for which in (0.25, 0.25, 0.75))
    plain = plain_key(40, draws)
    inside = (plain > 0.35) & (plain < 0.65)  # far from where it is cut off
    for got in (one, other):
        assert float((got - plain)[inside].std()) == pytest.approx(25 / 255, rel=0.05)
        assert float((got - plain)[inside].mean()) == pytest.approx(0, abs=0.01)
        assert float(got.min()) > -1e-5 and float(got.max()) < 1 + 1e-5
    assert one.equal(again) and not one.equal(other)


def test_each_change_of_the_key_is_a_coin():
    draws = noise(400, seed=1)
    draws[:, 2 * DRAWS + 2] = 0  # a small turn may move no pixel: turn far
    views = make_views(images(400), draws, VIEWS)
    untouched = (views.key == normalize(plain_key(400, draws))).flatten(1).all(1)
    coins = draws[:, [2 * DRAWS, 2 * DRAWS + 1, 2 * DRAWS + 3]] >= 0.5
    assert untouched.equal(coins.all(1)) and float(untouched.float().mean()) == pytest.approx(1 / 8, abs=0.05)


def test_the_settings_are_those_of_the_published_code():
    recipe = get_recipe("vit-b32", ["method=clic_published"])
    got = (recipe.optimizer, recipe.lr, recipe.batch, recipe.beta1, recipe.weight_decay, recipe.schedule, recipe.warmup)
    assert got == ("sgd", 0.03, 128, 0.9, 1e-4, "steps", 0)
    assert (recipe.temperature, recipe.project, recipe.learner.queue, recipe.momentum) == (0.07, 128, 65_536, 0.999)
    assert (recipe.auxiliary_weight, recipe.crop_min, recipe.color, recipe.blur) == (0.25, 0.2, 0.4, 0.5)
    assert clic_published.TURN == 30 and round(clic_published.NOISE * 255, 6) == 25
