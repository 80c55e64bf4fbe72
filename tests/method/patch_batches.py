"""Batches of patches that nobody picked, and their patches one by one (used by test_entropy and test_targets)."""

import numpy as np
import torch
from hypothesis import strategies as st


@st.composite
def patches(draw):
    """(..., 3, p, p) in [0, 1] with any leading axes, from nearly flat to noise; multiples of 1/256, exact in float32."""
    leading, p = tuple(draw(st.lists(st.integers(1, 3), max_size=2))), draw(st.integers(1, 9))
    levels = draw(st.integers(1, 257))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    return torch.from_numpy(rng.integers(0, levels, (*leading, 3, p, p)) / 256)


def luma_of(patch):
    """Float64 brightness of one (3, p, p) array."""
    return 0.299 * patch[0] + 0.587 * patch[1] + 0.114 * patch[2]


def each(patches):
    """The patches one by one as (3, p, p) float64 arrays."""
    return patches.reshape(-1, *patches.shape[-3:]).double().numpy()
