"""From a linear head's scores, which know no bounds, to scores between 0 and 1 that keep their order (book chapter 12)."""

import torch
from torch import Tensor

EDGE = 0.05  # what lies nearer to 0 or 1, or beyond, is bent; on our ratings the PCC stays as it is to 0.001


def bounded(scores: Tensor) -> Tensor:
    """Leave scores from EDGE to 1 - EDGE alone, and bend the others towards 0 and 1 without reaching them.

    Below EDGE a score s becomes EDGE² / (2 EDGE - s), and likewise above: smooth, and rising everywhere, where clipping would
    make all of them equal.

    >>> bounded(torch.tensor([-0.5, 0.0, 0.05, 0.5, 1.0, 1.5]))
    tensor([0.0042, 0.0250, 0.0500, 0.5000, 0.9750, 0.9958])

    Args:
        scores: float, of any shape; NaN stays.

    Returns:
        The same shape and type, in 0..1.
    """
    distance = torch.minimum(scores, 1 - scores)  # to the nearer end, negative beyond it
    bent = torch.where(distance < EDGE, EDGE**2 / (2 * EDGE - distance.clamp(max=EDGE)), distance)
    return torch.where(scores < 0.5, bent, 1 - bent)
