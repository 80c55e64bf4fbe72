"""Entropy of image patches: what masked entropy modeling predicts (CLICv2, equations 4 and 11; book chapter 5)."""

import math

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as PIL's "L" mode


def default_bins(patch: int) -> int:
    """Number of histogram bins for patches of p x p pixels: the largest power of two up to p * p / 8, within 2..256.

    The entropy of a histogram is too low by about (bins - 1) / (2 p^2 ln 2) bits (Miller, 1955). With eight pixels per bin
    this error stays below a tenth of a bit.
    """
    return min(256, max(2, 2 ** int(math.log2(max(patch * patch / 8, 2)))))


def luma(patches: Tensor) -> Tensor:
    """Brightness (..., p, p) of RGB patches (..., 3, p, p), same dtype and range."""
    red, green, blue = patches.unbind(-3)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def patch_entropy(patches: Tensor, bins: int | None = None) -> Tensor:
    """Shannon entropy of each patch's luma histogram (equation 4; the target in equation 11).

    The feature f of equation 4 is the brightness of a pixel, and p(f) is the share of pixels in each bin.

    >>> import torch
    >>> from clicv2lite.method.entropy import patch_entropy
    >>> flat, half = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    >>> half[..., 8:] = 1  # black on the left, white on the right
    >>> patch_entropy(torch.cat([flat, half]))
    tensor([0., 1.])

    Args:
        patches: (..., 3, p, p), RGB in [0, 1], floating point.
        bins: number of histogram bins over [0, 1]; ``default_bins(p)`` if None. With more bins than pixels the estimate is
            too low.

    Returns:
        (...,) float32 entropy in bits, between 0 (flat) and log2(bins).

    Raises:
        ValueError: if there are not 3 channels, a value lies outside [0, 1] (perhaps the patches are normalised already), or
            ``bins`` is below 1.
    """
    if patches.shape[-3] != 3:
        raise ValueError(f"expected 3 channels on axis -3, got {patches.shape[-3]}")
    bins = default_bins(patches.shape[-1]) if bins is None else bins
    if bins < 1:
        raise ValueError(f"a histogram cannot have {bins} bins: take at least one")
    shape, values = patches.shape[:-3], patches.float()
    if not ((values >= -1e-6) & (values <= 1 + 1e-6)).all():  # also catches NaN
        raise ValueError("patch values lie outside [0, 1]: take the entropy before normalising")
    brightness = luma(values).reshape(math.prod(shape), math.prod(patches.shape[-2:]))  # (n, p * p), n may be 0
    n = len(brightness)
    level = (brightness * bins).long().clamp_(0, bins - 1)  # 1.0 belongs to the last bin
    row = torch.arange(n, device=level.device)[:, None]
    count = torch.bincount((row * bins + level).flatten(), minlength=n * bins).reshape(n, bins)  # all histograms at once
    p = count / level.shape[1]
    return (torch.special.entr(p).sum(-1) / math.log(2)).reshape(shape)  # entr is -p ln p, and 0 at p = 0
