"""CLIC-style: MoCo with a harder key view and a complexity-aware loss (Liu et al. 2024, arXiv 2411.12792; book chapter 9).

What is known about CLIC: it has MoCo's two encoders and queue (65,536 keys). Positives are random crops of one image, at least
a fifth of its area, whose complexity is assumed to be about equal. The key is augmented more than the query. An auxiliary loss
of weight 0.25 pulls the feature activation energy (FAE) of the query towards the global entropy of the image (GE: the histogram
of its gray levels, 256 bins, in nats) by their squared difference. Its paper trains ResNet-50, Swin-B and ViT-L/16.

FAE aggregates stages: the mean over channels and places of a stage's output, summed over stages. The published program
(github.com/xauat-liushipeng/CLIC) states it for a ResNet only: the outputs of layer1 to layer4, behind their rectifiers,
without weights, projections or a common size. It does not run with Swin or a ViT. Chosen here:

- a stage is one of :func:`clicv2lite.method.backbone.stages`: layer1 to layer4 of a ResNet, as published; the four stages of a
  Swin behind their last block; every block of a ViT;
- its energy is the mean *absolute* value. Behind a rectifier, this is the mean. The stages of Swin and ViT do not end in one,
  and layer norm removes a plain mean. Four untrained blocks have an FAE near 3, not far from a typical GE of 4 nats. (Taken
  behind the GELUs, FAE starts near 0.1; in a trial, pulling it up from there spoilt the features);
- GE is the entropy of the query crop before normalisation, on luma as everywhere in this package;
- the key is also mirrored top to bottom and turned by a quarter turn, each with probability 1/2. The published augmentation
  turns by up to 30 degrees and adds pixel noise; but black corners and noise change the complexity that the pair should share.
  :mod:`clicv2lite.learners.clic_published` has them, and CLIC's optimiser, temperature and feature size.

So the method is called "CLIC-style".
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clicv2lite.learners import moco
from clicv2lite.learners.moco import DRAWS, MoCo, given, one_crop
from clicv2lite.method.backbone import stages
from clicv2lite.method.clicv2 import Keys, Output
from clicv2lite.method.entropy import patch_entropy
from clicv2lite.method.pixels import normalize
from clicv2lite.method.views import ViewConfig

BINS = 256
TURN_DRAWS = 2  # mirrored top to bottom? turned?


class CropsWithEntropy(NamedTuple):
    """Two crops of each image, normalised, and the entropy that guides the second loss."""

    query: Tensor  # (B, 3, S, S)
    key: Tensor  # (B, 3, S, S), augmented more
    entropy: Tensor  # (B,) GE of the query crop, nats


def draws_per_image(config: ViewConfig) -> int:
    """How many uniform numbers :func:`make_views` needs per image."""
    return 2 * DRAWS + TURN_DRAWS


def make_views(images: Tensor, noise: Tensor, config: ViewConfig) -> CropsWithEntropy:
    """Two crops, and the entropy of the first: as :func:`clicv2lite.learners.moco.make_views`, with uniform noise (B, 22)."""
    query_noise, key_noise, turn_noise = noise.split([DRAWS, DRAWS, TURN_DRAWS], dim=1)
    of_query, of_key = given(images, config)
    query = one_crop(of_query, query_noise, config)
    key = turned(one_crop(of_key, key_noise, config), turn_noise)
    return CropsWithEntropy(normalize(query), normalize(key), global_entropy(query))


def turned(images: Tensor, noise: Tensor) -> Tensor:
    """Mirror top to bottom and turn by a quarter turn, each where its noise (B, 2) is below 1/2: images (B, 3, S, S)."""
    mirror, turn = (noise < 0.5)[..., None, None, None].unbind(1)
    images = torch.where(mirror, images.flip(-2), images)
    return torch.where(turn, images.rot90(1, (-2, -1)), images)


def global_entropy(images: Tensor) -> Tensor:
    """GE: entropy of each image's luma histogram (equation 4), (B, 3, S, S) in [0, 1] -> (B,) nats, at most ln 256."""
    return patch_entropy(images, BINS) * math.log(2)


@contextmanager
def activations(encoder: nn.Module) -> Iterator[list[Tensor]]:
    """Inside this context, a forward pass appends the output of each stage, in the network's own layout, to the list."""
    found: list[Tensor] = []
    # of a chain its last part: with checkpointing, timm calls the parts, and not the chain
    ends = [stage[-1] if isinstance(stage, nn.Sequential) else stage for stage in stages(encoder)]
    hooks = [end.register_forward_hook(lambda module, given, output: found.append(output)) for end in ends]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def activation_energy(maps: list[Tensor]) -> Tensor:
    """FAE: the mean absolute activation of each stage, summed over stages: (B, G, C), (B, C, h, w), ... -> (B,) float32."""
    return torch.stack([values.float().abs().mean(tuple(range(1, values.ndim))) for values in maps]).sum(0)


class CLIC(MoCo):
    """L = L_IN (equation 1) + weight * mean (FAE - GE)^2, with the weight 0.25 of the CLIC paper."""

    def forward(self, views: CropsWithEntropy, keys: Keys | None = None) -> Output:  # type: ignore[override]
        """As in MoCo; ``auxiliary`` is the complexity-aware loss, in nats squared."""
        with activations(self.query) as maps:
            output = super().forward(views, keys)  # type: ignore[arg-type]  # it has MoCo's two fields
        complexity = F.mse_loss(activation_energy(maps), views.entropy)
        return output._replace(total=output.contrast + self.config.auxiliary_weight * complexity, auxiliary=complexity)


METHOD = replace(
    moco.METHOD,
    build=lambda model, own: CLIC(model, own.queue),
    draws_per_image=draws_per_image,
    make_views=make_views,
    auxiliary=lambda views: "complexity",
    ignores=tuple(name for name in moco.UNREAD if name != "auxiliary_weight"),
    brings={**moco.METHOD.brings, "auxiliary_weight": 0.25},  # of the complexity-aware loss
)
