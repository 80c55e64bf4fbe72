"""CLIC with its own optimiser and augmentation; :mod:`clicv2lite.learners.clic` has those that all methods share (chapter 9).

Facts from its published code (github.com/xauat-liushipeng/CLIC):

- SGD: momentum 0.9, decay 1e-4 on all weights, learning rate 0.03, a tenth of it after 120 of 200 epochs and again after 160;
  no warm-up, no clipping. Its page starts it with 128 images, its program would take 32: we take 128;
- temperature 0.07, features of 128 numbers, a queue of 65,536 keys, momentum 0.999 of the key encoder, weight 0.25 of the
  second loss;
- two crops of a fifth of the image or more, with the jitter, the blur and the mirror of MoCo v2, never gray. The key is also
  put on its head, turned by up to 30 degrees with black corners, and gets noise of 25 gray levels, each with probability 0.5.

Queue, momentum of the key and passes are those of the recipe, as in :mod:`clicv2lite.learners.moco_published`. Still our
choices: a two-layer head (there: one layer), activation energy and entropy as in :mod:`clicv2lite.learners.clic`
(there the entropy is that of the *normalised* query between 0 and 1: darker and brighter pixels do not count).
"""

from dataclasses import replace

import torch
from torch import Tensor

from clicv2lite.extras import extra
from clicv2lite.learners import clic
from clicv2lite.learners.clic import CropsWithEntropy, global_entropy
from clicv2lite.learners.moco import given
from clicv2lite.learners.moco_published import DRAWS, PUBLISHED, published_crop
from clicv2lite.method.pixels import normalize
from clicv2lite.method.views import ViewConfig

TURN, NOISE = 30, 25 / 255  # degrees; standard deviation of the noise
KEY_DRAWS = 5  # on its head? turned? how far; noise? which


def draws_per_image(config: ViewConfig) -> int:
    """How many uniform numbers :func:`make_views` needs per image."""
    return 2 * DRAWS + KEY_DRAWS


def make_views(images: Tensor, noise: Tensor, config: ViewConfig) -> CropsWithEntropy:
    """Two crops, and the entropy of the first: as in :mod:`clicv2lite.learners.clic`, with uniform noise (B, 33)."""
    query_noise, key_noise, more = noise.split([DRAWS, DRAWS, KEY_DRAWS], dim=1)
    pairs = zip(given(images, config), (query_noise, key_noise), strict=True)
    query, key = (published_crop(part, draws, config, gray=0) for part, draws in pairs)
    key = torch.stack([_harder(crop, row) for crop, row in zip(key, more.tolist(), strict=True)])
    return CropsWithEntropy(normalize(query), normalize(key), global_entropy(query))


def _harder(crop: Tensor, noise: list[float]) -> Tensor:
    with extra("train"):
        from torchvision.transforms.v2 import functional as change

    headlong, turned, angle, noisy, which = noise
    if headlong < 0.5:
        crop = change.vertical_flip(crop)
    if turned < 0.5:
        crop = change.rotate(crop, TURN * (2 * angle - 1))
    if noisy < 0.5:
        draws = torch.Generator().manual_seed(int(which * 2**24))  # a number for each pixel, from the sample's own
        crop = (crop + NOISE * torch.randn(crop.shape, generator=draws).to(crop.device)).clamp(0, 1)
    return crop


METHOD = replace(
    clic.METHOD,
    draws_per_image=draws_per_image,
    make_views=make_views,
    crop_draws=(0, DRAWS),
    brings={**clic.METHOD.brings, **PUBLISHED, "schedule": "steps", "batch": 128, "temperature": 0.07},
)
