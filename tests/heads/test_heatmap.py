import numpy as np
import pytest
from PIL import Image

from clicv2lite.heads.heatmap import overlay, relative, smooth


def test_complex_places_are_brighter_and_simple_ones_darker():
    gray = Image.new("RGB", (80, 40), "gray")
    level = np.zeros((4, 8))
    level[:, 4:] = 1
    pixels = np.asarray(overlay(gray, level).convert("L")).astype(int)
    assert pixels.shape == (40, 80)
    assert pixels[:, 70:].min() > pixels[:, :10].max() + 100


def test_no_strength_is_the_image_and_full_strength_the_colours():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8))
    assert np.array_equal(overlay(image, np.zeros((2, 2)), 0.0), image)
    assert np.array_equal(np.unique(overlay(image, np.full((2, 2), 2.0), 1.0)), [0xBF, 0xFC, 0xFD])


@pytest.mark.parametrize("size, want", [((20000, 3), (1024, 1)), ((1, 1), (1, 1)), ((3000, 1500), (1024, 512))])
def test_overlays_of_any_shape_stay_small(size, want):
    assert overlay(Image.new("RGB", size), np.ones((3, 3))).size == want


def test_relative_levels_span_0_to_1_and_a_flat_map_is_the_middle():
    levels = relative(np.linspace(-5, 9, 1000).reshape(20, 50))
    assert levels.min() == pytest.approx(-0.02, abs=0.01) and levels.max() == pytest.approx(1.02, abs=0.01)
    assert (relative(np.full((3, 3), 7.0)) == 0.5).all()


def test_smoothing_is_a_gaussian_mean_of_neighbours_that_loses_nothing():
    complexity = np.random.default_rng(0).normal(0.5, 3, (9, 13))
    got = smooth(complexity, 1.5)
    padded = np.pad(complexity, 6, mode="symmetric")  # scipy's "reflect" repeats the edge
    at = np.arange(-6, 7)
    kernel = np.exp(-(at**2) / (2 * 1.5**2))
    kernel = np.outer(kernel, kernel) / kernel.sum() ** 2
    want = [[(padded[y : y + 13, x : x + 13] * kernel).sum() for x in range(13)] for y in range(9)]
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert got.mean() == pytest.approx(complexity.mean()) and got.std() < complexity.std() / 2
