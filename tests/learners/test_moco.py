"""MoCo: the loss by a loop, the queue by a list, the views by their draws, the start by the seed."""

import math
from collections import deque
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.learners.moco import DRAWS, MoCo, draws_per_image, infonce_queue, make_views, one_crop
from clicv2lite.method.augmentation import augment
from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.method.encoder import EncoderConfig, encode_visible
from clicv2lite.method.patches import patchify
from clicv2lite.method.pixels import MEAN, STD
from clicv2lite.method.views import ViewConfig, base_crop
from clicv2lite.models.by_name import random_encoder
from clicv2lite.recipes.library import get_recipe
from tests.learners.batches import images, uniform_noise

RECIPE = get_recipe("ci", ["method=moco", "queue=20", "momentum=0.7"])
VIEWS = RECIPE.views
noise = partial(uniform_noise, 2 * DRAWS)


def features(n, d=5, seed=0):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


@given(st.integers(1, 5), st.integers(1, 9), st.floats(0.05, 2), st.integers(0, 99))
def test_the_loss_is_equation_1_in_a_loop(b, k, tau, seed):
    q, key, queue = features(b, seed=seed), features(b, seed=seed + 1), features(k, seed=seed + 2)
    want = []
    for i in range(b):
        similar = [sum(x * y for x, y in zip(q[i].tolist(), row, strict=True)) for row in [key[i].tolist(), *queue.tolist()]]
        positive, *negatives = (math.exp(s / tau) for s in similar)
        want.append(-math.log(positive / (positive + math.fsum(negatives))))
    assert float(infonce_queue(q, key, queue, tau)) == pytest.approx(math.fsum(want) / b, rel=1e-4, abs=1e-5)


def test_autocast_does_not_round_the_logits():
    q, k, queue = features(4), features(4, seed=1), features(50, seed=2)
    want = infonce_queue(q, k, queue, 0.2)
    with torch.autocast("cpu", torch.bfloat16):
        assert infonce_queue(q, k, queue, 0.2).equal(want)


def test_the_queue_is_first_in_first_out_and_the_key_follows_the_query():
    torch.manual_seed(0)
    model = MoCo(RECIPE.model, 20)
    want = deque(model.queue.flip(0).tolist(), maxlen=20)  # oldest first
    for step in range(5):
        output = model(make_views(images(seed=step), noise(seed=step), VIEWS))
        before = [p.clone() for p in model.key.parameters()]
        for p in model.query.parameters():
            p.data.add_(0.01)
        assert model.queue.flip(0).tolist() == list(want)  # not before the step is over
        model.update_key()
        want.extend(output.keys[:, 0].flip(0).tolist())
        assert model.queue.flip(0).tolist() == list(want)
        for old, new, query in zip(before, model.key.parameters(), model.query.parameters(), strict=True):
            np.testing.assert_allclose(new, 0.7 * old + 0.3 * query.detach(), atol=1e-6)


def test_a_batch_larger_than_the_queue_leaves_its_first_keys():
    model = MoCo(RECIPE.model, 4)
    output = model(make_views(images(), noise(), VIEWS))
    model.update_key()
    assert model.queue.equal(output.keys[:4, 0])


def test_the_output_is_made_of_mean_tokens_and_no_gradient_reaches_the_key():
    torch.manual_seed(0)
    model = MoCo(RECIPE.model, 20)
    views = make_views(images(), noise(), VIEWS)
    output = model(views)
    every = torch.arange(16).expand(6, -1)
    tokens = encode_visible(model.query, patchify(views.query, 8), every)  # CLICv2's way with all patches visible
    np.testing.assert_allclose(output.queries[:, 0], model.query_head(tokens.mean(1)).detach(), atol=1e-5)
    np.testing.assert_allclose(output.keys[:, 0], model.key_head(model.key(views.key)).detach(), atol=1e-5)
    assert output.total.equal(output.contrast) and output.auxiliary == 0
    output.total.backward()
    assert all(p.grad is None for p in [*model.key.parameters(), *model.key_head.parameters()])
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.query.parameters() if p.requires_grad)


@torch.no_grad()
def test_a_class_token_is_not_part_of_the_mean():
    vit = MoCo(get_recipe("ci", ["method=moco", "class_token=true"]).model, 4).query
    crops = make_views(images(), noise(), VIEWS).query
    np.testing.assert_allclose(vit(crops), vit.forward_features(crops)[:, 1:].mean(1), atol=1e-6)


def test_at_one_seed_all_methods_start_from_the_weights_of_the_random_encoder():
    recipe, want = get_recipe("lite", ["method=moco"]), random_encoder(5).vit.state_dict()
    for build in (lambda: CLICv2(recipe.model), lambda: MoCo(recipe.model, 8)):
        torch.manual_seed(5)
        assert all(tensor.equal(want[name]) for name, tensor in build().query.state_dict().items())


def test_the_two_views_are_two_crops_of_one_image():
    views = make_views(images(), noise(), VIEWS)
    assert views.query.shape == views.key.shape == (6, 3, 32, 32) and draws_per_image(VIEWS) == 2 * DRAWS
    assert not views.query.equal(views.key)
    swapped = make_views(images(), noise().roll(DRAWS, 1), VIEWS)
    assert swapped.query.equal(views.key) and swapped.key.equal(views.query)


def test_without_jitter_a_view_is_the_normalised_crop():
    config = ViewConfig(size=32, patch=8, augment="image", color=0, blur=0, crop_min=0.2)
    query = make_views(images(), noise(), config).query
    clean = base_crop(images(), noise()[:, :5], config)
    want = (clean - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    np.testing.assert_allclose(query, want, atol=1e-5)


def test_crop_and_jitter_have_draws_of_their_own():
    clean = base_crop(images(), noise()[:, :5], VIEWS)
    want = augment(clean[:, None], noise()[:, None, 5:10], VIEWS)[:, 0]
    assert one_crop(images(), noise()[:, :DRAWS], VIEWS).equal(want)


def test_a_crop_is_jittered_as_a_whole():
    """A flat image stays flat: one gain for all pixels, no grid of patches."""
    flat = torch.full((6, 3, 40, 40), 90, dtype=torch.uint8)
    crop = one_crop(flat, noise()[:, :DRAWS], VIEWS)
    assert crop.flatten(2).std(-1).max() < 1e-6 and crop[:, 0, 0, 0].unique().numel() > 1
    assert crop.min() >= 0 and crop.max() <= 1


def test_the_views_of_a_sample_do_not_depend_on_its_batch():
    together = make_views(images(), noise(), VIEWS)
    alone = make_views(images()[3:4], noise()[3:4], VIEWS)
    np.testing.assert_allclose(together.query[3:4], alone.query, atol=1e-6)
    np.testing.assert_allclose(together.key[3:4], alone.key, atol=1e-6)


def test_images_of_any_size_are_cropped_to_the_input():
    assert make_views(images(height=33, width=50), noise(), VIEWS).key.shape == (6, 3, 32, 32)
    assert EncoderConfig(size=32).size == VIEWS.size
