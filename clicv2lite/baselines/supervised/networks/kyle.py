"""ComplexityNet-style: a per-pixel map and a score, helped by clutter and symmetry (Kyle-Davidson, Bors, Evans 2022, ICIP;
book chapter 11).

Facts from the abstract: the network gives both "single-score complexity ratings and two-dimensional per-pixel complexity maps",
and integrating "metrics for scene clutter and scene symmetry" improves it. The rest of the paper was not available, so the
others are named choices, and the name ends in "-style":

- encoder: ResNet-18; decoder: three steps, each doubling the grid and joined to the encoder's stage of that size, and a map of
  half the image's side;
- clutter: the standard deviation of luma in windows of 4, 8 and 16 pixels, averaged over the image;
- symmetry: one minus the mean absolute difference of luma between the image and its mirror images, left-right and top-bottom;
- the score is read off the pooled last stage, the map's mean and these five numbers; ratings are of whole images, so the map's
  mean is held to the rating with ICNet's weight 0.1.

Parameters: 13.8 M: 11.2 M of ResNet-18's stages, 2.3 M of the decoder, 0.3 M of the score.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clicv2lite.baselines.supervised.backbones import Weights, resnet, stages, widths
from clicv2lite.baselines.supervised.settings import Baseline, MapAndScore, Settings
from clicv2lite.heads.icnet import convolution, resize
from clicv2lite.method.entropy import LUMA

WINDOWS = (4, 8, 16)


def clutter(luma: Tensor) -> Tensor:
    """Mean standard deviation within windows of each size: (B, 1, S, S) -> (B, 3); 0 for a flat image."""
    found = []
    for side in WINDOWS:
        mean, square = F.avg_pool2d(luma, side), F.avg_pool2d(luma.square(), side)
        found.append((square - mean.square()).clamp(min=0).sqrt().mean((1, 2, 3)))
    return torch.stack(found, dim=1)


def symmetry(luma: Tensor) -> Tensor:
    """1 minus the mean absolute difference to the mirror image, left-right and top-bottom: (B, 1, S, S) -> (B, 2)."""
    return torch.stack([1 - (luma - luma.flip(axis)).abs().mean((1, 2, 3)) for axis in (-1, -2)], dim=1)


class ComplexityNet(MapAndScore):
    """Images to a score and a map, both in 0..1."""

    def __init__(self, backbone: str = "resnet18", weights: Weights = "scratch") -> None:
        super().__init__()
        net = resnet(backbone, weights)
        c1, c2, c3, c4 = widths(net)
        self.backbone = stages(net)
        joined = ((c4 + c3, 256), (256 + c2, 128), (128 + c1, 64))
        self.decode = nn.ModuleList([convolution(inputs, out, 3) for inputs, out in joined])
        self.map = nn.Sequential(convolution(64, 32, 3), nn.Conv2d(32, 1, 1), nn.Sigmoid())
        self.score = nn.Sequential(nn.Linear(c4 + 1 + len(WINDOWS) + 2, 512), nn.ReLU(), nn.Linear(512, 1), nn.Sigmoid())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) normalised, S divisible by 32 -> (B,) score, (B, S/2, S/2) map."""
        found, x = [], images
        for stage in self.backbone:
            x = stage(x)
            found.append(x)
        pooled = x.mean((2, 3))
        for beside, decode in zip(found[2::-1], self.decode, strict=True):
            x = decode(torch.cat([resize(x, beside.shape[-1]), beside], dim=1))
        complexity = self.map(resize(x, images.shape[-1] // 2))
        # of normalised channels, which differ in scale by about 2 %
        luma = (images.float() * images.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
        seen = torch.cat([pooled, complexity.mean((2, 3)), clutter(luma), symmetry(luma)], dim=1)
        return self.score(seen)[:, 0], complexity[:, 0]


# the abstract names no training
BASELINE = Baseline(
    ComplexityNet,
    Settings("resnet18", 384, 30, 32, "adam", 1e-4, 1e-4, milestones=(15, 25), weights="imagenet"),
    "its abstract alone",
)
