"""What a network costs: published counts, and bytes counted tensor by tensor on the CPU."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from clicv2lite.method.backbone import build_network
from clicv2lite.pretrain.cost.budget import image_flops, memory, parameters
from clicv2lite.pretrain.cost.network import counted
from clicv2lite.pretrain.cost.peak import peak_bytes
from clicv2lite.recipes.library import get_recipe


@pytest.mark.parametrize("name, multiply_adds", [("resnet50", 4.1), ("swin-b", 15.4), ("convnext_tiny", 4.5)])
def test_operations_are_the_published_ones(name, multiply_adds):
    found = counted(name, 224)
    assert found.forward / 2e9 == pytest.approx(multiply_adds, abs=0.06)
    assert 1.9 * found.forward < found.backward <= 2 * found.forward


@pytest.mark.parametrize("name", ["resnet-lite", "swin-lite"])
def test_operations_and_bytes_are_those_of_a_real_pass(name):
    found, net = counted(name, 64), build_network(name, 64).train()
    images = torch.rand(4, 3, 64, 64)
    with FlopCounterMode(display=False) as count:
        net(images)
    assert count.get_total_flops() == 4 * found.forward
    measured = (peak_bytes(lambda: net(images).sum()) - peak_bytes(lambda: net(images[:2].clone()).sum())) / 2
    assert found.kept == pytest.approx(measured, rel=0.1)
    assert counted(name, 64, checkpointing=True).kept < found.kept


def test_the_budget_of_a_network_is_made_of_its_counts():
    recipe = get_recipe("vit-b32", ["method=moco", "backbone=resnet50"])
    count, flops = parameters(recipe), image_flops(recipe)
    assert count["query encoder"] == count["key encoder"] == 23_508_032 and count["positions"] == count["decoder"] == 0
    assert count["query head"] == 2048 * 2048 + 2048 + 2048 * 256 + 256
    assert flops["key encoder"] == (counted("resnet50", 224).forward, 0)
    low, high = (memory(recipe, 8, images)["activations"] for images in (1, 3))
    assert high == 3 * low
