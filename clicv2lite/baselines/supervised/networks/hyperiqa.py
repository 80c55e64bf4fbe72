"""HyperIQA: the weights of the small network that scores an image are predicted from that image (Su et al. 2020, CVPR,
section 3; book chapter 11).

Facts from its published code (github.com/SSL92/hyperIQA): ResNet-50. *Local distortion aware module*: each of
the first three stages is brought to 16, 32, 64 channels and averaged over a grid of 8, 4, 2 cells a side, the last stage over
all places; a linear layer each, 16 numbers from every local one and 176 from the global one, make a vector of 224. *Hyper
network*: three 1 x 1 convolutions bring the last stage to 112 channels on 7 x 7 places; a 3 x 3 convolution makes the weights
of each target layer (its channels are the number of weights over 49), a linear layer on their mean the biases. *Target
network*: 224 - 112 - 56 - 28 - 14 - 1, sigmoids between. The loss is the absolute error.

*Learning rates* by its HyerIQASolver.py: the backbone, to which the local distortion aware module belongs there, keeps 2e-5.
The rest starts ten times as fast and falls to 1, 0.1 and 0.01 times 2e-5 after 7, 10 and 13 of 16 epochs (a tenth every six
epochs, set at the end of an epoch, and the factor ten goes after the tenth).

Departures: there, every epoch begins with a new Adam, and from the second epoch on it gets only the backbone (it is given an
iterator that the first one has used up, in Python 3), so the hyper network learns in the first epoch only. We keep one Adam for
all, as is meant.

At 224 pixels the grids below are the paper's windows of 7 x 7; at another size they keep their number of cells.

Parameters: 27.4 M (the sum of its parts; no published count was found): 23.5 M of ResNet-50, 2.7 M of the three convolutions,
0.7 M of the hyper network's other layers, 0.5 M of the local distortion aware module.
"""

import itertools
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clicv2lite.baselines.supervised.backbones import Weights, resnet, stages, widths
from clicv2lite.baselines.supervised.settings import Baseline, Settings

LOCAL = ((16, 8), (32, 4), (64, 2))  # channels and cells a side, of the first three stages
PER_LOCAL = 16  # numbers from each of them
TARGET = (224, 112, 56, 28, 14, 1)  # widths of the target network
SEMANTIC = 112  # channels that the hyper network reads
PLACES = 7


class LocalAware(nn.Module):
    """Four stages of a ResNet -> (B, 224): content and what happens locally."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.bring = nn.ModuleList([nn.Conv2d(c, few, 1, bias=False) for c, (few, _) in zip(channels, LOCAL, strict=False)])
        self.local = nn.ModuleList([nn.Linear(few * cells**2, PER_LOCAL) for few, cells in LOCAL])
        self.whole = nn.Linear(channels[-1], TARGET[0] - PER_LOCAL * len(LOCAL))

    def forward(self, found: list[Tensor]) -> Tensor:
        parts = []
        for x, bring, read, (_, cells) in zip(found[:3], self.bring, self.local, LOCAL, strict=True):
            parts.append(read(F.adaptive_avg_pool2d(bring(x), cells).flatten(1)))
        return torch.cat([*parts, self.whole(found[-1].mean((2, 3)))], dim=1)


class HyperLayer(nn.Module):
    """Makes one layer of the target network, (B, out, inputs) weights and (B, out) biases."""

    def __init__(self, inputs: int, out: int) -> None:
        super().__init__()
        self.shape = (out, inputs)
        # the last layer has fewer weights than there are places: a linear layer makes them
        spread = inputs * out % PLACES**2 == 0
        self.weight = nn.Conv2d(SEMANTIC, inputs * out // PLACES**2, 3, padding=1) if spread else nn.Linear(SEMANTIC, inputs)
        self.bias = nn.Linear(SEMANTIC, out)
        nn.init.kaiming_normal_(self.weight.weight)
        nn.init.kaiming_normal_(self.bias.weight)

    def forward(self, semantic: Tensor) -> tuple[Tensor, Tensor]:  # (B, 112, 7, 7)
        mean = semantic.mean((2, 3))
        read = semantic if isinstance(self.weight, nn.Conv2d) else mean
        return self.weight(read).reshape(-1, *self.shape), self.bias(mean)


class HyperIQA(nn.Module):
    """Images to a score, unbounded."""

    def __init__(self, backbone: str = "resnet50", weights: Weights = "scratch") -> None:
        super().__init__()
        net = resnet(backbone, weights)
        channels = widths(net)
        self.backbone = nn.ModuleDict({"stages": stages(net), "local": LocalAware(channels)})
        steps = zip((channels[-1], 1024, 512), (1024, 512, SEMANTIC), strict=True)
        self.semantic = nn.Sequential(*(m for i, o in steps for m in (nn.Conv2d(i, o, 1), nn.ReLU())))
        self.hyper = nn.ModuleList([HyperLayer(i, o) for i, o in itertools.pairwise(TARGET)])

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised, S at least 32 -> (B,)."""
        found, x = [], images
        for stage in cast(nn.ModuleList, self.backbone["stages"]):
            x = stage(x)
            found.append(x)
        semantic = F.adaptive_avg_pool2d(self.semantic(x), PLACES)
        x = self.backbone["local"](found)
        for number, layer in enumerate(self.hyper, 1):  # x = sigmoid(W x + b), W and b of each image's own
            weight, bias = layer(semantic)
            x = torch.baddbmm(bias[..., None], weight, x[..., None])[..., 0]
            x = x if number == len(self.hyper) else x.sigmoid()
        return x[:, 0]

    def loss(self, images: Tensor, ratings: Tensor) -> Tensor:
        """Mean absolute error; ratings (B,)."""
        return F.l1_loss(self(images).float(), ratings)

    def predict(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised -> (B,) scores."""
        score: Tensor = self(images)
        return score


# its published code: 25 crops of 224 an image, Adam, and the learning rates above
BASELINE = Baseline(
    HyperIQA,
    Settings(
        "resnet50",
        384,
        16,
        96,
        "adam",
        2e-5,
        5e-4,
        head_lr=10,
        milestones=(7, 10, 13),
        steady=True,
        crop=224,
        crops=25,
        weights="imagenet",
    ),
    "its published code, with one Adam throughout",
)
