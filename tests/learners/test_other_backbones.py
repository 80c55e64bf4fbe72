"""MoCo and CLIC with the families of table 1: a loss and its gradient, and CLIC's energy as its published program has it."""

import numpy as np
import pytest
import torch

from clicv2lite.learners import METHODS
from clicv2lite.learners.clic import activation_energy, activations
from clicv2lite.method.backbone import build_network
from clicv2lite.recipes.library import get_recipe


@pytest.mark.parametrize("method, backbone", [("moco", "resnet-lite"), ("clic", "resnet-lite"), ("clic", "swin-lite")])
def test_a_step_reaches_every_weight_of_the_query_and_none_of_the_key(method, backbone):
    recipe = get_recipe("ci", [f"method={method}", f"backbone={backbone}", "size=64", "queue=8"])
    torch.manual_seed(0)
    model, draws = METHODS[method].build(recipe.model, recipe.learner), METHODS[method].draws_per_image(recipe.views)
    images = torch.randint(0, 256, (4, 3, 80, 80), dtype=torch.uint8)
    output = model(METHODS[method].make_views(images, torch.rand(4, draws), recipe.views))
    output.total.backward()
    assert output.total.isfinite() and output.queries.shape == output.keys.shape == (4, 1, recipe.project)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.query.parameters())
    assert all(p.grad is None for p in model.key.parameters())
    before = model.key.state_dict()["norm.weight" if "swin" in backbone else "bn1.weight"].clone()
    with torch.no_grad():
        for p in model.query.parameters():
            p += 1
    model.update_key()
    after = model.key.state_dict()["norm.weight" if "swin" in backbone else "bn1.weight"]
    np.testing.assert_allclose(after, before + 1 - recipe.momentum, atol=1e-5)


@torch.no_grad()
def test_the_energy_of_a_resnet_is_the_sum_of_the_plain_means_of_layer1_to_layer4():
    net, images = build_network("resnet-lite", 64).eval(), torch.rand(2, 3, 64, 64)
    with activations(net) as maps:
        net(images)
    x = net.maxpool(net.act1(net.bn1(net.conv1(images))))
    want = np.zeros(2)
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = layer(x)
        want += [x[image].double().sum() / x[image].numel() for image in range(2)]
    np.testing.assert_allclose(activation_energy(maps), want, rtol=1e-5)
