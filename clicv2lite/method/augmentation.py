"""Mirror, colour jitter and blur of patches, or of whole images (CLICv2, section 3.1; book chapter 3)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from clicv2lite.method.entropy import luma
from clicv2lite.ranges import Share


@dataclass(frozen=True)
class AugmentConfig:
    """What is augmented, and how strongly. The paper names mirror, colour and blur, but no strength."""

    augment: Literal["patch", "image", "none"] = "patch"  # each patch for itself, the whole image before it is cut, or nothing
    flip: Share = 0.5  # probability that a patch is mirrored
    color: Share = 0.4  # strength of brightness, contrast and saturation jitter, as in MoCo v2
    blur: Share = 0.5  # probability of blur


def augment(patches: Tensor, noise: Tensor, config: AugmentConfig) -> Tensor:
    """Mirror, colour jitter and blur, drawn for each patch, before the shift (section 3.1). A whole image is one large patch.

    Args:
        patches: (B, V, 3, p, p) in [0, 1].
        noise: (B, V, 5) uniform in [0, 1).

    Returns:
        (B, V, 3, p, p) in [0, 1].
    """
    if config.augment == "none":
        return patches
    if config.augment == "patch":  # a mirrored image would move the two patches of a pair to different places
        patches = torch.where((noise[..., 0] < config.flip)[..., None, None, None], patches.flip(-1), patches)
    gain, contrast, saturation = (1 + config.color * (2 * noise[..., 1:4] - 1))[..., None, None, None].unbind(2)
    gray = luma(patches).unsqueeze(2)
    mean = gray.mean((-2, -1), keepdim=True)
    # saturation around the gray, contrast around the mean, brightness: all are linear, so one pass over the colours is enough
    fixed = gray * ((1 - saturation) * contrast * gain) + mean * ((1 - contrast) * gain)
    out = torch.addcmul(fixed, patches, saturation * contrast * gain).clamp_(0, 1)
    if config.blur:
        # strength 0 (no blur), or uniform in (0, 1]
        strength = (1 - noise[..., 4] / config.blur).clamp(0, 1)[..., None, None, None]
        out = torch.lerp(out, blurred(out), strength)
    return out


def blurred(patches: Tensor) -> Tensor:
    """Binomial 5-tap blur inside each patch, edges replicated: (..., 3, p, p) -> same shape."""
    p = patches.shape[-1]
    taps = patches.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    rows = torch.arange(p).repeat_interleave(5)
    columns = (torch.arange(p)[:, None] + torch.arange(-2, 3)).clamp(0, p - 1).flatten()
    band = patches.new_zeros(p, p).index_put_((rows, columns), taps.repeat(p), accumulate=True)
    # blurring is linear: two products with a banded matrix are much cheaper than a convolution per patch
    return ((patches @ band.T).mT @ band.T).mT
