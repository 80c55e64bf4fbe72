"""From the unbounded scores of a linear head to scores between 0 and 1, in the same order (book chapter 12)."""

import torch
from torch import Tensor

EDGE = 0.05  # scores nearer to 0 or 1, or beyond, are bent; on our ratings this changes the PCC by less than 0.001


def bounded(scores: Tensor) -> Tensor:
    """Keep scores from EDGE to 1 - EDGE, and bend the others smoothly: they come close to 0 and 1 but never reach them.

    A score s below EDGE becomes EDGE² / (2 EDGE - s); scores above 1 - EDGE are treated in the same way. The function rises
    everywhere, so the order stays. Clipping would make all low scores equal.

    >>> import torch
    >>> from clicv2lite.heads.bounds import bounded
    >>> bounded(torch.tensor([-0.5, 0.0, 0.05, 0.5, 1.0, 1.5]))
    tensor([0.0042, 0.0250, 0.0500, 0.5000, 0.9750, 0.9958])

    Args:
        scores: float, any shape; NaN stays NaN.

    Returns:
        Scores in 0..1, of the same shape and type.
    """
    distance = torch.minimum(scores, 1 - scores)  # to the nearer end, negative beyond it
    bent = torch.where(distance < EDGE, EDGE**2 / (2 * EDGE - distance.clamp(max=EDGE)), distance)
    return torch.where(scores < 0.5, bent, 1 - bent)
