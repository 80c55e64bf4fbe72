"""Random numbers that are the same in Python and in the browser: mulberry32, a 32-bit generator (Tommy Ettinger)."""

import numpy as np
import torch
from torch import Tensor

STEP = 0x6D2B79F5


def uniforms(seed: int, count: int) -> Tensor:
    """The first numbers of one stream. ``uniforms`` in explorer.js returns the same ones.

    Args:
        seed: in 0..2**32 - 1.
        count: how many numbers.

    Returns:
        (count,) float64 in [0, 1), multiples of 2**-32. They are exact; float32 would round them and change the order of ties.

    Raises:
        ValueError: if the seed does not fit 32 bits.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed {seed} is outside 0..{2**32 - 1}")
    # the k-th state is seed + k * STEP, so the stream is one array; unsigned products wrap around like Math.imul
    a = np.full(count, seed, np.uint32) + np.arange(1, count + 1, dtype=np.uint32) * np.uint32(STEP)
    x = (a ^ (a >> 15)) * (a | 1)
    x ^= x + (x ^ (x >> 7)) * (x | 61)
    return torch.from_numpy((x ^ (x >> 14)) / 2**32)
