"""Both training loops see as many images in as many steps, and train."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.nn.modules.module import register_module_forward_pre_hook

from clicv2lite.bench.peers import jpegs, loop
from clicv2lite.bench.peers.row import row_of
from clicv2lite.recipes.library import get_recipe


@pytest.mark.posix
def test_both_loops_do_equal_work():
    ours, theirs = loop.loop()
    seen = []
    handle = register_module_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].shape) if isinstance(module, VisionTransformer) else None
    )
    with handle:
        assert ours() == [torch.Size([2, 1, 128])] * 4
        mine = seen.copy()
        seen.clear()
        assert theirs() == [torch.Size([2, 1, 128])] * 4
    assert mine == seen == [torch.Size([2, 3, 32, 32])] * 8  # keys and queries of four batches


@pytest.mark.posix
def test_row():
    (comparison,) = loop.comparisons()
    found = row_of(comparison)
    assert found.failed is None and found.ratio > 0 and found.peer == "torchvision"


def test_two_views_of_a_file_differ_and_are_normalised():
    torch.manual_seed(0)
    recipe = get_recipe("lite", ["method=moco", "store=0", "size=32"])
    views = loop.TwoViews(jpegs.stored().folder, recipe)
    one, two = views[0]
    assert len(views) == 8 and one.shape == two.shape == (3, 32, 32) and one.dtype == torch.float32
    assert not one.equal(two) and one.min() < 0 < one.max()
