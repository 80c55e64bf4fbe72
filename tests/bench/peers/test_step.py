"""Both sides of a step do equal work: the same tokens go through as many blocks, and every weight gets a gradient."""

import pytest
import torch
from timm.models.vision_transformer import Block
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from clicv2lite.bench.peers import step
from clicv2lite.bench.peers.row import flops_of, row_of


def blocks_of(operation):
    """The shapes that go into timm's blocks during a call."""
    shapes = []
    handle = register_module_forward_pre_hook(
        lambda module, inputs: shapes.append(inputs[0].shape) if isinstance(module, Block) else None
    )
    try:
        operation()
    finally:
        handle.remove()
    return shapes


def test_moco_steps_do_equal_work(lightly):
    ours, theirs = step.moco()
    assert blocks_of(ours) == blocks_of(theirs) == [torch.Size([3, 16, 16])] * 4  # two blocks for keys, two for queries
    assert ours() == theirs() == torch.Size([3, 8])
    assert flops_of(ours) == pytest.approx(flops_of(theirs), rel=0.1)  # the fused kernel computes the products again


def test_moco_row(lightly):
    found = row_of(step.comparisons()[0])
    assert found.failed is None and found.ratio > 0 and found.flops["ours"] > 0 and found.peer == "lightly"


def test_our_mae_hides_three_quarters():
    model = step.PixelMAE()
    loss, shape = model(torch.rand(3, 3, 32, 32))
    assert shape == torch.Size([3, 4, 16]) and loss.ndim == 0
    loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_mae_steps_do_equal_work():
    pytest.importorskip("lightly", reason="lightly is no dependency; `clicv2lite bench --peers` installs it")
    ours, theirs = step.mae()
    encoder, decoder = [torch.Size([3, 4, 16])] * 2, [torch.Size([3, 16, 8])]
    assert blocks_of(ours) == blocks_of(theirs) == encoder + decoder
    assert ours() == theirs() == torch.Size([3, 4, 16])
    sides = step.PixelMAE(), step.LightlyMAE()
    sizes = [sum(p.numel() for p in side.parameters() if p.requires_grad) for side in sides]
    assert sizes[1] - sizes[0] == step.SHAPE.width  # the encoder's mask token, which neither uses


def test_one_step_moves_the_weights_and_lowers_the_loss():
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    run, x = step.stepping(model), torch.rand(8, 4)
    before = model(x).square().mean()
    for _ in range(20):
        run(model(x).square().mean())
    assert model(x).square().mean() < before


def test_a_peer_that_is_not_there_is_a_row():
    found = row_of(step.comparisons()[2])
    assert found.failed == "ModuleNotFoundError: No module named 'solo'" and found.peer == "solo-learn"
