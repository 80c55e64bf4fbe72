"""PatchifyExplorer draws what the package computes, in Python and in the browser."""

import numpy as np
import pytest
import torch
import traitlets
from hypothesis import example, given
from hypothesis import strategies as st

from clicv2lite.extras import MissingPackage
from clicv2lite.method.entropy import LUMA
from clicv2lite.method.patches import DIRECTIONS, unpatchify
from clicv2lite.method.pixels import MEAN, STD
from clicv2lite.method.views import CROP_DRAWS, PATCH_DRAWS, ViewConfig, make_views

uniforms = pytest.importorskip("clicv2lite.widgets.draws", exc_type=MissingPackage).uniforms
patchify_widget = pytest.importorskip("clicv2lite.widgets.patchify", exc_type=MissingPackage)
PatchifyExplorer, view_pair = patchify_widget.PatchifyExplorer, patchify_widget.view_pair

PICTURE = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)


@st.composite
def states(draw):
    patch, columns = draw(st.sampled_from([1, 2, 3, 4, 5, 8])), draw(st.integers(1, 4))
    names = st.builds("{}:{}".format, st.sampled_from(["query", "key"]), st.integers(0, columns**2 - 1))
    return {
        "patch": patch,
        "max_shift": draw(st.integers(0, patch + 2)),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "augment": draw(st.booleans()),
        "zeros": draw(st.sampled_from(["after", "before"])),
        "overrides": draw(st.dictionaries(names, st.integers(0, 7), max_size=4)),
    }, columns


def constants(side: int) -> dict:
    c = ViewConfig()
    return {
        "side": side,
        "directions": DIRECTIONS,
        "mean": MEAN,
        "draws": PATCH_DRAWS,
        "luma": LUMA,
        "flip": c.flip,
        "color": c.color,
        "blur": c.blur,
    }


def assert_same(drawn: dict, pair) -> None:
    side = len(pair.query)
    for image, want in zip(drawn["images"], (pair.query, pair.key), strict=True):
        image = image.reshape(side, side, 4)
        np.testing.assert_array_equal(image[..., :3], want)
        assert (image[..., 3] == 255).all()
    shares = [*drawn["kept"], drawn["shared"]]
    np.testing.assert_allclose(shares, [pair.query_kept, pair.key_kept, pair.shared], atol=1e-12)


@given(states())
@example(({"patch": 8, "max_shift": 8, "seed": 1, "augment": True, "zeros": "before", "overrides": {"key:3": 7}}, 2))
def test_browser_draws_the_pixels_of_the_package(script, drawn):
    state, columns = drawn
    side = state["patch"] * columns
    image = np.random.default_rng(state["seed"]).integers(0, 256, (side, side, 3), dtype=np.uint8)
    got = script("viewPair", {**state, "pixels": image.tobytes(), "constants": constants(side)})
    assert_same(got, view_pair(image, **state))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"patch": 8, "max_shift": 4, "seed": 3, "zeros": "before"},
        {"patch": 16, "seed": 99, "augment": True, "overrides": {"query:0": 0, "key:195": 5}},
        {"patch": 56, "max_shift": 28, "seed": 2**32 - 1, "augment": True, "zeros": "before"},
    ],
)
def test_browser_draws_the_result_of_the_widget_from_its_state(script, settings):
    widget = PatchifyExplorer(PICTURE, **settings)
    state = widget.get_state(["pixels", "constants", *widget.settings])
    assert_same(script("viewPair", state), widget.result())


@pytest.mark.parametrize("zeros", ["after", "before"])
@pytest.mark.parametrize("patch", [16, 32])
def test_views_are_those_of_make_views_without_mask_and_crop(patch, zeros):
    grid = (224 // patch, 224 // patch)
    g = grid[0] * grid[1]
    config = ViewConfig(patch=patch, mask_ratio=0, max_shift=5, zeros=zeros, augment="none", crop="window")
    # the crop's last draw decides on mirroring the picture: 0.9 does not
    noise = torch.cat([torch.full((CROP_DRAWS,), 0.9), torch.zeros(g), uniforms(4, 2 * g * PATCH_DRAWS)])[None]
    views = make_views(torch.from_numpy(PICTURE).permute(2, 0, 1)[None], noise, config)
    pair = view_pair(PICTURE, patch, 5, 4, False, zeros)
    for want, got in ((views.query, pair.query), (views.key, pair.key)):
        image = unpatchify(want, grid)[0] * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
        np.testing.assert_array_equal((image * 255).round().permute(1, 2, 0).numpy(), got)


def test_shares_count_the_pixels_that_can_still_be_found():
    side, patch = 32, 8
    image = np.arange(side * side * 3, dtype=np.uint32).reshape(side, side, 3)
    image = (1 + image % 251).astype(np.uint8)  # no black; a pixel's three values tell it from the others of its patch
    pair = view_pair(image, patch, 6, 11, False, "before")
    assert pair.query_kept == (pair.query.any(-1)).mean() and pair.key_kept == (pair.key.any(-1)).mean()
    shared = 0
    for top in range(0, side, patch):
        for left in range(0, side, patch):
            cells = [v[top : top + patch, left : left + patch].reshape(-1, 3) for v in (pair.query, pair.key)]
            query, key = ({tuple(p) for p in cell.tolist()} - {(0, 0, 0)} for cell in cells)
            shared += len(query & key)
    assert pair.shared == shared / side**2


def test_nothing_moves_with_shift_zero_and_everything_is_shared():
    pair = PatchifyExplorer(PICTURE, max_shift=0).result()
    np.testing.assert_array_equal(pair.query, PICTURE)
    np.testing.assert_array_equal(pair.key, PICTURE)
    assert pair[2:] == (1, 1, 1)


def test_zeros_are_the_mean_colour_after_normalisation_and_black_before():
    white = np.full_like(PICTURE, 255)
    for zeros, colour in (("after", (124, 116, 104)), ("before", (0, 0, 0))):
        query = PatchifyExplorer(white, zeros=zeros).result().query
        assert {tuple(p) for p in query.reshape(-1, 3).tolist()} == {(255, 255, 255), colour}


def test_largest_shift_is_a_quarter_of_the_patch_unless_given():
    assert [PatchifyExplorer(PICTURE, patch=p).max_shift for p in (8, 16, 32, 56)] == [2, 4, 8, 14]
    assert PatchifyExplorer(PICTURE, patch=8, max_shift=5).max_shift == 5


def test_python_hears_of_a_change_and_the_result_follows():
    widget = PatchifyExplorer(PICTURE)
    heard = []
    widget.observe(lambda change: heard.append(widget.result().shared), "max_shift")
    widget.max_shift = 1
    widget.max_shift = 16
    assert heard[0] > heard[1] > 0


@pytest.mark.parametrize("view", ["query", "key"])
def test_patch_turned_by_hand_moves_in_that_direction_and_no_other_patch_changes(view):
    plain = PatchifyExplorer(PICTURE, patch=32, max_shift=1).result()  # so that the distance is known
    for direction, (dy, dx) in enumerate(DIRECTIONS):
        pair = PatchifyExplorer(PICTURE, patch=32, max_shift=1, overrides={f"{view}:9": direction}).result()
        turned, other = (pair.query, pair.key) if view == "query" else (pair.key, pair.query)
        before, same = (plain.query, plain.key) if view == "query" else (plain.key, plain.query)
        rows, columns = slice(32, 64), slice(64, 96)  # of patch 9, the third one of the second row
        inner = turned[rows, columns][1:-1, 1:-1]
        np.testing.assert_array_equal(inner, PICTURE[33 - dy : 63 - dy, 65 - dx : 95 - dx])
        np.testing.assert_array_equal(other, same)
        elsewhere = np.ones((224, 224), bool)
        elsewhere[rows, columns] = False
        np.testing.assert_array_equal(turned[elsewhere], before[elsewhere])


def test_both_views_turned_alike_share_what_one_of_them_keeps():
    everywhere = {f"{view}:{k}": 2 for view in ("query", "key") for k in range(49)}
    pair = PatchifyExplorer(PICTURE, max_shift=1, overrides=everywhere).result()
    assert pair.query_kept == pair.key_kept == pair.shared == 31 / 32
    np.testing.assert_array_equal(pair.query, pair.key)


def test_new_patch_size_forgets_the_turns():
    widget = PatchifyExplorer(PICTURE, patch=8, overrides={"key:783": 1})
    assert widget.overrides == {"key:783": 1}
    widget.patch = 56
    assert widget.overrides == {}


@pytest.mark.parametrize("overrides", [{"query:49": 0}, {"query:0": 8}, {"left:0": 1}, {"key:-1": 1}, {"key:07": 1}, {3: 1}])
def test_turn_of_no_patch_or_direction_is_refused(overrides):
    widget = PatchifyExplorer(PICTURE, patch=32)
    with pytest.raises(traitlets.TraitError, match="overrides"):
        widget.overrides = overrides
    assert widget.overrides == {}
