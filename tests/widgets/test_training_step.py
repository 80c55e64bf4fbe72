"""The training step of chapter 6 shows what the method computes on the same images."""

import math
import re

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector
from traitlets import TraitError

from clicv2lite.errors import UserError
from clicv2lite.extras import MissingPackage
from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.method.encoder import encode_visible
from clicv2lite.method.patches import patchify
from clicv2lite.method.views import draws_per_image, make_views, uniform
from clicv2lite.pretrain.optim import learning_rate
from clicv2lite.recipes.library import get_recipe

module = pytest.importorskip("clicv2lite.widgets.training_step", exc_type=MissingPackage)
RECIPE = get_recipe("lite")
IMAGES = torch.randint(0, 256, (3, 3, 160, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model() -> CLICv2:
    torch.manual_seed(0)
    return CLICv2(RECIPE.model).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def widget(model):
    return module.TrainingStep(IMAGES, model, RECIPE, seed=3)


@pytest.fixture(scope="module")
def views():
    noise = uniform(3, np.zeros(3, int), np.arange(3), draws_per_image(RECIPE.views))
    return make_views(IMAGES, noise, RECIPE.views)


def test_pictures_are_of_the_views_that_the_model_sees(widget, views):
    step = widget.result()
    assert torch.equal(step.visible, views.visible[0])
    assert torch.equal(step.shifted[step.visible], views.query[0])
    assert torch.equal(step.key_view[step.visible], views.key[0])
    assert not torch.equal(step.augmented, step.shifted)
    clean = patchify(step.crop[None], RECIPE.patch)[0]
    assert step.augmented.shape == clean.shape == (step.shape["G"], 3, RECIPE.patch, RECIPE.patch)


def test_losses_and_logits_are_the_methods(widget, views, model):
    step, want = widget.result(), model(views)
    assert step.contrast == pytest.approx(float(want.contrast), rel=1e-5)
    assert step.reconstruction == pytest.approx(float(want.auxiliary), rel=1e-5)
    assert step.total == pytest.approx(float(want.total), rel=1e-5)
    logits = want.queries.double().flatten(0, 1) @ want.keys.double().flatten(0, 1).T / RECIPE.temperature
    torch.testing.assert_close(step.logits.double(), logits[: step.shape["V"]], atol=1e-4, rtol=1e-4)
    assert float(cross_entropy(logits, torch.arange(step.shape["N"]))) == pytest.approx(step.contrast, rel=1e-4)
    masked = ~step.target.isnan()
    assert masked.sum() == step.shape["M"]
    torch.testing.assert_close(step.target[masked], views.target[0, :, 0])


def test_tokens_keys_and_predictions_are_the_models(widget, views, model):
    step, tokens = widget.result(), encode_visible(model.query, views.query, views.visible)
    torch.testing.assert_close(step.tokens, tokens[0])
    torch.testing.assert_close(step.keys, model(views).keys[0])
    predicted = model.decoder(tokens, views.visible, views.masked)[0, :, 0]
    assert predicted.std() > 1e-3
    torch.testing.assert_close(step.predicted[views.masked[0]], predicted)
    torch.testing.assert_close(step.target[views.masked[0]], views.target[0, :, 0])
    assert step.predicted[views.visible[0]].isnan().all()


def test_the_update_has_the_learning_rate_of_a_first_step(widget, model):
    weights = parameters_to_vector(model.decoder.parameters())
    each = widget.result().moved["decoder"] * weights.norm() / math.sqrt(len(weights))
    assert float(each) == pytest.approx(learning_rate(0, RECIPE), rel=0.1)  # Adam moves every weight by that at first


def test_update_trains_a_copy_and_the_key_side_follows_by_one_minus_m(widget, views, model):
    step = widget.result()
    assert float(model(views).total) == pytest.approx(step.total, rel=1e-5)  # the model itself has not moved
    assert step.next_total < step.total
    for name in ("query", "query head"):
        key = name.replace("query", "key")
        assert step.moved[key] == pytest.approx((1 - RECIPE.momentum) * step.moved[name], rel=0.05)
    assert step.moved["decoder"] > 0


def test_stations_show_the_numbers_and_mark_parts_that_the_plan_has(widget):
    step, text = widget.result(), {it["title"]: it for it in widget.stations}
    assert list(text) == [
        "Crop",
        "Patches",
        "Augment",
        "Shift",
        "Mask",
        "Tokens",
        "Keys",
        "Logits",
        "Decoder",
        "Losses",
        "Update",
    ]
    assert f"{step.total:.3f} = {step.contrast:.3f} + 2 × {step.reconstruction:.3f}" == text["Losses"]["shape"]
    assert text["Tokens"]["shape"] == f"{len(step.visible)} × {step.tokens.shape[1]}"
    assert text["Keys"]["shape"] == f"{step.keys.shape[0]} × {step.keys.shape[1]}"
    assert text["Logits"]["shape"].startswith(f"{step.logits.shape[0]} × {step.logits.shape[1]},")
    known = set(re.findall(r'data-part="([a-z-]+)"', widget.diagram))
    assert {part for it in widget.stations for part in it["parts"]} == known - {"data"}
    assert all(it["picture"].startswith("<svg ") and 'aria-label="' in it["picture"] for it in widget.stations)
    assert math.isfinite(step.next_total) and sum(len(it["picture"]) for it in widget.stations) < 100_000


def test_reader_without_scripts_gets_the_same_sentences(widget):
    listing = widget.listing()
    assert listing.startswith("<noscript>") and listing.count("<li>") == 11
    assert widget.stations[4]["sentence"] in listing and widget.stations[9]["shape"] in listing


def test_arrow_keys_stay_within_the_stations(script):
    assert [script("reached", at, key, 11) for at, key in [(0, "ArrowLeft"), (0, "ArrowRight"), (10, "ArrowRight")]] == [
        0,
        1,
        10,
    ]
    assert [script("reached", 4, key, 11) for key in ("Home", "End", "a")] == [0, 10, None]


def test_mistakes_are_said(widget, model):
    with pytest.raises(TraitError, match="counts from 0 to 10, got 11"):
        widget.station = 11
    with pytest.raises(UserError, match="images: expected two or more"):
        module.TrainingStep(IMAGES[:1], model, RECIPE)
    whole = get_recipe("lite", ["compare=image"])
    with pytest.raises(UserError, match="model: has no decoder"):
        module.TrainingStep(IMAGES, CLICv2(whole.model), whole)
