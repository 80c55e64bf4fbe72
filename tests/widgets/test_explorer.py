"""What both explorers promise: checks of pictures and settings, small state, plain representation, clear import error."""

import inspect
import re
import subprocess
import sys

import numpy as np
import pytest
from traitlets import TraitError

from clicv2lite.errors import UserError
from clicv2lite.extras import MissingPackage

MaskExplorer = pytest.importorskip("clicv2lite.widgets.mask", exc_type=MissingPackage).MaskExplorer
PatchifyExplorer = pytest.importorskip("clicv2lite.widgets.patchify", exc_type=MissingPackage).PatchifyExplorer
BOTH = pytest.mark.parametrize("explorer", [PatchifyExplorer, MaskExplorer])
PICTURE = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)


@BOTH
def test_picture_of_224_pixels_is_shown_unchanged_and_others_by_their_centre(explorer):
    np.testing.assert_array_equal(explorer(PICTURE).image, PICTURE)
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 105:195] = 200  # inside the central square
    shown = explorer(wide).image
    assert shown.shape == (224, 224, 3) and (shown[:, 20:-20] == 200).all()


@BOTH
@pytest.mark.parametrize(
    ("image", "said"),
    [
        (PICTURE / 255, "float64"),
        (PICTURE[..., 0], r"\(224, 224\)"),
        (np.zeros((8, 8, 4), np.uint8), r"\(8, 8, 4\)"),
        ("cat.png", "str"),
        (np.zeros((0, 8, 3), np.uint8), "no pixels"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(explorer, image, said):
    with pytest.raises(UserError, match=said) as error:
        explorer(image)
    assert "\n" not in str(error.value)


@BOTH
@pytest.mark.parametrize(("name", "value"), [("patch", 7), ("patch", "8"), ("seed", -1), ("seed", 2**32), ("grid", "yes")])
def test_setting_that_cannot_be_drawn_is_refused_and_the_old_one_stays(explorer, name, value):
    widget = explorer(PICTURE)
    before = getattr(widget, name)
    with pytest.raises(TraitError, match=f"'{name}'"):
        setattr(widget, name, value)
    assert getattr(widget, name) == before
    with pytest.raises(TraitError, match=f"'{name}'"):
        explorer(PICTURE, **{name: value})


@pytest.mark.parametrize(
    ("explorer", "name", "value"),
    [
        (PatchifyExplorer, "max_shift", -1),
        (PatchifyExplorer, "max_shift", 57),
        (PatchifyExplorer, "zeros", "never"),
        (MaskExplorer, "ratio", 1.0),
        (MaskExplorer, "ratio", -0.1),
    ],
)
def test_own_settings_are_checked_too(explorer, name, value):
    with pytest.raises(TraitError, match=f"'{name}'"):
        setattr(explorer(PICTURE), name, value)


@BOTH
def test_unknown_setting_is_named(explorer):
    with pytest.raises(TypeError, match="no setting pach; it has picture, patch"):
        explorer(PICTURE, pach=8)


@BOTH
def test_help_shows_the_settings_with_their_defaults(explorer):
    image, *others = inspect.signature(explorer).parameters.values()
    settings = [p for p in others if p.name != "model"]
    assert image.name == "image" and [p.name for p in settings] == list(explorer.settings)
    assert repr(explorer(PICTURE)) == repr(explorer(PICTURE, **{p.name: p.default for p in settings}))


@BOTH
def test_picture_and_constants_cannot_be_replaced(explorer):
    for name in ("pixels", "constants"):
        with pytest.raises(TraitError, match="read-only"):
            setattr(explorer(PICTURE), name, {})


def test_representation_tells_the_settings_and_nothing_that_changes_between_runs():
    assert repr(MaskExplorer(PICTURE, seed=3)) == "MaskExplorer(patch=32, ratio=0.6, seed=3, grid=True)"
    want = "PatchifyExplorer(patch=16, max_shift=4, seed=0, augment=False, zeros='after', overrides={}, grid=True, arrows=True)"
    assert repr(PatchifyExplorer(PICTURE, patch=16)) == want
    two = MaskExplorer({"cat": PICTURE, "noise": PICTURE}, picture="noise")
    assert repr(two) == "MaskExplorer(picture='noise', patch=32, ratio=0.6, seed=0, grid=True)"


@BOTH
def test_picture_is_chosen_by_name_and_the_first_one_is_shown_otherwise(explorer):
    names = {"a": PICTURE, "b": 255 - PICTURE}
    widget = explorer(names)
    np.testing.assert_array_equal(widget.image, PICTURE)
    widget.picture = "b"
    np.testing.assert_array_equal(widget.image, 255 - PICTURE)
    np.testing.assert_array_equal(explorer(names, picture="b").image, 255 - PICTURE)
    with pytest.raises(TraitError, match=r"'picture' trait of \w+ is one of \['a', 'b'\], not 'c'"):
        widget.picture = "c"
    assert widget.picture == "b"
    with pytest.raises(TraitError, match="'picture'"):
        explorer(PICTURE, picture="cat")
    with pytest.raises(UserError, match="empty dict"):
        explorer({})


@BOTH
def test_state_in_a_page_is_small_and_the_front_end_complete(explorer):
    state = explorer(PICTURE).get_state()
    assert len(state["pixels"]) == 224 * 224 * 3
    assert len(state["_esm"]) < 24_000 and state["_esm"].count("export default") == 1
    assert re.findall(r"^import|https?:[^\"]*", state["_esm"] + state["_css"], re.M) == ["http://www.w3.org/2000/svg"]


def test_import_without_anywidget_says_what_to_install():
    code = "import sys; sys.modules['anywidget'] = None; import clicv2lite.widgets"
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert got.returncode and got.stderr.splitlines()[-1] == (
        "clicv2lite.extras.MissingPackage: this part of clicv2lite needs the package anywidget, which is not installed; "
        "pip install '.[notebooks]'"
    )
