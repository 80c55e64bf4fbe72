"""What the decoder predicts for a masked patch: entropy, pixels or frequencies (CLICv2, equation 11, table 5; chapter 5)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Gt, Le
from torch import Tensor

from clicv2lite.method.entropy import default_bins, luma, patch_entropy
from clicv2lite.ranges import OneOf


def entropy_target(patches: Tensor, bins: int | None = None, unit: str = "bits") -> Tensor:
    """Entropy of each patch's luma histogram (equation 11): (..., 3, p, p) in [0, 1] -> (..., 1) float32.

    Args:
        bins: as in :func:`~clicv2lite.method.entropy.patch_entropy`.
        unit: ``bits``, or ``normalised``: divided by log2(bins), which gives values in 0..1.
    """
    entropy = patch_entropy(patches, bins).unsqueeze(-1)
    return entropy if unit == "bits" else entropy / math.log2(bins or default_bins(patches.shape[-1]))


def pixel_target(patches: Tensor) -> Tensor:
    """Pixels, normalised within each patch, as in MAE (table 5, "Pixels").

    Args:
        patches: (..., C, p, p), floating point.

    Returns:
        (..., C * p * p) float32 with mean 0 and variance 1 in each patch (a flat patch is all 0).
    """
    flat = patches.float().flatten(-3)
    return (flat - flat.mean(-1, keepdim=True)) / (flat.var(-1, keepdim=True) + 1e-6).sqrt()


def frequency_target(patches: Tensor) -> Tensor:
    """Log amplitude spectrum of each patch's luma (table 5, "Frequency").

    Args:
        patches: (..., 3, p, p), RGB in [0, 1], floating point.

    Returns:
        (..., p * (p // 2 + 1)) float32, ``ln(1 + |FFT|)``, with the mean brightness.
    """
    return torch.fft.rfft2(luma(patches.float()), norm="ortho").abs().log1p().flatten(-2)


class Target(NamedTuple):
    """Something to predict for a clean patch."""

    of: Callable[[Tensor, "TargetConfig"], Tensor]  # (..., 3, p, p) in [0, 1] -> (..., T) float32
    size: Callable[[int], int]  # side p of a patch -> T


TARGETS: dict[str, Target] = {
    "entropy": Target(lambda patches, config: entropy_target(patches, config.bins, config.unit), lambda p: 1),
    "pixels": Target(lambda patches, config: pixel_target(patches), lambda p: 3 * p**2),
    "frequency": Target(lambda patches, config: frequency_target(patches), lambda p: p * (p // 2 + 1)),
    "none": Target(lambda patches, config: patches.new_zeros(*patches.shape[:-3], 0), lambda p: 0),  # no decoder
}
"""Name -> target: the values of the setting ``target``."""


@dataclass(frozen=True)
class TargetConfig:
    """What the decoder predicts (table 5)."""

    target: Annotated[str, OneOf(TARGETS)] = "entropy"
    bins: Annotated[int, Gt(0), Le(65_536)] | None = None  # of the entropy histogram; None chooses from the patch size
    unit: Literal["bits", "normalised"] = "bits"  # of the entropy


def target_size(target: str, patch: int) -> int:
    """How many numbers the decoder predicts per patch of side ``patch``; 0 for "none". ValueError if the target is unknown."""
    if target not in TARGETS:
        raise ValueError(f"target {target!r}: choose one of {', '.join(TARGETS)}")
    return TARGETS[target].size(patch)


def reconstruction_target(patches: Tensor, config: TargetConfig) -> Tensor:
    """What masked modeling predicts for clean patches: (..., 3, p, p) in [0, 1] -> (..., T) float32 (equation 11)."""
    if not patches.numel():  # nothing is masked, and some transforms refuse an empty tensor
        return patches.new_zeros(*patches.shape[:-3], target_size(config.target, patches.shape[-1]))
    return TARGETS[config.target].of(patches, config)
