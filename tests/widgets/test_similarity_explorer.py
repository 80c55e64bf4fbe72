"""SimilarityExplorer shows the package's own features, logits and losses, in Python and in the browser."""

import inspect
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from traitlets import TraitError

from clicv2lite.errors import UserError
from clicv2lite.extras import MissingPackage
from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.method.infonce import infonce, infonce_dense
from clicv2lite.method.views import CROP_DRAWS, ViewConfig, make_views
from clicv2lite.recipes.library import get_recipe

similarity = pytest.importorskip("clicv2lite.widgets.similarity", exc_type=MissingPackage)
DRAWN = similarity.DRAWN
SimilarityExplorer, contrast = similarity.SimilarityExplorer, similarity.contrast
uniforms = pytest.importorskip("clicv2lite.widgets.draws", exc_type=MissingPackage).uniforms

PICTURES = {
    name: np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(40, 0).repeat(40, 1)
    for i, name in enumerate(["a", "b", "c", "d", "e", "f"])
}
LARGE = ("pixels", "query_features", "key_features", "constants")


@pytest.fixture(scope="module")
def model() -> CLICv2:
    torch.manual_seed(0)
    return CLICv2(get_recipe("lite").model)


@pytest.fixture(scope="module")
def explorer(model):
    return SimilarityExplorer(dict(list(PICTURES.items())[:4]), model)


def state(queries, keys, columns: int, **now) -> dict:
    constants = {"side": columns, "patch": 1, "dim": queries.shape[-1]}
    data = {name: x.numpy().astype("<f4").tobytes() for name, x in [("query_features", queries), ("key_features", keys)]}
    return {**data, "constants": constants, **now}


def slow(queries, keys, image, patch, temperature, negatives) -> dict:
    """The definition, one pair of patches after the other."""
    n, g, _ = queries.shape
    q, k = queries.double().tolist(), keys.double().tolist()

    def row(i, j):
        logits = {}
        for other, place in np.ndindex(n, g):
            wanted = {
                "batch": True,
                "other-images": other != i,
                "same-position": place == j,
                "same-image": other == i,
            }[negatives]
            if wanted or (other, place) == (i, j):
                logits[other, place] = math.fsum(a * b for a, b in zip(q[i][j], k[other][place], strict=True)) / temperature
        positive = logits.pop((i, j))
        loss = math.log(math.exp(positive) + math.fsum(map(math.exp, logits.values()))) - positive
        return positive, logits, loss

    rows = [row(i, j) for i, j in np.ndindex(n, g)]
    positive, logits, loss = rows[image * g + patch]
    return {
        "loss": loss,
        "probability": math.exp(-loss),
        "rank": 1 + sum(x > positive for x in logits.values()),
        "candidates": 1 + len(logits),
        "hardest": max(logits.values()),
        "meanLoss": sum(r[2] for r in rows) / len(rows),
        "hits": sum(all(x <= r[0] for x in r[1].values()) for r in rows) / len(rows),
        "logits": {**logits, (image, patch): positive},
    }


@settings(max_examples=40)
@given(
    n=st.integers(2, 4),
    columns=st.integers(2, 3),
    spread=st.sampled_from([0.3, 1.0, 3.0]),
    temperature=st.integers(1, 20).map(lambda k: k / 20),
    negatives=st.sampled_from(DRAWN),
    seed=st.integers(0, 2**32 - 1),
)
def test_python_and_browser_find_the_loss_of_the_definition(script, n, columns, spread, temperature, negatives, seed):
    g, draw = columns**2, torch.Generator().manual_seed(seed)
    raw = torch.randn(n, g, 5, generator=draw)
    queries, keys = F.normalize(raw, dim=-1), F.normalize(raw + spread * torch.randn(n, g, 5, generator=draw), dim=-1)
    image, patch = seed % n, seed // 7 % g
    want = slow(queries, keys, image, patch, temperature, negatives)
    got = contrast(queries, keys, image, patch, temperature, negatives)
    now = {"image": image, "patch": patch, "temperature": temperature, "negatives": negatives}
    drawn = script("contrast", state(queries, keys, columns, **now))
    logits, probabilities = (np.array(drawn[name], float).reshape(n, g) for name in ("logits", "probabilities"))
    for index in np.ndindex(n, g):
        value = want["logits"].get(index, math.nan)
        np.testing.assert_allclose([got.logits.reshape(n, g)[index], logits[index]], value, atol=1e-6)
        share = math.exp(value - want["logits"][image, patch]) * want["probability"]
        np.testing.assert_allclose([got.probabilities.reshape(n, g)[index], probabilities[index]], share, atol=1e-6)
    assert got.rank == drawn["rank"] == want["rank"] and got.candidates == drawn["candidates"] == want["candidates"]
    numbers = [want[name] for name in ("loss", "probability", "meanLoss", "hits")]
    np.testing.assert_allclose([got.loss, got.probability, got.mean_loss, got.hits], numbers, atol=1e-6)
    np.testing.assert_allclose([drawn[name] for name in ("loss", "probability", "meanLoss", "hits")], numbers, atol=1e-6)
    assert np.ravel_multi_index(got.hardest, (n, columns, columns)) == drawn["hardest"]
    np.testing.assert_allclose(got.logits[got.hardest], want["hardest"], atol=1e-6)


@pytest.mark.parametrize("negatives", DRAWN)
@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_mean_loss_of_a_page_is_the_packages_on_the_same_features(script, explorer, temperature, negatives):
    now = {"image": 2, "patch": 40, "temperature": temperature, "negatives": negatives}
    drawn = script("contrast", {**explorer.get_state(LARGE), **now})
    places = torch.arange(64).expand(4, 64)
    for loss in (infonce_dense, infonce):
        assert abs(drawn["meanLoss"] - loss(*explorer.features, places, temperature, negatives).item()) < 1e-5
    result = contrast(*explorer.features, **now)
    np.testing.assert_allclose(np.array(drawn["logits"], float), result.logits.ravel(), atol=1e-9)
    np.testing.assert_allclose([drawn["loss"], drawn["meanLoss"]], [result.loss, result.mean_loss], atol=1e-9)


def test_features_and_loss_are_those_of_the_model_on_the_packages_views(explorer, model):
    config = ViewConfig(size=128, patch=16, mask_ratio=0, crop="window")
    squares = [similarity.square(picture, 128) for picture in list(PICTURES.values())[:4]]
    noise = torch.cat([torch.full((4, CROP_DRAWS), 0.9), torch.arange(64).div(64).expand(4, 64)], 1)
    noise = torch.cat([noise.double(), uniforms(0, 4 * 64 * 14).reshape(4, -1)], 1)  # neither mirrored nor masked
    views = make_views(torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2), noise, config)
    assert (views.visible == torch.arange(64)).all()
    with torch.no_grad():
        output = model.eval()(views._replace(query=views.query.float(), key=views.key.float(), target=torch.zeros(4, 0, 1)))
    for got, want in zip(explorer.features, (output.queries, output.keys), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4)
    assert abs(explorer.result().mean_loss - output.contrast.item()) < 1e-4


def test_pictures_are_the_views_of_the_patchify_explorer(explorer):
    view_pair = pytest.importorskip("clicv2lite.widgets.patchify", exc_type=MissingPackage).view_pair
    pair = view_pair(similarity.square(PICTURES["a"], 128), 16, 4, seed=0, augment=True, zeros="after")
    shown = np.frombuffer(explorer.pixels, np.uint8).reshape(2, 4, 128, 128, 3)
    np.testing.assert_array_equal(shown[:, 0], [pair.query, pair.key])


def test_views_are_of_the_colours_and_shifts_that_are_asked_for(model):
    still = SimilarityExplorer(PICTURES, model, views=ViewConfig(max_shift=0, augment="none"))
    shown = np.frombuffer(still.pixels, np.uint8).reshape(2, 6, 128, 128, 3)
    want = [similarity.square(picture, 128) for picture in PICTURES.values()]
    np.testing.assert_array_equal(shown, [want, want])
    queries, keys = still.features  # a fresh model: its key encoder is a copy of its query encoder
    np.testing.assert_allclose(queries, keys, atol=1e-6)
    assert still.result().hits == 1


@pytest.mark.parametrize("negatives", ["batch", "other-images"])
@pytest.mark.parametrize("show", ["logits", "probabilities"])
def test_map_is_drawn_in_plasma_and_nothing_where_a_key_is_left_out(script, explorer, show, negatives):
    plasma = pytest.importorskip("matplotlib").colormaps["plasma"]
    now = {"image": 1, "patch": 9, "temperature": 0.1, "negatives": negatives, "show": show, "beneath": False}
    page = {**explorer.get_state(LARGE), **now}
    drawn = script("heat", page)
    values = getattr(contrast(*explorer.features, 1, 9, 0.1, negatives), show)
    low = np.nanmin(values) if show == "logits" else 0
    np.testing.assert_allclose([drawn["low"], drawn["high"]], [low, np.nanmax(values)])
    pictures = np.stack([image.reshape(128, 128, 4) for image in drawn["images"]])
    cells = pictures.reshape(4, 8, 16, 8, 16, 4).transpose(0, 1, 3, 2, 4, 5)
    known = ~np.isnan(values)
    assert not cells[~known].any() and known.sum() == (256 if negatives == "batch" else 193)
    want = 255 * plasma((values[known] - low) / (np.nanmax(values) - low))
    assert np.abs(cells[known] - want[:, None, None]).max() <= 4


def test_front_end_and_python_are_told_of_each_other(explorer):
    seen = []
    explorer.observe(lambda change: seen.append(explorer.result().rank), "patch")
    explorer.set_state({"patch": 12, "negatives": "same-image", "temperature": 0.5})  # as the page sends it
    assert len(seen) == 1 and explorer.result().candidates == 64
    explorer.patch, explorer.image, explorer.temperature = 0, 3, 0.2
    assert explorer.get_state()["image"] == 3 and len(seen) == 2
    explorer.unobserve_all("patch")
    explorer.image, explorer.negatives = 0, "batch"


def test_seed_draws_other_views_and_the_old_one_brings_the_old_ones_back(explorer):
    before = explorer.pixels, explorer.key_features, explorer.result().mean_loss
    explorer.seed = 5
    assert explorer.pixels != before[0] and explorer.key_features != before[1]
    assert explorer.result().mean_loss != before[2]
    explorer.seed = 0
    assert (explorer.pixels, explorer.key_features, explorer.result().mean_loss) == before


def test_representation_and_help_tell_the_settings(model):
    widget = SimilarityExplorer([PICTURES["a"], PICTURES["b"]], model, seed=1, patch=3)
    want = "seed=1, image=0, patch=3, temperature=0.2, negatives='batch', show='logits', beneath=True, grid=True"
    assert repr(widget) == f"SimilarityExplorer({want})"
    assert widget.constants["names"] == ["image 1", "image 2"]
    assert list(inspect.signature(SimilarityExplorer).parameters)[:4] == ["images", "model", "views", "seed"]


def test_state_in_a_page_is_small(model):
    for count, limit in ((4, 700_000), (6, 2**20)):
        state = SimilarityExplorer(dict(list(PICTURES.items())[:count]), model).get_state()
        assert sum(len(value) for value in state.values() if isinstance(value, bytes | str)) < limit


def test_model_is_left_in_the_mode_it_was_in(model):
    model.train()
    SimilarityExplorer(PICTURES, model)
    assert model.training


@pytest.mark.parametrize(
    ("images", "said"),
    [([PICTURES["a"]], "got 1"), ([PICTURES["a"]] * 7, "got 7"), ([PICTURES["a"], "b.png"], "str")],
)
def test_batch_that_cannot_be_shown_is_refused_in_one_line(model, images, said):
    with pytest.raises(UserError, match=said) as error:
        SimilarityExplorer(images, model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("image", 4), ("image", -1), ("patch", 64), ("patch", -1), ("temperature", 0.0), ("temperature", 2), ("negatives", "all"),
     ("show", "cosines"), ("seed", -1)],
)  # fmt: skip
def test_setting_that_cannot_be_drawn_is_refused_and_the_old_one_stays(explorer, name, value):
    before = getattr(explorer, name)
    with pytest.raises(TraitError, match=f"'{name}'"):
        setattr(explorer, name, value)
    assert getattr(explorer, name) == before
