"""MoCo v2 with its own optimiser and colours; :mod:`clicv2lite.learners.moco` has those that all methods share (chapter 9).

Facts from its published code (github.com/facebookresearch/moco, with the options that its page names for v2):

- SGD: momentum 0.9, decay 1e-4 on all weights, learning rate 0.03 for 256 images, a cosine without warm-up, no clipping;
- temperature 0.2, features of 128 numbers, a queue of 65,536 keys, momentum 0.999 of the key encoder;
- two crops of a fifth of the image or more. Brightness, contrast and saturation change by 0.4 and the hue by 0.1 of its circle,
  in a random order, with probability 0.8; then the crop is gray with probability 0.2, and blurred with probability 0.5 by a
  Gaussian of 0.1 to 2 pixels; it is mirrored with probability 0.5.

Queue, momentum of the key and passes are those of the recipe: the first two are the published ones in the paper's recipes, and
smaller in ``ci`` and ``lite``. Its encoder is ``backbone=resnet50``. Still our choices: a cosine that falls with each step
instead of each epoch, a head with GELU in place of ReLU, and no shuffling of batches between GPUs.
"""

from dataclasses import replace
from itertools import permutations

import torch
from torch import Tensor

from clicv2lite.extras import extra
from clicv2lite.learners import moco
from clicv2lite.learners.moco import Crops, given
from clicv2lite.method.pixels import normalize
from clicv2lite.method.views import CROP_DRAWS, ViewConfig, base_crop

JITTERED, HUE, GRAY = 0.8, 0.1, 0.2  # probability of other colours, strength of the hue, probability of gray
SIGMA = (0.1, 2.0)  # of the blur, pixels
KERNEL = 13  # three standard deviations of the widest to each side
ORDERS = tuple(permutations(range(4)))
COLOUR_DRAWS = 9  # jitter? its four strengths and their order; gray? blur? how much
DRAWS = CROP_DRAWS + COLOUR_DRAWS  # for one crop


def draws_per_image(config: ViewConfig) -> int:
    """How many uniform numbers :func:`make_views` needs per image."""
    return 2 * DRAWS


def make_views(images: Tensor, noise: Tensor, config: ViewConfig) -> Crops:
    """Two independent crops of each image: as :func:`clicv2lite.learners.moco.make_views`, with noise (B, 28) -> Crops."""
    pairs = zip(given(images, config), noise.split(DRAWS, dim=1), strict=True)
    query, key = (normalize(published_crop(part, draws, config, GRAY)) for part, draws in pairs)
    return Crops(query, key)


def published_crop(images: Tensor, noise: Tensor, config: ViewConfig, gray: float) -> Tensor:
    """A random resized crop, mirrored, in other colours, gray or blurred, each with its probability.

    Args:
        images: (B, 3, H, W) uint8.
        noise: (B, 14) uniform in [0, 1).
        config: its ``color`` and ``blur`` are the strength of the jitter and the probability of blur.
        gray: probability of a gray crop.

    Returns:
        (B, 3, size, size) float32 in [0, 1].
    """
    crops = base_crop(images, noise[:, :CROP_DRAWS], config)
    rows = noise[:, CROP_DRAWS:].tolist()
    return torch.stack([_coloured(crop, row, config, gray) for crop, row in zip(crops, rows, strict=True)])


def _coloured(crop: Tensor, noise: list[float], config: ViewConfig, gray: float) -> Tensor:
    with extra("train"):
        from torchvision.transforms.v2 import functional as change

    jittered, *strengths, order, grayed, blurred, width = noise
    if jittered < JITTERED:
        adjust = [change.adjust_brightness, change.adjust_contrast, change.adjust_saturation, change.adjust_hue]
        factors = [1 + config.color * (2 * u - 1) for u in strengths[:3]] + [HUE * (2 * strengths[3] - 1)]
        for which in ORDERS[int(order * len(ORDERS))]:
            crop = adjust[which](crop, factors[which])
    if grayed < gray:
        crop = change.rgb_to_grayscale(crop, num_output_channels=3)
    if blurred < config.blur:
        side = min(KERNEL, (crop.shape[-1] - 1) // 2 * 2 + 1)
        crop = change.gaussian_blur(crop, [side, side], [SIGMA[0] + (SIGMA[1] - SIGMA[0]) * width] * 2)
    return crop


PUBLISHED = {
    "optimizer": "sgd", "schedule": "cosine", "lr": 0.03, "batch": 256, "beta1": 0.9, "weight_decay": 1e-4, "warmup": 0,
    "clip": 1e6, "temperature": 0.2, "project": 128,
}  # fmt: skip

METHOD = replace(
    moco.METHOD,
    draws_per_image=draws_per_image,
    make_views=make_views,
    crop_draws=(0, DRAWS),
    brings={**moco.METHOD.brings, **PUBLISHED},
)
