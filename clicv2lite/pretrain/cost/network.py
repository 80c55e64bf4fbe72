"""What a network of timm's costs, counted by running it without memory for its numbers (book chapter 10).

The ViT is counted by formulas (:mod:`clicv2lite.pretrain.cost.budget`), which show where the cost comes from. Other networks
run once on torch's device "meta", where tensors have shapes and no content, and the operations and kept tensors are counted.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from clicv2lite.method.backbone import build_network

IMAGES = 2  # in the pass that is counted: batch norm needs more than one


class Counted(NamedTuple):
    """One network at one size."""

    weights: int
    features: int  # F, numbers per image that it gives
    forward: int  # operations per image
    backward: int
    kept: int  # bytes per image that the backward pass needs, with float32 activations


@cache
def counted(name: str, size: int, checkpointing: bool = False) -> Counted:
    """Count a network of :mod:`clicv2lite.method.backbone` at one size.

    With checkpointing, less is kept; the inside of the one block that is computed again is not counted.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        net, images = build_network(name, size).train(), torch.empty(IMAGES, 3, size, size)
    net.set_grad_checkpointing(checkpointing)  # type: ignore[operator]
    own = {id(value.untyped_storage()) for value in (*net.parameters(), *net.buffers())}
    kept: dict[int, Tensor] = {}  # one tensor for each storage

    def keep(value: Tensor) -> Tensor:
        if id(value.untyped_storage()) not in own:
            kept[id(value.untyped_storage())] = value
        return value

    with FlopCounterMode(display=False) as count:
        with saved_tensors_hooks(keep, lambda value: value):
            features: Tensor = net(images)
        forward, held = count.get_total_flops(), sum(value.untyped_storage().nbytes() for value in kept.values())
        features.sum().backward()
    weights = sum(p.numel() for p in net.parameters())
    backward = min(count.get_total_flops() - forward, 2 * forward)  # torch counts groups of channels as one backward
    return Counted(weights, features.shape[1], forward // IMAGES, backward // IMAGES, held // IMAGES)
