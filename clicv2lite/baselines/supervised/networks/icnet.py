"""ICNet: a detail and a context branch, layout attention, a map and a score (Feng et al. 2022, "IC9600"; book chapter 11).

Facts from its published code (github.com/tinglyfeng/IC9600): two ResNet-18; the
detail branch sees 512 pixels and stops after the second stage, the context branch sees the same image at 256 pixels and runs
through all four. Behind each stage stands a spatial layout attention (SLAM) on a layout of 32 x 32, of 16 and 8 behind the
last two. Both branches are upsampled to (input side) / 8 and brought to 256 channels. On their 512 channels stand the two arms,
:class:`clicv2lite.heads.icnet.IcnetArms`: map and score. Score and mean of the map are both held to the rating, 0.9 to 0.1;
the score is the prediction.

Parameters: 20.3 M with ResNet-18 (the sum of its parts; no published count was found): 0.7 M and 11.2 M of the two branches'
stages, 2.3 M of their six SLAMs, 0.2 M that bring them to 256 channels, 6.0 M of the two arms.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clicv2lite.baselines.supervised.backbones import Weights, resnet, stages, widths
from clicv2lite.baselines.supervised.settings import Baseline, MapAndScore, Settings
from clicv2lite.heads.icnet import IcnetArms, LayoutAttention, convolution, resize

CHANNELS = 256  # of each branch


class TwoBranches(nn.Module):
    """(B, 3, S, S) normalised -> (B, 512, S/8, S/8): the detail branch's channels, then the context branch's."""

    def __init__(self, backbone: str = "resnet18", weights: Weights = "scratch") -> None:
        super().__init__()
        near, far = resnet(backbone, weights), resnet(backbone, weights)
        self.detail, self.context = stages(near)[:2], stages(far)
        self.detail_attention = nn.ModuleList([LayoutAttention() for _ in range(2)])
        self.context_attention = nn.ModuleList([LayoutAttention(layout=side) for side in (32, 32, 16, 8)])
        self.bring_detail = convolution(widths(near)[1], CHANNELS, 1)
        self.bring_context = convolution(widths(far)[3], CHANNELS, 1)

    def forward(self, images: Tensor) -> Tensor:
        side = images.shape[-1]
        detail, context = images, F.interpolate(images, size=(side // 2, side // 2), mode="bilinear", align_corners=True)
        for stage, attend in zip(self.detail, self.detail_attention, strict=True):
            detail = attend(stage(detail))
        for stage, attend in zip(self.context, self.context_attention, strict=True):
            context = attend(stage(context))
        near = self.bring_detail(resize(detail, side // 8))
        far = self.bring_context(resize(context, side // 8))
        return torch.cat([near, far], dim=1)


class ICNet(MapAndScore, IcnetArms):
    """Images to a score and a map, both in 0..1."""

    def __init__(self, backbone: str = "resnet18", weights: Weights = "scratch") -> None:
        super().__init__()
        self.branches = TwoBranches(backbone, weights)
        self.add_arms(2 * CHANNELS)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) normalised, S divisible by 64 -> (B,) score, (B, S/8, S/8) map."""
        return self.read_arms(self.branches(images))


# IC9600's code: SGD, one epoch of warm-up, a fifth after 10 and 20 epochs, mirrored images
BASELINE = Baseline(
    ICNet,
    Settings("resnet18", 512, 30, 64, "sgd", 0.05, 1e-3, milestones=(10, 20), decay=0.2, warmup=1, weights="imagenet"),
    "its published code",
)
