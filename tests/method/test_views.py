import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clicv2lite.method import views as module
from clicv2lite.method.augmentation import augment
from clicv2lite.method.entropy import patch_entropy
from clicv2lite.method.masking import take, visible_count
from clicv2lite.method.patches import DIRECTIONS, patchify, shift, unpatchify
from clicv2lite.method.pixels import MEAN, STD, normalize
from clicv2lite.method.targets import frequency_target, pixel_target
from clicv2lite.method.views import (
    ViewConfig,
    Views,
    base_crop,
    crop_boxes,
    draws_per_image,
    make_views,
    one_view,
    uniform,
    window_boxes,
)

LAST = 1 - 2**-24  # the largest draw
PLAIN = ViewConfig(size=16, patch=4, augment="none", max_shift=0)


def pictures(b, height, width, seed=0):
    return torch.randint(0, 256, (b, 3, height, width), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def draws(b, config, seed=0):
    return uniform(seed, np.zeros(b, np.int64), np.arange(b), draws_per_image(config))


@st.composite
def cases(draw):
    """A configuration of any kind and images for it, not square either."""
    patch = draw(st.integers(1, 8))
    config = ViewConfig(
        size=patch * draw(st.integers(2 if patch == 1 else 1, 4)),  # torch cannot resize bytes to a single pixel
        patch=patch,
        mask_ratio=draw(st.sampled_from([0.0, 0.3, 0.6, 0.99])),
        max_shift=draw(st.integers(-1, 2 * patch)),
        zeros=draw(st.sampled_from(["after", "before"])),
        fill=draw(st.sampled_from(["zeros", "edge", "image"])),
        augment=draw(st.sampled_from(["patch", "image", "none"])),
        crop=draw(st.sampled_from(["resized", "window"])),
        crop_min=draw(st.sampled_from([0.1, 0.5, 1.0])),
        target=draw(st.sampled_from(["entropy", "pixels", "frequency"])),
        unit=draw(st.sampled_from(["bits", "normalised"])),
        key_patches=draw(st.sampled_from(["visible", "full"])),
    )
    smallest = config.size if config.crop == "window" else 1
    sides = st.integers(smallest, smallest + 20)
    return config, pictures(draw(st.integers(1, 3)), draw(sides), draw(sides), draw(st.integers(0, 99)))


@pytest.mark.filterwarnings("ignore:var")  # of no pixels, where nothing is masked
@given(cases())
def test_shapes_and_types(case):
    config, images = case
    b, p, g = len(images), config.patch, config.grid[0] * config.grid[1]
    v = visible_count(g, config.mask_ratio)
    views = make_views(images, draws(b, config), config)
    assert isinstance(views, Views) and views.query.shape == (b, v, 3, p, p)
    assert views.key.shape == (b, v if config.key_patches == "visible" else g, 3, p, p)
    assert views.visible.shape == (b, v) and views.masked.shape == (b, g - v)
    numbers = {"entropy": 1, "pixels": 3 * p * p, "frequency": p * (p // 2 + 1)}[config.target]
    assert views.target.shape == (b, g - v, numbers)
    assert all(x.dtype == torch.float32 and x.isfinite().all() for x in (views.query, views.key, views.target))


@pytest.mark.filterwarnings("ignore:var")
@given(cases(), st.randoms())
def test_the_views_of_a_sample_do_not_depend_on_its_batch(case, random):
    config, images = case
    noise = draws(len(images), config)
    together = make_views(images, noise, config)
    order = random.sample(range(len(images)), len(images))
    for subset in ([order[0]], order):
        for name, got, every in zip(together._fields, make_views(images[subset], noise[subset], config), together, strict=True):
            if config.patch % 4 == 0:  # as in every recipe: bit for bit
                assert got.equal(every[subset]), name
            else:  # matrix products of odd sizes may round the blur's last bit otherwise
                np.testing.assert_allclose(got, every[subset], atol=1e-5, err_msg=name)


def test_draws_are_a_function_of_seed_epoch_and_index_alone():
    epoch, index = np.array([0, 0, 1, 7, 0]), np.array([0, 5, 5, 5, 10**9])
    rows = uniform(3, epoch, index, 50)
    assert rows.shape == (5, 50) and rows.dtype == torch.float32
    for i in range(5):
        assert uniform(3, epoch[i : i + 1], index[i : i + 1], 50).equal(rows[i : i + 1])
    assert uniform(3, epoch, index, 7).equal(rows[:, :7])
    assert len({row.numpy().tobytes() for row in [*rows, *uniform(4, epoch, index, 50)]}) == 10


def test_draws_are_uniform_and_below_one():
    rows = uniform(0, np.zeros(200, np.int64), np.arange(200), 500).flatten()
    assert rows.min() >= 0 and rows.max() <= LAST < 1
    assert np.histogram(rows, 10, (0, 1))[0] == pytest.approx(10_000, abs=5 * 95)
    neighbours = rows.reshape(200, 500)
    assert abs(np.corrcoef(neighbours[:-1].flatten(), neighbours[1:].flatten())[0, 1]) < 5 / math.sqrt(100_000)


@given(st.tuples(*[st.floats(0, LAST, width=32)] * 5), st.integers(1, 300), st.integers(1, 300), st.floats(0, 1))
def test_crop_boxes_lie_inside_and_have_the_area_aspect_and_place_drawn(noise, height, width, crop_min):
    top, left, h, w = crop_boxes(torch.tensor([noise[:4]]), height, width, crop_min)[0].tolist()
    assert 0 <= top <= top + h <= height and 0 <= left <= left + w <= width and h >= 1 and w >= 1
    area, ratio = crop_min + (1 - crop_min) * noise[0], (4 / 3) ** (2 * noise[1] - 1)
    assert abs(h - max(1, height * min(1, math.sqrt(area / ratio)))) <= 0.51
    assert abs(w - max(1, width * min(1, math.sqrt(area * ratio)))) <= 0.51
    assert [top, left] == np.floor(np.float32(noise[2:4]) * np.float32([height - h + 1, width - w + 1])).tolist()


@given(st.tuples(*[st.floats(0, LAST, width=32)] * 5), st.integers(1, 99), st.integers(0, 99), st.integers(0, 99))
def test_window_boxes_lie_inside_where_drawn_and_keep_the_size(noise, size, more_height, more_width):
    top, left, h, w = window_boxes(torch.tensor([noise]), size + more_height, size + more_width, size)[0].tolist()
    assert h == w == size and 0 <= top <= more_height and 0 <= left <= more_width
    assert [top, left] == np.floor(np.float32(noise[2:4]) * np.float32([more_height + 1, more_width + 1])).tolist()


@pytest.mark.parametrize("boxes", [lambda n: crop_boxes(n, 12, 9, 0.5), lambda n: window_boxes(n, 12, 9, 6)])
def test_the_outermost_draws_reach_both_ends(boxes):
    first, last = boxes(torch.tensor([[0, 0.5, 0, 0, 0], [0, 0.5, LAST, LAST, 0]]))
    assert first[:2].tolist() == [0, 0] and (last[:2] + last[2:]).tolist() == [12, 9]


def test_a_window_is_a_piece_of_the_image_at_its_own_scale():
    config, images = ViewConfig(size=8, patch=4, crop="window"), pictures(40, 11, 13)
    noise = draws(40, config)[:, :5]
    for image, crop, (top, left, _, _), mirror in zip(
        images, base_crop(images, noise, config), window_boxes(noise, 11, 13, 8).tolist(), noise[:, 4] < 0.5, strict=True
    ):
        piece = image[:, top : top + 8, left : left + 8] / 255
        assert crop.equal(piece.flip(-1) if mirror else piece)


@pytest.mark.parametrize("height, width", [(40, 30), (7, 9), (16, 16)])
def test_the_whole_image_is_resized_as_pillow_does(height, width):
    config, image = ViewConfig(size=16, patch=4, crop_min=1.0), pictures(1, height, width)
    noise = torch.tensor([[0.3, 0.5, 0.7, 0.1, 0.9]])  # the whole area, its own aspect, not mirrored
    got = base_crop(image, noise, config)[0].permute(1, 2, 0).numpy() * 255
    want = Image.fromarray(image[0].permute(1, 2, 0).numpy()).resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(got, np.asarray(want), atol=1.01)
    noise[0, 4] = 0.4
    np.testing.assert_array_equal(base_crop(image, noise, config)[0].permute(1, 2, 0).numpy() * 255, got[:, ::-1])


def test_a_crop_box_is_cut_and_then_resized():
    config, image = ViewConfig(size=8, patch=4, crop_min=0.3), pictures(1, 30, 40)
    noise = torch.tensor([[0.2, 0.9, 0.6, 0.3, 0.9]])
    top, left, h, w = crop_boxes(noise[:, :4], 30, 40, 0.3)[0].tolist()
    assert (h, w) != (30, 40)
    alone = base_crop(image[:, :, top : top + h, left : left + w], torch.tensor([[1, 0.5, 0, 0, 0.9]]), config)
    assert base_crop(image, noise, config).equal(alone)


@pytest.mark.parametrize("crop", ["resized", "window"])
def test_without_augmentation_and_shift_both_views_are_the_clean_visible_patches(crop):
    config, images = replace(PLAIN, crop=crop), pictures(4, 20, 24)
    noise = draws(4, config)
    views = make_views(images, noise, config)
    clean = patchify(base_crop(images, noise[:, :5], config), 4)
    assert views.query.equal(views.key) and views.query.equal(normalize(take(clean, views.visible)))


def test_normalize_subtracts_the_mean_and_divides_by_the_deviation_of_each_channel():
    image = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    for c in range(3):
        np.testing.assert_allclose(normalize(image)[:, c], (image[:, c] - MEAN[c]) / STD[c])


@pytest.fixture
def recorded(monkeypatch):
    """The offsets of every view that is made."""
    seen = []

    def recording(patches, offset):
        seen.append(offset)
        return shift(patches, offset)

    monkeypatch.setattr(module, "shift", recording)
    return seen


def test_shifts_take_every_direction_and_every_distance_equally_often(recorded):
    config = ViewConfig(size=64, patch=16, mask_ratio=0.0)
    make_views(pictures(300, 8, 8), draws(300, config), replace(config, augment="none"))
    assert len(recorded) == 2 and not recorded[0].equal(recorded[1])
    for offset in recorded:
        steps = offset.reshape(-1, 2)
        distance = steps.abs().amax(1)
        assert ((steps.abs() == distance[:, None]) | (steps == 0)).all()  # a diagonal moves both axes alike
        found, count = np.unique(steps.numpy(), axis=0, return_counts=True)
        want = {(dy * s, dx * s) for dy, dx in itertools.product((-1, 0, 1), repeat=2) for s in (1, 2, 3, 4)} - {(0, 0)}
        assert {tuple(step) for step in found.tolist()} == want and len(want) == 32
        expected = len(steps) / 32
        assert np.abs(count - expected).max() < 5 * math.sqrt(expected)


@pytest.mark.parametrize("max_shift, limit", [(-1, 2), (0, 0), (1, 1), (8, 8), (20, 20)])
def test_the_limit_of_the_shift_is_a_quarter_of_the_patch_or_the_number_given(recorded, max_shift, limit):
    config = ViewConfig(size=32, patch=8, mask_ratio=0.0, max_shift=max_shift, augment="none")
    assert config.shift_limit == limit
    make_views(pictures(40, 8, 8), draws(40, config), config)
    assert all(int(offset.abs().max()) == limit for offset in recorded)


@pytest.mark.parametrize("zeros", ["after", "before"])
def test_zeros_enter_as_the_mean_colour_or_as_black(recorded, zeros):
    clean, noise = torch.rand(3, 5, 3, 4, 4) + 0.01, torch.rand(3, 5, 7)
    view = one_view(clean, noise, replace(PLAIN, max_shift=2, zeros=zeros))
    (offset,) = recorded
    entered = shift(torch.ones_like(clean), offset) == 0
    black = normalize(torch.zeros_like(clean))
    assert entered.any() and view[entered].equal((black if zeros == "before" else torch.zeros_like(clean))[entered])
    np.testing.assert_allclose(view[~entered], normalize(shift(clean, offset))[~entered], atol=1e-6)


@pytest.mark.parametrize("fill", ["edge", "image"])
def test_what_enters_a_cell_are_its_edge_pixels_or_the_images_own(fill):
    config, images = ViewConfig(size=24, patch=8, max_shift=5, augment="none", fill=fill), pictures(3, 30, 40)
    noise = draws(3, config)
    views = make_views(images, noise, config)
    base = normalize(base_crop(images, noise[:, :5], config)).numpy()
    own = noise[:, 5 + 9 :].reshape(3, 9, 2, 7)[:, :, 0]
    for i, j in np.ndindex(3, views.visible.shape[1]):
        place = int(views.visible[i, j])
        distance = 1 + int(own[i, place, 6] * 5)
        dy, dx = (distance * step for step in DIRECTIONS[int(own[i, place, 5] * 8)])
        top, left = 8 * (place // 3), 8 * (place % 3)
        for y, x in np.ndindex(8, 8):
            if fill == "edge":
                row, column = top + min(max(y - dy, 0), 7), left + min(max(x - dx, 0), 7)
            else:
                row, column = min(max(top + y - dy, 0), 23), min(max(left + x - dx, 0), 23)
            np.testing.assert_allclose(views.query[i, j, :, y, x], base[i, :, row, column], atol=1e-6)


def test_what_fills_a_cell_changes_no_pixel_that_stays_in_it():
    plain = ViewConfig(size=32, patch=8, flip=0.0, color=0.0)  # contrast is around the mean of all that is augmented
    images, noise = pictures(4, 40, 40), draws(4, plain)
    views = {fill: make_views(images, noise, replace(plain, fill=fill, blur=0.0)).query for fill in ("zeros", "edge", "image")}
    stays = views["zeros"] != 0
    for fill in ("edge", "image"):
        np.testing.assert_allclose(views[fill][stays], views["zeros"][stays], atol=1e-6)
        assert (views[fill][~stays] != 0).float().mean() > 0.9


@pytest.mark.parametrize("fill", ["zeros", "edge", "image"])
def test_a_whole_image_is_augmented_before_it_is_cut(fill):
    config, images = ViewConfig(size=24, patch=8, max_shift=0, augment="image", fill=fill, mask_ratio=0.0), pictures(3, 30, 40)
    noise = draws(3, config)
    base, first = base_crop(images, noise[:, :5], config), noise[:, 5 + 9 :].reshape(3, 9, 2, 7)[:, :1]
    views = make_views(images, noise, config)
    for view, got in enumerate((views.query, views.key)):
        want = augment(base[:, None], first[:, :, view, :5], config)[:, 0]  # its own draw for each view
        np.testing.assert_allclose(unpatchify(got, (3, 3)), normalize(want), atol=1e-6)


@pytest.mark.parametrize("augmentation", ["patch", "none"])
def test_the_key_of_visible_patches_is_part_of_the_full_key(augmentation):
    config, images = ViewConfig(size=32, patch=8, augment=augmentation), pictures(5, 40, 50)
    noise = draws(5, config)
    some, every = make_views(images, noise, config), make_views(images, noise, replace(config, key_patches="full"))
    assert every.key.shape[1] == 16 and take(every.key, some.visible).equal(some.key)
    assert every.query.equal(some.query) and every.visible.equal(some.visible) and every.target.equal(some.target)


def test_query_and_key_are_augmented_independently():
    config = ViewConfig(size=32, patch=8, max_shift=0)
    views = make_views(pictures(5, 40, 50), draws(5, config), config)
    assert (views.query != views.key).flatten(2).any(-1).float().mean() > 0.9


def test_patches_are_mirrored_one_by_one_but_never_with_the_whole_image():
    config = ViewConfig(size=16, patch=4, flip=1.0, color=0.0, blur=0.0, max_shift=0)
    images, noise = pictures(3, 16, 16), draws(3, config)
    clean = make_views(images, noise, PLAIN).query
    np.testing.assert_allclose(make_views(images, noise, config).query, clean.flip(-1), atol=1e-6)
    np.testing.assert_allclose(make_views(images, noise, replace(config, augment="image")).query, clean, atol=1e-6)


@pytest.mark.parametrize("bins", [None, 5])
@pytest.mark.parametrize("unit", ["bits", "normalised"])
def test_the_target_is_the_entropy_of_the_clean_masked_patches(bins, unit):
    config, images = ViewConfig(size=32, patch=8, bins=bins, unit=unit), pictures(4, 40, 50)
    noise = draws(4, config)
    views = make_views(images, noise, config)
    masked = take(patchify(base_crop(images, noise[:, :5], config), 8), views.masked)
    want = patch_entropy(masked, bins or 8) / (math.log2(bins or 8) if unit == "normalised" else 1)
    np.testing.assert_allclose(views.target[..., 0], want, atol=1e-6)


@pytest.mark.parametrize("target, function", [("pixels", pixel_target), ("frequency", frequency_target)])
def test_the_other_targets_are_those_of_the_clean_masked_patches(target, function):
    config, images = ViewConfig(size=32, patch=8, target=target), pictures(4, 40, 50)
    noise = draws(4, config)
    views = make_views(images, noise, config)
    assert views.target.equal(function(take(patchify(base_crop(images, noise[:, :5], config), 8), views.masked)))
