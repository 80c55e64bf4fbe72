"""MaskExplorer draws the package's masks and entropies, in Python and in the browser."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.entropy import LUMA, default_bins
from clicv2lite.masking import visible_count

mask_widget = pytest.importorskip("clicv2lite.widgets.mask", exc_type=ImportError)
MaskExplorer, masked_entropy = mask_widget.MaskExplorer, mask_widget.masked_entropy

PICTURE = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
PICTURE[:100, :100] //= 16  # some patches are darker and have less entropy


def state(image: np.ndarray, patch: int, ratio: float, seed: int) -> dict:
    constants = {"side": len(image), "patch_sizes": [patch], "bins": [default_bins(patch)], "luma": LUMA}
    return {"pixels": image.tobytes(), "patch": patch, "ratio": ratio, "seed": seed, "constants": constants}


def assert_same(drawn: dict, result) -> None:
    side = len(result.visible)
    np.testing.assert_array_equal(drawn["images"][0].reshape(side, side, 4), result.visible)
    entropy = np.array([p["entropy"] for p in drawn["patches"]])
    seen = np.array([p["seen"] for p in drawn["patches"]])
    np.testing.assert_allclose(entropy, result.entropy.ravel(), atol=1e-5)
    np.testing.assert_allclose(np.where(seen, np.nan, entropy), result.target.ravel(), atol=1e-5)
    np.testing.assert_allclose(drawn["meanVisible"], result.entropy[np.isnan(result.target)].mean(), atol=1e-5)
    if seen.all():
        assert drawn["meanMasked"] is None
    else:
        np.testing.assert_allclose(drawn["meanMasked"], np.nanmean(result.target), atol=1e-5)


@given(
    patch=st.sampled_from([2, 4, 8]),
    columns=st.integers(1, 4),
    ratio=st.integers(0, 19).map(lambda k: k / 20) | st.floats(0, 0.95),
    seed=st.integers(0, 2**32 - 1),
    palette=st.lists(st.integers(0, 255), min_size=1, max_size=6),
)
def test_browser_masks_and_measures_as_the_package(script, patch, columns, ratio, seed, palette):
    side = patch * columns
    image = np.random.default_rng(seed).choice(np.array(palette, np.uint8), (side, side, 3))
    got = script("maskedEntropy", state(image, patch, ratio, seed))
    assert_same(got, masked_entropy(image, patch, ratio, seed))


@pytest.mark.parametrize(
    "settings", [{}, {"patch": 8, "ratio": 0.95, "seed": 5}, {"patch": 16, "ratio": 0.35}, {"patch": 56, "ratio": 0.0}]
)
def test_browser_draws_the_result_of_the_widget_from_its_state(script, settings):
    widget = MaskExplorer(PICTURE, **settings)
    got = script("maskedEntropy", widget.get_state(["pixels", "constants", *widget.settings]))
    assert_same(got, widget.result())


def test_brightness_on_the_edge_of_a_bin_falls_on_the_same_side(script):
    # colours whose exact luma is a multiple of 1/32: there the rounding of float32 decides
    weights = [round(1000 * w) for w in LUMA]
    grid = np.stack(np.meshgrid(*[np.arange(0, 256, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    edge = grid[(grid @ weights * 32) % 255_000 == 0]
    assert len(edge) == 60
    image = np.resize(edge, (64, 64, 3)).astype(np.uint8)
    assert_same(script("maskedEntropy", state(image, 16, 0.5, 0)), masked_entropy(image, 16, 0.5, 0))


def test_browser_counts_visible_patches_as_the_package(script):
    cases = [(n, k / 40) for n in (1, 2, 3, 5, 10, 16, 49, 196, 784) for k in range(40)]
    assert any((n * r) % 1 == 0.5 for n, r in cases)  # where Python and JavaScript round differently
    assert [script("visibleCount", n, r) for n, r in cases] == [visible_count(n, r) for n, r in cases]


def test_entropy_map_is_drawn_in_viridis_and_the_target_only_where_masked(script):
    viridis = pytest.importorskip("matplotlib").colormaps["viridis"]
    widget = MaskExplorer(PICTURE, patch=16)
    drawn = script("maskedEntropy", widget.get_state(["pixels", "constants", *widget.settings]))
    result = widget.result()
    want = 255 * viridis(result.entropy / np.log2(default_bins(16)))
    every, target = (image.reshape(14, 16, 14, 16, 4) for image in drawn["images"][1:])
    assert np.abs(every - want[:, None, :, None]).max() <= 4
    masked = ~np.isnan(result.target)
    assert (target[..., 3] == 255 * masked[:, None, :, None]).all()
    np.testing.assert_array_equal(target.swapaxes(1, 2)[masked], every.swapaxes(1, 2)[masked])


def test_visible_patches_are_the_picture_and_the_others_transparent():
    result = MaskExplorer(PICTURE, ratio=0.5).result()
    opaque = result.visible[..., 3] == 255
    np.testing.assert_array_equal(result.visible[opaque][:, :3], PICTURE[opaque])
    assert not result.visible[~opaque].any()
    assert opaque.reshape(7, 32, 7, 32).all((1, 3)).sum() == np.isnan(result.target).sum() == visible_count(49, 0.5)


def test_more_masking_keeps_the_masked_patches_masked():
    widget = MaskExplorer(PICTURE, ratio=0.3)
    few = ~np.isnan(widget.result().target)
    widget.ratio = 0.8
    assert (few <= ~np.isnan(widget.result().target)).all()


def test_flat_picture_has_no_entropy_and_noise_almost_the_most():
    assert MaskExplorer(np.full((50, 60, 3), 90, np.uint8)).result().entropy.max() == 0
    gray = np.random.default_rng(1).integers(0, 256, (224, 224, 1), dtype=np.uint8).repeat(3, 2)
    assert MaskExplorer(gray).result().entropy.min() > 6.8  # of 7 bits
