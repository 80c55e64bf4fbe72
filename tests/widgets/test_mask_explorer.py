"""MaskExplorer draws the package's masks, entropies and predictions, in Python and in the browser."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.errors import UserError
from clicv2lite.extras import MissingPackage
from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.method.entropy import LUMA, default_bins
from clicv2lite.method.masking import visible_count
from clicv2lite.method.views import ViewConfig, make_views
from clicv2lite.recipes.library import get_recipe

mask_widget = pytest.importorskip("clicv2lite.widgets.mask", exc_type=MissingPackage)
MaskExplorer, masked_entropy = mask_widget.MaskExplorer, mask_widget.masked_entropy

PICTURE = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
PICTURE[:100, :100] //= 16  # some patches are darker and have less entropy


SETTINGS = ("pixels", "constants", "predictions", "answer", *MaskExplorer.settings)  # what the browser computes from


def model(name: str = "ci", **settings: object) -> CLICv2:
    torch.manual_seed(0)
    made = CLICv2(get_recipe(name, [f"{key}={value}" for key, value in settings.items()]).model)
    torch.nn.init.normal_(made.decoder.predict.weight)  # predictions that differ from patch to patch
    return made


def state(image: np.ndarray, patch: int, ratio: float, seed: int) -> dict:
    constants = {"side": len(image), "patch_sizes": [patch], "bins": [default_bins(patch)], "luma": LUMA, "model": 0}
    return {"pixels": image.tobytes(), "patch": patch, "ratio": ratio, "seed": seed, "constants": constants | {"ratios": []}}


def assert_same(drawn: dict, result) -> None:
    side = len(result.visible)
    np.testing.assert_array_equal(drawn["images"][0].reshape(side, side, 4), result.visible)
    entropy = np.array([p["entropy"] for p in drawn["patches"]])
    seen = np.array([p["seen"] for p in drawn["patches"]])
    np.testing.assert_allclose(entropy, result.entropy.ravel(), atol=1e-5)
    np.testing.assert_allclose(np.where(seen, np.nan, entropy), result.target.ravel(), atol=1e-5)
    np.testing.assert_allclose(drawn["meanVisible"], result.entropy[np.isnan(result.target)].mean(), atol=1e-5)
    assert list(drawn["predictions"]) == list(result.predictions)
    for name, values in drawn["predictions"].items():
        np.testing.assert_allclose(np.where(seen, np.nan, values), result.predictions[name].ravel(), atol=1e-5)
    shown = [p["predicted"] for p in drawn["patches"]]
    assert shown == next(iter(drawn["predictions"].values()))
    if seen.all():
        assert drawn["meanMasked"] is None and set(drawn["errors"].values()) == {None}
    else:
        for name, error in drawn["errors"].items():
            np.testing.assert_allclose(error, result.errors[name], atol=1e-4)
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
    got = script("maskedEntropy", widget.get_state(SETTINGS))
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
    drawn = script("maskedEntropy", widget.get_state(SETTINGS))
    result = widget.result()
    want = 255 * viridis(result.entropy / np.log2(default_bins(16)))
    every, target, guess = (image.reshape(14, 16, 14, 16, 4) for image in drawn["images"][1:])
    said = 255 * viridis(result.predictions["neighbours"] / np.log2(default_bins(16)))
    assert np.abs(every - want[:, None, :, None]).max() <= 4
    masked = ~np.isnan(result.target)
    assert (target[..., 3] == 255 * masked[:, None, :, None]).all()
    np.testing.assert_array_equal(target.swapaxes(1, 2)[masked], every.swapaxes(1, 2)[masked])
    assert (guess[..., 3] == 255 * masked[:, None, :, None]).all()
    assert np.abs(guess.swapaxes(1, 2)[masked] - said[masked][:, None, None]).max() <= 4


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


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0.05, 1),
)
def test_neighbours_mean_is_that_of_a_loop_over_the_patches(script, rows, columns, seed, share):
    rng = np.random.default_rng(seed)
    entropy, seen = rng.random((rows, columns)), rng.random((rows, columns)) < share
    seen.flat[rng.integers(seen.size)] = True
    want = np.empty_like(entropy)
    for y in range(rows):
        for x in range(columns):
            around = [
                entropy[v, u]
                for v in range(max(0, y - 1), min(rows, y + 2))
                for u in range(max(0, x - 1), min(columns, x + 2))
                if (v, u) != (y, x) and seen[v, u]
            ]
            want[y, x] = np.mean(around or entropy[seen])
    got = mask_widget.neighbours_mean(torch.from_numpy(entropy), torch.from_numpy(seen))
    np.testing.assert_allclose(got, want, atol=1e-12)
    if rows == columns:
        drawn = script("neighboursMean", entropy.ravel().tolist(), seen.ravel().tolist(), columns)
        np.testing.assert_allclose(drawn, want.ravel(), atol=1e-12)


def test_decoder_is_asked_what_pretraining_asks_it():
    """The mean squared error in the explorer is L_rec of views that are neither augmented nor shifted."""
    made, image = model(), PICTURE[60:92, 60:92]
    config = ViewConfig(size=32, patch=8, max_shift=0, augment="none", crop="window")
    noise = torch.full((1, 5 + 16 + 2 * 16 * 7), 0.9)
    noise[0, 5:21] = mask_widget.uniforms(3, 16)
    views = make_views(torch.from_numpy(image).permute(2, 0, 1)[None], noise, config)
    want = made(views).auxiliary
    got = masked_entropy(image, 8, 0.6, 3, made).errors["decoder"]
    np.testing.assert_allclose(got, want.item(), rtol=1e-4)


@pytest.fixture(scope="module")
def two_pictures():
    """An explorer of the pictures a and b, and what a page gets of it."""
    widget = MaskExplorer({"a": PICTURE, "b": 255 - PICTURE[:100]}, model=model())
    return widget, widget.get_state(SETTINGS)


@pytest.mark.parametrize("ratio", mask_widget.RATIOS)
def test_browser_knows_the_decoders_answer_to_every_mask_without_python(script, two_pictures, ratio):
    widget, shown = two_pictures
    for picture in ("a", "b"):
        for seed in range(mask_widget.SEEDS):
            drawn = script("maskedEntropy", {
                **shown, "picture": picture, "ratio": ratio, "seed": seed, "answer": {},
                "pixels": shown["pixels"][:3072] if picture == "a" else shown["pixels"][3072:],
            })  # fmt: skip
            widget.set_trait("picture", picture)
            want = masked_entropy(widget.image, 8, ratio, seed, widget._model)
            assert_same(drawn, want)
            assert "decoder" in drawn["predictions"]


def test_python_answers_for_masks_that_no_page_offers(script):
    widget = MaskExplorer(PICTURE, model=model(), seed=4_000_000_000)
    widget.ratio = 0.33
    assert_same(script("maskedEntropy", widget.get_state(SETTINGS)), widget.result())
    unanswered = script("maskedEntropy", {**widget.get_state(SETTINGS), "answer": {}})
    assert list(unanswered["predictions"]) == ["neighbours", "visible"]


def test_python_hears_of_a_change_and_its_model_answers_as_it_is_now():
    made = model()
    widget = MaskExplorer(PICTURE, model=made)
    before = widget.answer["bits"]
    with torch.no_grad():
        made.decoder.predict.bias += 1
    widget.seed = 1
    widget.seed = 0
    after = np.array(widget.answer["bits"])
    np.testing.assert_allclose(after, before + (after != 0), atol=1e-5)
    assert (widget.answer["ratio"], widget.answer["seed"]) == (0.6, 0)


def test_model_answers_at_its_own_patch_size_only(script):
    widget = MaskExplorer(PICTURE, model=model())
    assert (widget.image.shape, widget.patch, widget.constants["patch_sizes"]) == ((32, 32, 3), 8, [8, 16])
    widget.patch = 16
    assert list(widget.result().predictions) == ["neighbours", "visible"]
    assert_same(script("maskedEntropy", widget.get_state(SETTINGS)), widget.result())
    assert repr(widget) == "MaskExplorer(patch=16, ratio=0.6, seed=0, grid=True)"


@pytest.mark.parametrize(
    ("wrong", "said"), [(model(target="pixels"), "192 numbers per patch"), (torch.nn.Linear(1, 1), "got Linear")]
)
def test_model_that_predicts_no_entropy_is_refused_in_one_line(wrong, said):
    with pytest.raises(UserError, match=said):
        MaskExplorer(PICTURE, model=wrong)


def test_a_lite_model_answers_once_for_each_ratio_and_in_little_room(monkeypatch):
    """All seeds of a ratio are one batch: 20 passes, not 200."""
    batches, real = [], mask_widget.decoded_entropy
    monkeypatch.setattr(mask_widget, "decoded_entropy", lambda *args: batches.append(len(args[2])) or real(*args))
    widget = MaskExplorer(PICTURE, model=model("lite"))
    assert batches == [mask_widget.SEEDS] * len(mask_widget.RATIOS) + [1]  # and the answer shown first
    assert len(widget.predictions) == 4 * 20 * 10 * 64
