"""CLIC-style: entropy by scipy, activation energy by loops, the key's turns by hand."""

import copy
from functools import partial

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.learners.clic import (
    CLIC,
    CropsWithEntropy,
    activation_energy,
    activations,
    draws_per_image,
    global_entropy,
    make_views,
    turned,
)
from clicv2lite.learners.moco import DRAWS, MoCo, infonce_queue, one_crop
from clicv2lite.learners.moco import make_views as moco_views
from clicv2lite.method.backbone import build_network
from clicv2lite.method.encoder import prepare
from clicv2lite.recipes.library import get_recipe
from tests.learners.batches import images, uniform_noise

RECIPE = get_recipe("ci", ["method=clic", "queue=20", "temperature=0.3"])
VIEWS = RECIPE.views
noise = partial(uniform_noise, draws_per_image(VIEWS))


def model_of(recipe=RECIPE, seed=0):
    torch.manual_seed(seed)
    return CLIC(recipe.model, recipe.learner.queue)


@given(st.integers(0, 999), st.integers(1, 40), st.sampled_from([1, 4, 255]))
def test_global_entropy_is_that_of_the_gray_levels_in_nats(seed, side, levels):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, levels + 1, (3, side, side)) / levels
    gray = np.tensordot((0.299, 0.587, 0.114), picture, 1)
    count = np.bincount(np.minimum((gray * 256 + 1e-9).astype(int), 255).ravel())
    got = float(global_entropy(torch.from_numpy(picture)[None].float())[0])
    assert got == pytest.approx(scipy.stats.entropy(count), abs=0.05)  # float32 may cross the edge of a bin
    assert 0 <= got <= np.log(256) + 1e-5


def test_global_entropy_of_a_flat_and_of_an_even_image():
    ramp = (torch.arange(256) + 0.5).div(256).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert float(global_entropy(torch.full((1, 3, 8, 8), 0.3))[0]) == 0
    assert float(global_entropy(ramp)[0]) == pytest.approx(np.log(256), abs=1e-5)


def test_activation_energy_is_the_mean_absolute_value_of_each_stage_summed_over_stages():
    stages = [torch.randn(3, g, c, dtype=torch.float64) for g, c in ((4, 5), (2, 7), (1, 1))]
    want = [sum(np.mean([abs(float(x)) for x in stage[i].flatten()]) for stage in stages) for i in range(3)]
    np.testing.assert_allclose(activation_energy(stages), want, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_activations_are_the_outputs_of_the_blocks_and_only_while_open():
    vit = model_of().query
    crops = make_views(images(), noise(), VIEWS).query
    with activations(vit) as found:
        vit.forward_features(crops)
    assert [stage.shape for stage in found] == [(6, 16, 32)] * 2
    tokens = vit.patch_embed(crops).reshape(6, 16, 32) + vit.pos_embed
    for block, stage in zip(vit.blocks, found, strict=True):
        tokens = tokens + block.attn(block.norm1(tokens))
        tokens = tokens + block.mlp.fc2(torch.nn.functional.gelu(block.mlp.fc1(block.norm2(tokens))))
        np.testing.assert_allclose(stage, tokens, atol=1e-5)
    vit.forward_features(crops)
    assert len(found) == 2
    with pytest.raises(RuntimeError), activations(vit) as found:
        raise RuntimeError
    vit.forward_features(crops)
    assert found == []


@pytest.mark.parametrize("backbone", ["resnet-lite", "swin-lite", "efficientnet_b0"])
def test_with_checkpointing_the_stages_and_their_gradients_are_the_same(backbone):
    torch.manual_seed(0)
    start, crops, found = build_network(backbone, 64).train(), torch.rand(2, 3, 64, 64), []
    for checkpointing in (False, True):
        net = copy.deepcopy(start)
        prepare(net, checkpointing=checkpointing)
        torch.manual_seed(1)  # dropped paths
        with activations(net) as stages:
            net.forward_features(crops)
        energy = activation_energy(stages)
        energy.sum().backward()
        found.append([energy.detach(), *(p.grad for p in net.parameters() if p.grad is not None)])
    assert len(found[0]) > 9 and all(a.equal(b) for a, b in zip(*found, strict=True))


def test_the_loss_is_mocos_and_a_quarter_of_the_squared_gap_to_the_entropy():
    model, views = model_of(), make_views(images(), noise(), VIEWS)
    output = model(views)
    output.total.backward()
    output = type(output)(*(value.detach() for value in output))
    with activations(model.query) as stages, torch.no_grad():
        model.query.forward_features(views.query)
    gaps = [(float(e) - float(h)) ** 2 for e, h in zip(activation_energy(stages), views.entropy, strict=True)]
    assert float(output.auxiliary) == pytest.approx(np.mean(gaps), rel=1e-4)
    contrast = infonce_queue(output.queries[:, 0], output.keys[:, 0], model.queue, 0.3)
    assert float(output.contrast) == pytest.approx(float(contrast), rel=1e-5)
    assert float(output.total) == pytest.approx(float(contrast) + 0.25 * np.mean(gaps), rel=1e-4)
    assert model.query.blocks[0].mlp.fc1.bias.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.key.parameters())


def test_with_weight_zero_it_is_moco():
    recipe = get_recipe("ci", ["method=clic", "queue=20", "auxiliary_weight=0"])
    views = make_views(images(), noise(), VIEWS)
    torch.manual_seed(0)
    other = MoCo(recipe.model, 20)
    assert model_of(recipe)(views).total.equal(other(views).total)


def test_the_query_is_mocos_and_has_the_entropy_and_the_key_is_turned_as_well():
    views = make_views(images(), noise(), VIEWS)
    plain = moco_views(images(), noise()[:, : 2 * DRAWS], VIEWS)
    assert isinstance(views, CropsWithEntropy) and views.query.equal(plain.query)
    assert views.entropy.equal(global_entropy(one_crop(images(), noise()[:, :DRAWS], VIEWS)))
    assert views.key.equal(turned(plain.key, noise()[:, 2 * DRAWS :])) and not views.key.equal(plain.key)


def test_turns_by_hand():
    picture = torch.rand(4, 3, 5, 5)
    got = turned(picture, torch.tensor([[0.9, 0.9], [0.1, 0.9], [0.9, 0.1], [0.4, 0.49]]))
    for c, y, x in np.ndindex(3, 5, 5):
        assert got[0, c, y, x] == picture[0, c, y, x] and got[1, c, y, x] == picture[1, c, 4 - y, x]
        assert got[2, c, y, x] == picture[2, c, x, 4 - y]  # a quarter turn against the clock
        assert got[3, c, y, x] == picture[3, c, 4 - x, 4 - y]  # mirrored first
    assert torch.equal(got.flatten(1).sort().values, picture.flatten(1).sort().values)
