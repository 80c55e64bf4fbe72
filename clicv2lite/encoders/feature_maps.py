"""The feature maps of a network of timm's: what is pooled where there are no patch tokens (book chapter 8)."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from clicv2lite.method.backbone import about
from clicv2lite.method.encoder import EncoderConfig


def stage_maps(net: nn.Module, images: Tensor, stages: Sequence[int], config: EncoderConfig) -> list[Tensor]:
    """The outputs of some stages, as they are: not normalised, places in rows and columns.

    Sides of images are multiples of ``config.patch``, the stride of the last map; they may differ. Networks of windows, such as
    Swin, pad their maps to whole windows inside; ViTs resample their positions. A network that takes only its own size
    (``about(name).fixed``) gets images resized to it.

    Args:
        net: from :func:`clicv2lite.method.backbone.build_network`.
        images: (B, 3, H, W) in 0..255, uint8 or floating point.
        stages: which of them, 0 .. ``config.depth`` - 1.

    Returns:
        one (B, h, w, C) float32 tensor per stage asked for, in that order.
    """
    what = about(config.backbone)
    inputs = images.float() / 255
    if what.fixed and inputs.shape[-2:] != (config.size, config.size):
        inputs = F.interpolate(inputs, (config.size, config.size), mode="bilinear", antialias=True)
    mean, std = (inputs.new_tensor(three)[:, None, None] for three in (what.mean, what.std))
    inputs = (inputs - mean) / std
    before = len(list(net.feature_info)) - config.depth  # type: ignore[arg-type]  # maps of the stem
    found = intermediates(net, inputs, [before + stage for stage in stages], "NCHW")
    return [one.float().permute(0, 2, 3, 1) for one in found]


def intermediates(net: Any, inputs: Tensor, indices: Sequence[int], layout: str) -> list[Tensor]:
    """What the blocks or stages of a network of timm's with these indices give, in this order; timm itself returns them sorted.

    Args:
        layout: of a tensor, in timm's letters: NLC for tokens, NCHW for maps.
    """
    wanted = sorted(set(indices))
    found = net.forward_intermediates(inputs, indices=wanted, output_fmt=layout, intermediates_only=True)
    by_index = dict(zip(wanted, found, strict=True))
    return [by_index[index] for index in indices]
