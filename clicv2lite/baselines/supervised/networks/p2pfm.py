"""P2P-FM: the scores of parts are fed back to score the whole (Ying et al. 2020, "From Patches to Pictures", CVPR, section 4;
book chapter 11).

Facts from the published code (github.com/baidut/paq2piq): ResNet-18 without its pooling; RoIPool cuts the image and its parts
out of the last stage, 2 x 2 places each; a head of two linear layers (maximum and mean over the places, 1,024 numbers; batch
normalisation and dropout 0.25; 512; batch normalisation and dropout 0.5; 1). That code ends here; the abstract adds inference
from local to global "via feedback": a first head scores image and parts, and a second one, which reads the pooled image and
these scores, gives the final score.

Named choices: rating tables score no parts, so the parts are the four quadrants, and nothing holds their scores to a value; the
loss is the squared error of both heads' scores of the image. (The authors cut three random parts, and people rated each.)

Parameters: 12.2 M (the sum of its parts; no published count was found): 11.18 M of ResNet-18's stages, 0.53 M of each head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clicv2lite.baselines.supervised.backbones import Weights, resnet, stages, widths
from clicv2lite.baselines.supervised.settings import Baseline, Settings
from clicv2lite.extras import extra

with extra("supervised"):
    from torchvision.ops import roi_pool

BOXES = ((0, 0, 1, 1), (0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1))  # left, top, right, bottom
STRIDE = 32


def head(inputs: int) -> nn.Sequential:
    """Two linear layers: (n, inputs) -> (n, 1)."""
    first = [nn.BatchNorm1d(inputs), nn.Dropout(0.25), nn.Linear(inputs, 512), nn.ReLU()]
    return nn.Sequential(*first, nn.BatchNorm1d(512), nn.Dropout(0.5), nn.Linear(512, 1))


def cut(features: Tensor) -> Tensor:
    """The image and its parts: (B, C, h, w) -> (B, 5, 2 C), maximum beside mean over 2 x 2 places of each box."""
    count, (height, width) = len(features), features.shape[2:]
    sides = torch.tensor([width, height, width, height])
    # in pixels; RoIPool counts the place at the right and lower corner in
    corners = ((torch.tensor(BOXES) * sides - torch.tensor([0, 0, 1, 1])) * STRIDE).to(features)
    rows = torch.arange(count, device=features.device).repeat_interleave(len(BOXES)).to(features)
    boxes = torch.cat([rows[:, None], corners.repeat(count, 1)], dim=1)
    parts = roi_pool(features.float(), boxes.float(), 2, 1 / STRIDE)  # it does not take bfloat16
    return torch.cat([parts.amax((2, 3)), parts.mean((2, 3))], dim=1).unflatten(0, (count, len(BOXES)))


class P2PFM(nn.Module):
    """Images to a score, unbounded, and those of their parts."""

    def __init__(self, backbone: str = "resnet18", weights: Weights = "scratch") -> None:
        super().__init__()
        net = resnet(backbone, weights)
        self.backbone = stages(net)
        pooled = 2 * widths(net)[-1]
        self.first, self.final = head(pooled), head(pooled + len(BOXES))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) normalised, S at least 64 -> (B,) final score, (B, 5) first scores of the image and its quadrants."""
        for stage in self.backbone:
            images = stage(images)
        pooled = cut(images)
        scores = self.first(pooled.flatten(0, 1)).unflatten(0, pooled.shape[:2])[..., 0]
        return self.final(torch.cat([pooled[:, 0], scores], dim=1))[:, 0], scores

    def loss(self, images: Tensor, ratings: Tensor) -> Tensor:
        """Squared error of the final and of the first score of the image; ratings (B,)."""
        final, scores = self(images)
        return F.mse_loss(final.float(), ratings) + F.mse_loss(scores[:, 0].float(), ratings)

    def predict(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised -> (B,) scores."""
        score: Tensor = self(images)[0]
        return score


# Adam (0.9, 0.99), heads ten times as fast, 10 epochs: not checked against the paper, and its published code has SGD
BASELINE = Baseline(
    P2PFM,
    Settings("resnet18", 640, 10, 120, "adam", 3e-4, 0.01, head_lr=10, beta2=0.99, weights="imagenet"),
    "its published code; the feedback from its abstract",
)
