"""TokenExplorer shows the package's own cosines and likeness, in Python and in the browser."""

import math

import numpy as np
import pytest
import torch
from traitlets import TraitError

from clicv2lite.encoders.side_by_side import SideBySide
from clicv2lite.encoders.token_similarity import CHANNELS as COUNT
from clicv2lite.errors import UserError
from clicv2lite.extras import MissingPackage
from clicv2lite.models.by_name import load_encoder

tokens = pytest.importorskip("clicv2lite.widgets.tokens", exc_type=MissingPackage)
CHANNELS, TokenExplorer = tokens.CHANNELS, tokens.TokenExplorer

PICTURES = {
    name: np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    for i, name in enumerate(("a", "b", "c"))
}
SETTINGS = ("pixels", "constants", "cosines", *TokenExplorer.settings)  # what the browser computes from


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("random")


@pytest.fixture
def explorer(encoder):
    return TokenExplorer(PICTURES, encoder, side=64)  # 4 x 4 patches


def shown(explorer) -> dict:
    """The state as mount() hands it to the drawing function: the pixels of the picture that is shown."""
    return {**explorer.get_state(SETTINGS), "pixels": explorer.image.tobytes()}


def slow(explorer, encoder) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and likeness by their definition, one pair of patches after the other."""
    picture = torch.from_numpy(explorer.image.copy()).permute(2, 0, 1)[None]
    rows = encoder.blocks(picture)[explorer.block][0].double().tolist()
    unit = [[x / math.hypot(*row) for x in row] for row in rows]
    n, side, k = len(unit), math.isqrt(len(unit)), CHANNELS.index(explorer.channel)
    cosines = np.array([[math.fsum(a * b for a, b in zip(u, v, strict=True)) for v in unit] for u in unit])

    def one(j: int) -> float:
        others = [cosines[j, z] for z in range(n) if z != j]
        beside = [cosines[j, z] for z in range(n) if abs(z // side - j // side) + abs(z % side - j % side) == 1]
        soft = [t * math.log(sum(math.exp(c / t) for c in others) / (n - 1)) for t in (0.05, 0.2)]
        return (max(others), *soft, sum(others) / (n - 1), sum(beside) / len(beside))[k]

    return cosines, np.array([one(j) for j in range(n)])


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(("picture", "block"), [("a", 0), ("b", 3), ("c", 1)])
def test_python_and_browser_find_what_the_definition_says(script, explorer, encoder, channel, picture, block):
    explorer.picture, explorer.block, explorer.channel = picture, block, channel
    cosines, likeness = slow(explorer, encoder)
    result, state = explorer.result(), shown(explorer)
    np.testing.assert_allclose(result.cosines, cosines, atol=1e-5)
    np.testing.assert_allclose(result.likeness.ravel(), likeness, atol=1e-5)
    np.testing.assert_allclose(np.reshape(script("tokenCosines", state), (16, 16)), cosines, atol=1e-4)
    drawn = script("alike", state)
    np.testing.assert_allclose(drawn["values"], likeness, atol=2e-4)
    np.testing.assert_allclose([drawn["low"], drawn["high"]], [likeness.min(), likeness.max()], atol=2e-4)
    np.testing.assert_array_equal(drawn["images"][0].reshape(64, 64, 4)[..., :3], explorer.image)


def test_each_channel_has_a_name():
    assert len(CHANNELS) == len(set(CHANNELS)) == COUNT


def test_maps_are_drawn_in_plasma_one_colour_a_patch(script, explorer):
    plasma = pytest.importorskip("matplotlib").colormaps["plasma"]
    values = script("alike", shown(explorer))["values"]
    image = script("alike", shown(explorer))["images"][2].reshape(4, 16, 4, 16, 4).swapaxes(1, 2)
    share = (np.array(values) - min(values)) / (max(values) - min(values))
    assert np.abs(image - 255 * plasma(share).reshape(4, 4, 1, 1, 4)).max() <= 4


def test_a_single_picture_is_drawn(script, encoder):
    explorer = TokenExplorer(PICTURES["b"], encoder, side=64, block=2)
    state = shown(explorer)
    del state["picture"]  # a page hands it over only if there are several
    np.testing.assert_allclose(np.reshape(script("tokenCosines", state), (16, 16)), explorer.result().cosines, atol=1e-4)


def test_encoders_side_by_side_show_all_their_blocks(encoder):
    both = TokenExplorer(PICTURES, SideBySide("both", [encoder, load_encoder("random")]), side=64)
    assert both.constants["blocks"] == 2 * len(encoder.config.pool.blocks)


def test_state_in_a_page_is_small(encoder):
    state = TokenExplorer(PICTURES, encoder).get_state()
    assert sum(len(value) for value in state.values() if isinstance(value, bytes | str)) < 2**20


def test_representation_tells_the_settings(explorer):
    assert repr(explorer) == "TokenExplorer(picture='a', block=0, channel='τ = 0.05', place=0, grid=True)"
    assert explorer.patch == 16


@pytest.mark.parametrize(
    ("name", "value"), [("block", 4), ("block", -1), ("place", 16), ("channel", "all"), ("picture", "d"), ("patch", 32)]
)
def test_setting_that_cannot_be_drawn_is_refused_and_the_old_one_stays(explorer, name, value):
    before = getattr(explorer, name)
    with pytest.raises(TraitError, match=f"'{name}'"):
        setattr(explorer, name, value)
    assert getattr(explorer, name) == before


@pytest.mark.parametrize(("side", "said"), [(16, "grids")])
def test_what_has_no_grid_of_tokens_is_refused_in_one_line(encoder, side, said):
    with pytest.raises(UserError, match=said):
        TokenExplorer(PICTURES, encoder, side=side)
    with pytest.raises(UserError, match="expected a frozen encoder, got str") as error:
        TokenExplorer(PICTURES, "default")
    assert "\n" not in str(error.value)
