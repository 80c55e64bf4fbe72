"""Crop pairs: the script cuts and measures as the package does, to the pixel of scikit-image's edges."""

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.feature import canny
from traitlets import TraitError

from clicv2lite.baselines.measures.basic import edge_density, local_entropy
from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import read_square
from clicv2lite.errors import UserError
from clicv2lite.extras import MissingPackage

crops = pytest.importorskip("clicv2lite.widgets.crops", exc_type=MissingPackage)

NOISE = np.random.default_rng(0).integers(0, 256, (192, 192, 3), dtype=np.uint8)
SMOOTH = np.asarray(Image.fromarray(NOISE[:24, :24]).resize((192, 192), Image.Resampling.BICUBIC))
DARK = SMOOTH // 8  # no gradient is strong enough for an edge
shares = st.floats(0, 1)


@pytest.fixture(scope="module")
def widget():
    pictures = {name: read_square(photographs()[name], 192).permute(1, 2, 0).numpy() for name in ("china", "gravel")}
    return crops.CropPairs(pictures)


@settings(max_examples=30)
@given(st.sampled_from(["noise", "smooth", "dark", "china"]), st.tuples(shares, shares), st.sampled_from([0.02, *crops.AREAS]))
def test_browser_cuts_and_measures_as_the_package(script, widget, name, place, area):
    picture = {"noise": NOISE, "smooth": SMOOTH, "dark": DARK, "china": widget.image}[name]
    part = crops.cut(picture, place, area)
    want = {"edge density": edge_density(part), "patch entropy": local_entropy(part, crops.PATCH)}
    for measure, value in want.items():
        got = script("complexity", picture.tobytes(), 192, place, area, measure, widget.constants)
        assert got == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("side", [16, 61, 96, 192])
def test_browser_draws_scikit_images_edges_pixel_by_pixel(script, side):
    for picture in (NOISE, SMOOTH, DARK):
        luma = np.asarray(Image.fromarray(picture[:side, :side]).convert("L"))
        got = np.array(script("canny", luma.ravel().tolist(), side)).reshape(side, side)
        np.testing.assert_array_equal(got.astype(bool), canny(luma / 255, 1.0))
    assert not got.any()


def test_weak_edges_that_lead_to_a_strong_one_stay_and_others_do_not(script):
    picture = np.zeros((40, 40), np.uint8)
    picture[:, 20:] = np.linspace(10, 60, 40, dtype=np.uint8)[:, None]  # an edge that fades from below to above
    alone = np.minimum(picture, 15)  # only the faint part
    kept, gone = (np.array(script("canny", each.ravel().tolist(), 40)) for each in (picture, alone))
    assert kept.reshape(40, 40)[3].any()
    assert not gone.any() and not canny(alone / 255, 1.0).any()
    np.testing.assert_array_equal(kept.reshape(40, 40).astype(bool), canny(picture / 255, 1.0))


@given(st.integers(0, 2**32 - 1))
def test_browser_draws_the_same_pairs(script, seed):
    got = script("randomPairs", seed, {"pairs": crops.PAIRS})
    assert got == crops.random_pairs(seed) and np.shape(got) == (100, 4)


@given(shares, shares, st.floats(0.02, 1), st.integers(16, 200))
def test_crop_is_a_square_inside_the_picture_of_the_asked_area(x, y, area, full):
    picture = np.broadcast_to(np.arange(full, dtype=np.uint8)[:, None, None], (full, full, 3))
    part = crops.cut(picture, (x, y), area)
    assert part.shape[0] == part.shape[1] and abs(part.shape[0] - full * area**0.5) <= 0.5
    ends = crops.cut(picture, (0, 0), area)[0, 0, 0], crops.cut(picture, (1, 1), area)[-1, 0, 0]
    assert ends == (0, full - 1)


def by_loops(widget, rows):
    full, side = 192, round(192 * widget.area**0.5)
    for row in rows:
        boxes = [[math.floor(at * (full - side) + 0.5) for at in row[k : k + 2]] for k in (0, 2)]
        yield [edge_density(np.ascontiguousarray(widget.image[y : y + side, x : x + side])) for x, y in boxes]


def test_result_counts_the_pairs_kept_and_drawn(script, widget):
    try:
        widget.kept, widget.drawn = [[0.1, 0.2, 0.9, 0.8], [0.0, 0.0, 0.0, 0.0]], True
        found = widget.result()
        assert found.pairs.shape == (102, 2)
        want = np.array(list(by_loops(widget, [*widget.kept, *crops.random_pairs(0)[:5]])))
        np.testing.assert_allclose(found.pairs[:7], want)
        assert found.gap == pytest.approx(sum(abs(q - k) for q, k in found.pairs) / 102)
        assert found.twice == sum(max(pair) >= 2 * min(pair) for pair in found.pairs) / 102 > 0.1
        got = script("ofPairs", found.pairs.tolist())
        assert got["gap"] == pytest.approx(found.gap) and got["twice"] == pytest.approx(found.twice)
    finally:
        widget.kept, widget.drawn = [], False
    assert math.isnan(widget.result().gap) and math.isnan(widget.result().twice)


def test_two_crops_of_the_tower_differ_and_two_of_gravel_hardly_do(widget):
    twice = {}
    try:
        widget.drawn, widget.area = True, 0.15
        for widget.picture in ("china", "gravel"):
            twice[widget.picture] = widget.result().twice
        assert twice["china"] > 0.2 and twice["gravel"] == 0
        widget.area = 1.0
        assert widget.result().gap == 0  # two crops of everything are one
    finally:
        widget.drawn, widget.area, widget.picture = False, 0.25, "china"


def test_pictures_are_small_jpeg_files(widget):
    files = [Image.open(io.BytesIO(file)) for file in widget.files]
    assert [(file.format, file.size) for file in files] == [("JPEG", (192, 192))] * 2
    assert sum(map(len, widget.files)) < 32_000


def test_mistakes_are_named(widget):
    with pytest.raises(UserError, match="no picture"):
        crops.CropPairs({})
    with pytest.raises(TraitError, match="one of"):
        widget.picture = "moon"
    for name, value in [("area", 0.01), ("area", 1.1), ("measure", "beauty"), ("query", [0.5]), ("query", [0.5, 1.5])]:
        with pytest.raises(TraitError):
            setattr(widget, name, value)
    assert repr(widget) == "CropPairs(picture='china', measure='edge density', area=0.25, seed=0)"
