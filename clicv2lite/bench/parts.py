"""Shift and entropy, against the loops that one would write first and against copying the same memory once."""

import math

import torch
from torch import Tensor

from clicv2lite.bench.measure import Timing, compare
from clicv2lite.method.entropy import default_bins, luma, patch_entropy
from clicv2lite.method.patches import offsets, shift

PATCHES, SIDE = 8192, 16  # about the patches of a batch of 128 images at 128 px


def bench_shift() -> Timing:
    """Shift against a loop over patches and against copying the patches once."""
    patches, offset = torch.rand(PATCHES, 3, SIDE, SIDE), random_offsets()
    references = {"per_patch_loop": lambda: shift_loop(patches, offset), "memory_copy": patches.clone}
    return compare(f"shift of {PATCHES} patches", lambda: shift(patches, offset), references)


def bench_entropy() -> Timing:
    """Patch entropy against a loop over patches and against copying the patches once."""
    patches = torch.rand(PATCHES, 3, SIDE, SIDE)
    references = {"per_patch_loop": lambda: entropy_loop(patches), "memory_copy": patches.clone}
    return compare(f"entropy of {PATCHES} patches", lambda: patch_entropy(patches), references)


def random_offsets() -> Tensor:
    """One offset (dy, dx) for each patch of the benchmark: (PATCHES, 2)."""
    return offsets(torch.randint(8, (PATCHES,)), torch.randint(1, SIDE // 4 + 1, (PATCHES,)))


def shift_loop(patches: Tensor, offset: Tensor) -> Tensor:
    """The shift as one would write it first: slices, a patch at a time."""
    out = torch.zeros_like(patches)
    p = patches.shape[-1]
    for source, target, (dy, dx) in zip(patches, out, offset.tolist(), strict=True):
        rows, columns = (slice(max(0, d), p + min(0, d)) for d in (dy, dx))
        from_rows, from_columns = (slice(max(0, -d), p + min(0, -d)) for d in (dy, dx))
        target[:, rows, columns] = source[:, from_rows, from_columns]
    return out


def entropy_loop(patches: Tensor) -> Tensor:
    """The entropy as one would write it first: one histogram at a time."""
    bins = default_bins(patches.shape[-1])
    out = []
    for patch in patches:
        p = torch.histc(luma(patch), bins, 0, 1) / patch[0].numel()
        out.append(torch.special.entr(p).sum() / math.log(2))
    return torch.stack(out)
