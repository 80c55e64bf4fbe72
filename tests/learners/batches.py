"""Images that nobody picked, and their uniform numbers (used by the tests of the methods that compare whole crops)."""

import numpy as np
import torch

from clicv2lite.method.views import uniform


def images(b=6, height=40, width=40, seed=0):
    return torch.randint(0, 256, (b, 3, height, width), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def uniform_noise(count, b=6, seed=0):
    """(b, count), those of the first b images of a set."""
    return uniform(seed, np.zeros(b, np.int64), np.arange(b), count)
