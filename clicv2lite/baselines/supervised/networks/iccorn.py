"""ICCORN: ICNet's two branches and an ordinal head (Guo et al. 2023, "Image Visual Complexity Evaluation Based on Deep Ordinal
Regression", PRCV; CORN: Shi, Cao, Raschka 2023; book chapter 11).

Facts from the abstract: ICNet extracts "global semantic information and local detail information", CORN respects the order of
the scores. CLICv2's table 1 gives ResNet-152 as the backbone. Named choices, where that text is silent:

- ranks: a rating y in 0..1 becomes rank round(20 y), of 21;
- head: the pooled features of ICNet's score arm, a linear layer of 512 and one logit per threshold;
- decoding: CORN's logits are conditional, P(rank > k | rank > k - 1), so their running product is P(rank > k), and its sum the
  expected rank, divided by 20 to lie in 0..1. CORN itself counts thresholds above 1/2, which leaves only 21 different scores.

Parameters: 66.8 M with ResNet-152 (the sum of its parts; no published count was found): 58.1 M and 2.6 M of the context and the
detail branch's stages, the rest as in ICNet.
"""

import torch
from torch import Tensor, nn

from clicv2lite.baselines.supervised.backbones import Weights
from clicv2lite.baselines.supervised.networks.icnet import CHANNELS, TwoBranches
from clicv2lite.baselines.supervised.settings import Baseline, Settings
from clicv2lite.extras import extra
from clicv2lite.heads.icnet import LayoutAttention, convolution

RANKS = 21


def expected_rank(logits: Tensor) -> Tensor:
    """Expected rank of conditional logits, (..., K - 1) -> (...,) in 0..K-1: E[rank] = sum over k of P(rank > k)."""
    return torch.sigmoid(logits.float()).cumprod(-1).sum(-1)


def corn_loss(logits: Tensor, ranks: Tensor) -> Tensor:
    """CORN's loss by coral-pytorch: each threshold k is a yes-or-no question to the images of rank k and above.

    Args:
        logits: (B, K - 1). ranks: (B,) int64 in 0..K-1.

    Raises:
        UserError: if the package is not installed.
    """
    with extra("supervised", "--model iccorn"):
        from coral_pytorch.losses import corn_loss as loss
    found: Tensor = loss(logits, ranks, num_classes=logits.shape[-1] + 1)
    return found


class ICCORN(nn.Module):
    """Images to an expected rank."""

    def __init__(self, backbone: str = "resnet152", weights: Weights = "scratch") -> None:
        super().__init__()
        self.branches = TwoBranches(backbone, weights)
        c = 2 * CHANNELS
        self.look = nn.Sequential(convolution(c, c, 3), LayoutAttention())
        self.ranks = nn.Sequential(nn.Linear(c, 512), nn.ReLU(), nn.Linear(512, RANKS - 1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised, S divisible by 64 -> (B, 20) conditional logits."""
        logits: Tensor = self.ranks(self.look(self.branches(images)).mean((2, 3)))
        return logits

    def loss(self, images: Tensor, ratings: Tensor) -> Tensor:
        """CORN's loss; ratings (B,) in 0..1."""
        return corn_loss(self(images).float(), ratings.mul(RANKS - 1).round().long())

    def predict(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised -> (B,) scores in 0..1."""
        return expected_rank(self(images)) / (RANKS - 1)


# the abstract names no training: ICNet's, half the batch for eight times the parameters and a tenth of the learning rate
BASELINE = Baseline(
    ICCORN,
    Settings("resnet152", 512, 30, 32, "sgd", 0.005, 1e-3, milestones=(10, 20), decay=0.2, warmup=1, weights="imagenet"),
    "its abstract alone",
)
