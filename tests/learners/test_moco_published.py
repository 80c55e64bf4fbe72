"""MoCo v2's own settings and colours: against colorsys, scipy and loops, and how often each is drawn."""

import colorsys
from functools import partial
from itertools import permutations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from clicv2lite.learners.moco_published import DRAWS, GRAY, draws_per_image, make_views, published_crop
from clicv2lite.method.pixels import normalize
from clicv2lite.method.views import base_crop
from clicv2lite.recipes.library import get_recipe
from tests.learners.batches import images, uniform_noise

VIEWS = get_recipe("ci", ["method=moco_published"]).views
noise = partial(uniform_noise, DRAWS)
OFF = 0.999  # a coin that does not fall


def by_hand(crop, row, color=0.4, blur=0.5, gray=GRAY):
    """(3, S, S) float64 and 9 numbers -> the crop in other colours, pixel by pixel."""
    jittered, brightness, contrast, saturation, hue, order, grayed, blurred, width = row
    x = crop.transpose(1, 2, 0)

    def luma(x):
        return x @ (0.2989, 0.587, 0.114)

    def one(which, x):
        factor = 1 + color * (2 * (brightness, contrast, saturation, 0)[which] - 1)
        if which == 3:
            turned = [colorsys.rgb_to_hsv(*pixel) for pixel in x.reshape(-1, 3)]
            turned = [colorsys.hsv_to_rgb((h + 0.1 * (2 * hue - 1)) % 1, s, v) for h, s, v in turned]
            return np.array(turned).reshape(x.shape)
        other = (0.0, luma(x).mean(), luma(x)[..., None])[which]
        return np.clip(factor * x + (1 - factor) * other, 0, 1)

    if jittered < 0.8:
        for which in list(permutations(range(4)))[int(order * 24)]:
            x = one(which, x)
    if grayed < gray:
        x = np.repeat(luma(x)[..., None], 3, -1)
    if blurred < blur:
        for axis in (0, 1):
            x = gaussian_filter1d(x, 0.1 + 1.9 * width, axis=axis, mode="mirror", radius=6)
    return x.transpose(2, 0, 1)


def test_a_crop_is_changed_as_by_hand():
    draws = noise(24)
    got = published_crop(images(24), draws, VIEWS, GRAY)
    plain = base_crop(images(24), draws[:, :5], VIEWS).double().numpy()
    for crop, row, found in zip(plain, draws[:, 5:].tolist(), got, strict=True):
        np.testing.assert_allclose(found, by_hand(crop, row), atol=2e-3)


@pytest.mark.parametrize("coin, share", [(5, 0.8), (11, 0.2), (12, 0.5)])
def test_each_change_has_its_probability_and_no_other_changes_a_pixel(coin, share):
    draws = noise(300, seed=3)
    others = {5, 11, 12} - {coin}
    draws[:, list(others)] = OFF
    draws[:, 13] = 0.9  # a narrow blur may change nothing
    got = published_crop(images(300, 12, 12), draws, VIEWS, GRAY)
    plain = base_crop(images(300, 12, 12), draws[:, :5], VIEWS)
    same = (got == plain).flatten(1).all(1)
    assert same.equal(draws[:, coin] >= share)
    assert float((~same).float().mean()) == pytest.approx(share, abs=0.08)


def test_two_crops_are_drawn_for_each_image_and_depend_on_nothing_else():
    assert draws_per_image(VIEWS) == 2 * DRAWS == 28
    draws = uniform_noise(28, 4)
    views = make_views(images(4), draws, VIEWS)
    for view, part in zip(views, draws.split(DRAWS, 1), strict=True):
        assert view.equal(normalize(published_crop(images(4), part, VIEWS, GRAY)))
    alone = make_views(images(4)[2:3], draws[2:3], VIEWS)
    assert views.key[2:3].equal(alone.key) and views.query[2:3].equal(alone.query) and not views.query.equal(views.key)


@pytest.mark.parametrize("size", [8, 12])
def test_a_crop_smaller_than_the_kernel_is_blurred_too(size):
    views = get_recipe("ci", ["method=moco_published", f"size={size}", "patch=4", "pool_size=0"]).views
    draws = noise(3)
    draws[:, 12] = 0
    assert published_crop(images(3), draws, views, GRAY).isfinite().all()


def test_the_settings_are_those_of_the_published_code():
    recipe = get_recipe("vit-b32", ["method=moco_published"])
    got = (recipe.optimizer, recipe.lr, recipe.batch, recipe.beta1, recipe.weight_decay, recipe.schedule, recipe.warmup)
    assert got == ("sgd", 0.03, 256, 0.9, 1e-4, "cosine", 0)
    assert (recipe.temperature, recipe.project, recipe.learner.queue, recipe.momentum) == (0.2, 128, 65_536, 0.999)
    assert (recipe.crop_min, recipe.color, recipe.blur, recipe.passes) == (0.2, 0.4, 0.5, get_recipe("vit-b32").passes)
    flat = recipe.flat()
    assert flat["method"] == "moco_published" and flat["optimizer"] == "sgd" and flat["temperature"] == 0.2


def test_the_rate_follows_the_batch_from_the_published_pair():
    assert get_recipe("lite", ["method=moco_published", "batch=64"]).lr == pytest.approx(0.03 / 4)
    assert get_recipe("lite", ["method=moco_published", "passes=128000"]).warmup == 0
    assert get_recipe("lite", ["method=moco_published", "lr=0.1"]).lr == 0.1
    common = get_recipe("lite", ["method=moco"])
    assert (common.optimizer, common.lr, common.batch, common.warmup) == ("adamw", 1e-3, 64, 6400)
