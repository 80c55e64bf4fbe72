"""The hand-made measures against slower references, and on pictures whose value is known by construction."""

import itertools
import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import entropy as scipy_entropy

from clicv2lite.baselines.measures.basic import (
    MEASURES,
    colorfulness,
    edge_density,
    jpeg_size,
    local_entropy,
    luma_entropy,
    measure,
    png_size,
    regions,
    rms_contrast,
)

IMAGES = arrays(np.uint8, st.tuples(st.integers(16, 40), st.integers(16, 40), st.just(3)))
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
FLAT = np.full((64, 64, 3), 90, np.uint8)


def slow_luma(image):
    """BT.601, rounded to whole levels, one pixel at a time."""
    # in 65536ths, as Pillow has them: with decimals a value half-way between two levels may round the other way
    return [(19595 * r + 38470 * g + 7471 * b + 32768) // 65536 for r, g, b in image.reshape(-1, 3).tolist()]


def gray(levels):
    return np.repeat(np.asarray(levels, np.uint8)[..., None], 3, axis=-1)


@pytest.mark.parametrize("form, size", [("jpeg", jpeg_size), ("png", png_size)])
def test_file_size_is_the_size_of_the_file_on_the_disk(tmp_path, form, size):
    path = tmp_path / f"noise.{form}"
    Image.fromarray(NOISE).save(path, **({"quality": 75} if form == "jpeg" else {}))
    assert size(NOISE) == path.stat().st_size * 8 / 64**2


def test_png_of_noise_costs_its_24_bits_and_no_more_than_deflate_adds():
    deflated = 8 * len(zlib.compress(NOISE.tobytes())) / 64**2
    assert 24 < png_size(NOISE) < deflated + 0.5


@given(st.integers(5, 60))
@settings(max_examples=10, deadline=None)
def test_jpeg_grows_with_its_quality(quality):
    assert jpeg_size(NOISE, quality) < jpeg_size(NOISE, quality + 30)


@given(st.integers(0, 4), st.booleans())
@settings(max_examples=10, deadline=None)
def test_edge_density_counts_the_edges_of_stripes(edges, upright):
    stripes = (np.arange(80) // 16 % 2 * 200)[: 16 * (edges + 1)]
    stripes[16::16] = 100  # half way between black and white, so that the middle of an edge is one pixel
    image = gray(np.tile(stripes, (40, 1)))
    image = image if upright else image.transpose(1, 0, 2).copy()
    found = edge_density(image) * image.shape[0] * image.shape[1]
    assert edges * 36 <= found <= edges * 42  # one pixel wide and 40 long, cut a little at the margins


@given(IMAGES)
@settings(max_examples=20, deadline=None)
def test_luma_entropy_matches_a_histogram(image):
    assert luma_entropy(image) == pytest.approx(scipy_entropy(np.bincount(slow_luma(image)), base=2), abs=1e-6)


@given(IMAGES, st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_entropy_contrast_and_colour_do_not_see_where_a_pixel_is(image, random):
    order = list(range(image.shape[0] * image.shape[1]))
    random.shuffle(order)
    shuffled = image.reshape(-1, 3)[order].reshape(image.shape)
    for blind in (luma_entropy, rms_contrast, colorfulness):
        assert blind(shuffled) == pytest.approx(blind(image), abs=1e-9)


@given(IMAGES)
@settings(max_examples=20, deadline=None)
def test_local_entropy_is_the_mean_over_whole_patches(image):
    bits = []
    for top in range(0, image.shape[0] - 15, 16):
        for left in range(0, image.shape[1] - 15, 16):
            luma = image[top : top + 16, left : left + 16] / np.float32(255) @ np.array([0.299, 0.587, 0.114], np.float32)
            count, _ = np.histogram(luma, 32, (0, 1))
            bits.append(scipy_entropy(count, base=2))
    # a value on the border of two bins may be rounded to either
    assert local_entropy(image) == pytest.approx(np.mean(bits), abs=0.02)


def test_shuffling_raises_the_local_entropy_of_a_ramp():
    ramp = gray(np.tile(np.arange(64) * 4, (64, 1)))
    shuffled = np.random.default_rng(0).permutation(ramp.reshape(-1, 3)).reshape(ramp.shape)
    assert local_entropy(shuffled) > local_entropy(ramp) + 1


@given(IMAGES)
@settings(max_examples=20, deadline=None)
def test_rms_contrast_matches_a_loop(image):
    luma = [value / 255 for value in slow_luma(image)]
    mean = sum(luma) / len(luma)
    assert rms_contrast(image) == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in luma) / len(luma)), abs=1e-9)


def test_half_black_half_white_has_the_largest_contrast():
    assert rms_contrast(gray([[0, 255], [255, 0]])) == 0.5


@given(IMAGES)
@settings(max_examples=20, deadline=None)
def test_colorfulness_matches_a_loop(image):
    rg = [float(r - g) for r, g, _ in image.reshape(-1, 3).tolist()]
    yb = [(r + g) / 2 - b for r, g, b in image.reshape(-1, 3).tolist()]
    mean = [sum(v) / len(v) for v in (rg, yb)]
    variance = [sum((x - m) ** 2 for x in v) / len(v) for v, m in zip((rg, yb), mean, strict=True)]
    want = math.sqrt(sum(variance)) + 0.3 * math.sqrt(sum(m * m for m in mean))
    assert colorfulness(image) == pytest.approx(want, abs=1e-9)


@given(st.integers(0, 255))
def test_gray_has_no_colour(level):
    assert colorfulness(gray([[level] * 16] * 16)) == 0


def test_colours_of_corners_of_the_cube_reach_about_300():
    green, magenta = (0, 255, 0), (255, 0, 255)
    assert 295 < colorfulness(np.array([[green] * 6 + [magenta] * 4], np.uint8)) < 300
    rng, corners = np.random.default_rng(0), np.array([*itertools.product((0, 255), repeat=3)], np.uint8)
    mixed = (rng.multinomial(50, rng.dirichlet(np.full(8, 0.3))) for _ in range(500))
    assert max(colorfulness(np.repeat(corners, counts, 0)[None]) for counts in mixed) < 300


def slow_regions(image, scale):
    """The algorithm of Felzenszwalb and Huttenlocher as published: one pair of neighbours after the other."""
    smooth = gaussian_filter(image / 255, (0.8, 0.8, 0), mode="reflect", truncate=4)
    places = list(np.ndindex(image.shape[:2]))
    pairs = []
    for y, x in places:
        for near in ((y, x + 1), (y + 1, x - 1), (y + 1, x), (y + 1, x + 1)):
            if near in places:
                pairs.append((float(np.linalg.norm(smooth[y, x] - smooth[near])), (y, x), near))
    root, size, inner = {p: p for p in places}, dict.fromkeys(places, 1), dict.fromkeys(places, 0.0)

    def find(p):
        while root[p] != p:
            p = root[p]
        return p

    def join(a, b, cost):
        root[b], size[a], inner[a] = a, size[a] + size[b], cost

    pairs.sort()
    for cost, *ends in pairs:
        a, b = map(find, ends)
        if a != b and cost < min(inner[c] + scale / 255 / size[c] for c in (a, b)):
            join(a, b, cost)
    for cost, *ends in pairs:
        a, b = map(find, ends)
        if a != b and min(size[a], size[b]) < 20:
            join(a, b, cost)
    return len({find(p) for p in places})


@given(arrays(np.uint8, (12, 12, 3)), st.sampled_from([1.0, 20.0, 150.0]))
@settings(max_examples=15, deadline=None)
def test_regions_matches_the_published_algorithm(image, scale):
    image = image.copy()
    image[:6] //= 4  # a dark and a bright half
    assert abs(regions(image, scale) - slow_regions(image, scale)) <= 1  # equal costs may be taken in another order


@pytest.mark.parametrize("side", [1, 2, 3])
def test_every_field_of_a_chart_is_a_region(side):
    colours = np.array([[120 * (i % 3), 120 * (i // 3), 0] for i in range(side * side)], np.uint8)
    chart = colours.reshape(side, side, 3).repeat(24, axis=0).repeat(24, axis=1)
    assert regions(chart) >= side * side and (side > 1 or regions(chart) == 1)


@pytest.mark.parametrize("name", MEASURES)
def test_noise_has_more_of_everything_than_a_flat_image_but_may_have_few_regions(name):
    f = MEASURES[name]
    assert f(NOISE) > f(FLAT)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("image", [NOISE[..., 0], NOISE / 255, NOISE[:0], NOISE[..., :2]], ids=["2-D", "float", "empty", "2"])
def test_what_is_no_image_is_refused(name, image):
    with pytest.raises(ValueError, match="uint8"):
        MEASURES[name](image)


def test_an_image_smaller_than_a_patch_has_no_local_entropy():
    with pytest.raises(ValueError, match="holds no patch"):
        local_entropy(NOISE[:15])


def test_measure_has_one_value_per_image_in_order():
    table = measure(iter([FLAT, NOISE, FLAT]))
    assert list(table) == list(MEASURES)
    for name, values in table.items():
        assert values.tolist() == [MEASURES[name](FLAT), MEASURES[name](NOISE), MEASURES[name](FLAT)]


def test_measures_of_no_image_are_empty_columns():
    assert {values.shape for values in measure([]).values()} == {(0,)}
