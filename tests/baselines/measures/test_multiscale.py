"""Measures over scales against loops, and on pictures whose value is known by construction."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clicv2lite.baselines.measures.basic import MEASURES, luma, measure
from clicv2lite.baselines.measures.multiscale import gradient_energy, sobel_gradient, unique_colors
from clicv2lite.baselines.measures.sets import PLAIN, SETS

IMAGES = arrays(np.uint8, st.tuples(st.integers(8, 20), st.integers(8, 20), st.just(3)))
WEIGHTS = {1: 0.4, 2: 0.3, 4: 0.2, 8: 0.1}


def slow_scale(image, side):
    """Means of squares, one at a time."""
    rows, columns = image.shape[0] // side, image.shape[1] // side
    cells = [
        [image[y * side : (y + 1) * side, x * side : (x + 1) * side].astype(float) for x in range(columns)] for y in range(rows)
    ]
    return np.array([[cell.mean((0, 1)) for cell in row] for row in cells])


def slow_sobel(channel):
    """Sum of the lengths of (gx, gy) over the places, the margin mirrored about its outermost pixel."""
    padded = np.pad(channel, 1, mode="reflect") if min(channel.shape) > 1 else np.pad(channel, 1, mode="edge")
    lengths = []
    for y, x in np.ndindex(channel.shape):
        w = padded[y : y + 3, x : x + 3]
        gx = sum(k * (w[i, 2] - w[i, 0]) for i, k in enumerate((1, 2, 1)))
        gy = sum(k * (w[2, i] - w[0, i]) for i, k in enumerate((1, 2, 1)))
        lengths.append(math.hypot(gx, gy))
    return np.mean(lengths)


@given(arrays(np.uint8, st.tuples(st.integers(16, 19), st.integers(16, 19), st.just(3))))
@settings(max_examples=5, deadline=None)
def test_sobel_gradient_matches_loops(image):
    scales = {side: slow_scale(image, side) / 255 for side in WEIGHTS}
    want = sum(w * np.mean([slow_sobel(scales[s][..., c]) for c in range(3)]) for s, w in WEIGHTS.items())
    assert sobel_gradient(image) == pytest.approx(want, abs=1e-9)


@given(IMAGES, st.integers(1, 8))
@settings(max_examples=15, deadline=None)
def test_unique_colors_matches_a_set(image, bits):
    want = 0
    for side, weight in WEIGHTS.items():
        pixels = np.round(slow_scale(image, side)).astype(int).reshape(-1, 3).tolist()
        want += weight * len({tuple(v >> (8 - bits) for v in pixel) for pixel in pixels})
    assert unique_colors(image, bits) == pytest.approx(want)


@given(IMAGES)
@settings(max_examples=15, deadline=None)
def test_gradient_energy_matches_a_loop(image):
    gray = luma(image).astype(float) / 255
    right = [(gray[y, x + 1] - gray[y, x]) ** 2 for y, x in np.ndindex(gray.shape[0], gray.shape[1] - 1)]
    down = [(gray[y + 1, x] - gray[y, x]) ** 2 for y, x in np.ndindex(gray.shape[0] - 1, gray.shape[1])]
    assert gradient_energy(image) == pytest.approx(np.mean(right) + np.mean(down), abs=1e-12)


def test_flat_and_chessboard():
    flat = np.full((16, 16, 3), 77, np.uint8)
    board = np.repeat(np.indices((16, 16)).sum(0)[..., None] % 2 * 255, 3, axis=2).astype(np.uint8)
    assert (sobel_gradient(flat), gradient_energy(flat), unique_colors(flat)) == (0, 0, pytest.approx(1))
    assert gradient_energy(board) == 2
    assert unique_colors(board) == pytest.approx(0.4 * 2 + 0.6)  # from 2 x 2 on it is all one gray


@pytest.mark.parametrize("of", [sobel_gradient, unique_colors])
def test_an_image_without_the_smallest_scale_is_refused(of):
    with pytest.raises(ValueError, match="no scale of 1/8"):
        of(np.zeros((7, 30, 3), np.uint8))


def test_sets_keep_the_eight_first_and_unchanged():
    assert list(SETS["plain"])[:8] == list(SETS["eight"]) == list(MEASURES) and len(PLAIN) == 11 and len(SETS["all"]) == 13
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    eight, plain = measure([image]), measure([image], PLAIN)
    assert all(plain[name][0] == value[0] for name, value in eight.items())
    assert plain["sobel_gradient"][0] == sobel_gradient(image)
