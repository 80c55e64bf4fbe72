"""Random numbers that Python and the browser draw alike: mulberry32, a 32-bit generator of four lines (Tommy Ettinger)."""

import numpy as np
import torch
from torch import Tensor

STEP = 0x6D2B79F5


def uniforms(seed: int, count: int) -> Tensor:
    """The first numbers of one stream; ``uniforms`` in explorer.js returns the same ones.

    Args:
        seed: in 0..2**32 - 1.
        count: how many.

    Returns:
        (count,) float64 in [0, 1), multiples of 2**-32: exact, where float32 would round and break ties differently.

    Raises:
        ValueError: if the seed does not fit 32 bits.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed {seed} is outside 0..{2**32 - 1}")
    # the k-th state is seed + k * STEP, so the whole stream is one array; unsigned products wrap around as Math.imul does
    a = np.full(count, seed, np.uint32) + np.arange(1, count + 1, dtype=np.uint32) * np.uint32(STEP)
    x = (a ^ (a >> 15)) * (a | 1)
    x ^= x + (x ^ (x >> 7)) * (x | 61)
    return torch.from_numpy((x ^ (x >> 14)) / 2**32)
