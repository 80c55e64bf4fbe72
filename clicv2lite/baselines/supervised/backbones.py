"""ResNets for the supervised baselines: torchvision's, from scratch or with ImageNet weights that the user has (chapter 11)."""

from pathlib import Path
from typing import Literal

import torch
from torch import nn

from clicv2lite.errors import UserError
from clicv2lite.extras import extra

with extra("supervised"):
    from torchvision.models import get_model, get_model_weights
    from torchvision.models.resnet import ResNet

Weights = Literal["scratch", "imagenet"]


def resnet(name: str, weights: Weights = "scratch") -> ResNet:
    """A ResNet without its classifier (He et al. 2016); nothing is downloaded.

    Args:
        name: `resnet18`, `resnet50` or `resnet152`.
        weights: `scratch` draws them from torch's generator; `imagenet` reads torchvision's IMAGENET1K_V1 file from torch's
            hub folder.

    Raises:
        UserError: if that file is not there.
    """
    net: ResNet = get_model(name, weights=None)
    if weights == "imagenet":
        net.load_state_dict(torch.load(weights_file(name), map_location="cpu", weights_only=True))
    net.fc = nn.Identity()
    return net


def weights_file(name: str) -> Path:
    """Where torch keeps the ImageNet weights of a ResNet; UserError if they are not there."""
    url = get_model_weights(name)["IMAGENET1K_V1"].url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[1])
    if not path.is_file():
        raise UserError(f"--weights imagenet: there is no {path}; put the file there ({url}), or train from scratch")
    return path


def stages(net: ResNet) -> nn.ModuleList:
    """The four stages, of strides 4, 8, 16, 32; the first holds the stem, and pooling and classifier are left out."""
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1)
    return nn.ModuleList([stem, net.layer2, net.layer3, net.layer4])


def widths(net: ResNet) -> list[int]:
    """Channels behind each of the four stages: 64, 128, 256, 512, times 4 where blocks are bottlenecks."""
    expansion = net.layer1[0].expansion
    return [64 * 2**i * expansion for i in range(4)]
