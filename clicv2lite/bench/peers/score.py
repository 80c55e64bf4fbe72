"""Scoring squares in memory: the shipped model against pyiqa's cheapest network and timm's ResNet-18."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from clicv2lite.bench.peers.row import Comparison, Sides
from clicv2lite.extras import extra
from clicv2lite.method.pixels import normalize
from clicv2lite.models.model import load_model

BATCH, SIDE = 2, 512


def comparisons() -> list[Comparison]:
    """Networks without their weights: these need a download, and a forward pass costs the same."""
    same = f"{BATCH} images of {SIDE} x {SIDE} px in memory, uint8, no gradient"
    ours = "the whole of `score`: reduces each image to the sizes it was made for, features, head"
    return [
        Comparison(f"score, {name}", peer, same, ours, "all pixels, random weights", partial(beside, build))
        for name, peer, build in (("CNNIQA (Kang et al. 2014)", "pyiqa", cnniqa), ("ResNet-18 without a head", "timm", resnet))
    ]


def beside(build: Callable[[], nn.Module]) -> Sides:
    """The shipped model, and another network, on the same squares; each returns how many it did."""
    model, squares = load_model("default", "cpu"), torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    network, images = build().eval(), [square.permute(1, 2, 0).numpy() for square in squares]

    @torch.inference_mode()
    def other() -> int:
        return len(network(normalize(squares / 255)))

    return lambda: len(model.score(images)), other


def resnet() -> nn.Module:
    """The smallest usual network."""
    with extra("train"):
        import timm

    network: nn.Module = timm.create_model("resnet18", num_classes=0)
    return network


def cnniqa() -> nn.Module:
    """One convolution and three small layers."""
    from pyiqa.archs.cnniqa_arch import CNNIQA

    network: nn.Module = CNNIQA(pretrained=None)
    return network
