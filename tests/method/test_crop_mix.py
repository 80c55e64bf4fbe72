import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from clicv2lite.method.augmentation import augment
from clicv2lite.method.crop_mix import MIX_DRAWS, mixed, resample, scale_boxes
from clicv2lite.method.entropy import patch_entropy
from clicv2lite.method.masking import take
from clicv2lite.method.patches import patchify
from clicv2lite.method.views import ViewConfig, base_crop, draws_per_image, make_views, uniform

PLAIN = ViewConfig(size=32, patch=8, augment="none", max_shift=0, mask_ratio=0.0)


def draws(b, count=MIX_DRAWS, seed=0):
    return uniform(seed, np.zeros(b, np.int64), np.arange(b), count)


def pictures(b, size, seed=0):
    return torch.rand(b, 3, size, size, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 40), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_boxes_lie_inside_and_the_second_is_an_octave_below_the_first(size, seed):
    boxes = scale_boxes(draws(20, 6, seed).unflatten(1, (2, 3)), size)
    top, left, side = boxes.unbind(-1)
    assert (top >= 0).all() and (left >= 0).all() and (side >= 1).all()
    assert (top + side <= size).all() and (left + side <= size).all()
    assert (side[:, 0] >= math.floor(size / 2)).all() and (side[:, 1] <= max(1, math.ceil(size / 2))).all()
    assert (side[:, 1] >= max(1, math.floor(size / 4))).all()


def test_the_side_of_a_box_is_log_uniform_and_each_axis_has_its_own_draw():
    noise = [[0.25, 0.1, 0.9], [0.75, 0.6, 0.3]]
    found = scale_boxes(torch.tensor([noise]), 1000)[0].tolist()
    for octave, ((size, y, x), box) in enumerate(zip(noise, found, strict=True)):
        side = round(1000 * 2 ** -(octave + size))
        assert box == [int(y * (1001 - side)), int(x * (1001 - side)), side]


@given(st.integers(2, 24), st.integers(2, 12), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_resampling_is_that_of_torch_on_one_crop_after_the_other(size, side, seed):
    images, boxes = pictures(3, size, seed), scale_boxes(draws(3, 6, seed).unflatten(1, (2, 3)), size)
    got = resample(images, boxes, side)
    for image, own, found in zip(images, boxes.tolist(), got, strict=True):
        for (top, left, length), crop in zip(own, found, strict=True):
            part = image[None, :, top : top + length, left : left + length]
            want = F.interpolate(part, (side, side), mode="bilinear", antialias=True)[0]
            np.testing.assert_allclose(crop, want, atol=2e-6)


@given(st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_tiled_image_has_two_crops_and_their_copies_in_the_order_drawn(seed):
    images, noise = pictures(4, 16, seed), draws(4, seed=seed)
    got = mixed(images, noise, 1.0, lambda crops, given: 1 - crops)
    for image, row, found in zip(images, noise, got, strict=True):
        boxes = scale_boxes(row[None, 1:7].unflatten(1, (2, 3)), 16)
        crops = resample(image[None], boxes, 8)[0]
        cells = [*crops, *(1 - crops)]
        for place, cell in enumerate(sorted(range(4), key=lambda i: row[-4:][i])):
            y, x = 8 * (place // 2), 8 * (place % 2)
            torch.testing.assert_close(found[:, y : y + 8, x : x + 8], cells[cell])


def test_copies_get_the_noise_meant_for_them():
    seen = []
    noise = draws(3)
    mixed(pictures(3, 8), noise, 0.5, lambda crops, given: (seen.append(given), crops)[1])
    assert seen[0].equal(noise[:, 7:17].unflatten(1, (2, 5)))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_images_is_replaced_and_the_others_stay(share):
    images, noise = pictures(400, 8), draws(400)
    same = (mixed(images, noise, share, lambda crops, given: crops) == images).flatten(1).all(1)
    assert same.equal(noise[:, 0] >= share)
    assert float((~same).float().mean()) == pytest.approx(share, abs=0.08)


def test_without_tiles_draws_and_views_are_what_they_were_and_with_them_the_rest_keeps_its_draws():
    config, star = ViewConfig(size=32, patch=8), ViewConfig(size=32, patch=8, crop_mix=0.5)
    count = draws_per_image(config)
    assert draws_per_image(star) == count + MIX_DRAWS
    images = (pictures(16, 40) * 255).byte()
    noise = draws(16, count + MIX_DRAWS)
    plain, some = make_views(images, noise[:, :count], config), make_views(images, noise, star)
    whole = noise[:, count] >= 0.5
    assert 0 < whole.sum() < 16
    for name, one, other in zip(plain._fields, plain, some, strict=True):
        assert one[whole].equal(other[whole]), name
    assert plain.visible.equal(some.visible) and not plain.query[~whole].equal(some.query[~whole])


def test_the_entropy_to_predict_is_that_of_the_tiles():
    star = replace(PLAIN, crop_mix=1.0, mask_ratio=0.5)
    images, noise = (pictures(4, 40) * 255).byte(), draws(4, draws_per_image(star))
    views, base = make_views(images, noise, star), base_crop(images, noise[:, :5], star)
    tiles = mixed(base, noise[:, -MIX_DRAWS:], 1.0, partial(augment, config=replace(star, augment="patch")))
    bits, untiled = (patch_entropy(take(patchify(whole, 8), views.masked), 8) for whole in (tiles, base))
    np.testing.assert_allclose(views.target[..., 0], bits, atol=1e-6)
    assert not torch.allclose(bits, untiled, atol=0.1)


def test_a_given_crop_is_only_mirrored():
    images = (pictures(20, 32) * 255).byte()
    noise = draws(20, 5)
    got = base_crop(images, noise, replace(PLAIN, crop="given"))
    want = [image.flip(-1) if mirror < 0.5 else image for image, mirror in zip(images, noise[:, 4], strict=True)]
    assert got.equal(torch.stack(want).float() / 255)
