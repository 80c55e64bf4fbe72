"""What the decoder predicts of a masked patch: entropy, pixels or frequencies (CLICv2, equation 11 and table 5; chapter 5)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor

from clicv2lite.method.entropy import default_bins, luma, patch_entropy
from clicv2lite.ranges import Count, OneOf


def entropy_target(patches: Tensor, bins: int | None = None, unit: str = "bits") -> Tensor:
    """Entropy of each patch's luma histogram (equation 11): (..., 3, p, p) in [0, 1] -> (..., 1) float32.

    Args:
        bins: as :func:`~clicv2lite.method.entropy.patch_entropy`.
        unit: ``bits``, or ``normalised``: divided by log2(bins), so within 0..1.
    """
    entropy = patch_entropy(patches, bins).unsqueeze(-1)
    return entropy if unit == "bits" else entropy / math.log2(bins or default_bins(patches.shape[-1]))


def pixel_target(patches: Tensor) -> Tensor:
    """Pixels, normalised within each patch, as MAE predicts (table 5, "Pixels").

    Args:
        patches: (..., C, p, p), floating point.

    Returns:
        (..., C * p * p) float32 with mean 0 and variance 1 in each patch (0 where the patch is flat).
    """
    flat = patches.float().flatten(-3)
    return (flat - flat.mean(-1, keepdim=True)) / (flat.var(-1, keepdim=True) + 1e-6).sqrt()


def frequency_target(patches: Tensor) -> Tensor:
    """Log amplitude spectrum of each patch's luma (table 5, "Frequency").

    Args:
        patches: (..., 3, p, p), RGB in [0, 1], floating point.

    Returns:
        (..., p * (p // 2 + 1)) float32, ``ln(1 + |FFT|)``, the mean brightness included.
    """
    return torch.fft.rfft2(luma(patches.float()), norm="ortho").abs().log1p().flatten(-2)


class Target(NamedTuple):
    """Something to predict of a clean patch."""

    of: Callable[[Tensor, "TargetConfig"], Tensor]  # (..., 3, p, p) in [0, 1] -> (..., T) float32
    size: Callable[[int], int]  # T of a patch of side p


TARGETS: dict[str, Target] = {
    "entropy": Target(lambda patches, config: entropy_target(patches, config.bins, config.unit), lambda p: 1),
    "pixels": Target(lambda patches, config: pixel_target(patches), lambda p: 3 * p**2),
    "frequency": Target(lambda patches, config: frequency_target(patches), lambda p: p * (p // 2 + 1)),
    "none": Target(lambda patches, config: patches.new_zeros(*patches.shape[:-3], 0), lambda p: 0),  # there is no decoder
}
"""Name -> target; the setting ``target`` takes any of them."""


@dataclass(frozen=True)
class TargetConfig:
    """What the decoder predicts (table 5)."""

    target: Annotated[str, OneOf(TARGETS)] = "entropy"
    bins: Count | None = None  # of the entropy histogram; None chooses from the patch size
    unit: Literal["bits", "normalised"] = "bits"  # of the entropy


def target_size(target: str, patch: int) -> int:
    """Numbers that the decoder predicts for a patch of side ``patch``; 0 for none. ValueError for an unknown target."""
    if target not in TARGETS:
        raise ValueError(f"target {target!r}: choose one of {', '.join(TARGETS)}")
    return TARGETS[target].size(patch)


def reconstruction_target(patches: Tensor, config: TargetConfig) -> Tensor:
    """What masked modeling predicts of clean patches (..., 3, p, p) in [0, 1]: (..., T) float32."""
    if not patches.numel():  # nothing is masked; some transforms refuse an empty tensor
        return patches.new_zeros(*patches.shape[:-3], target_size(config.target, patches.shape[-1]))
    return TARGETS[config.target].of(patches, config)
