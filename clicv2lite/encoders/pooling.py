"""One number of all places of an image: what becomes of its tokens (book chapter 8)."""

import math

import torch
from torch import Tensor


def pool(tokens: Tensor, statistic: str) -> Tensor:
    """Mean, standard deviation, max or min over the patches: (B, G, D) -> (B, D). One patch alone has deviation 0."""
    match statistic:
        case "mean":
            return tokens.mean(1)
        case "std":
            deviation = tokens - tokens.mean(1, keepdim=True)  # several times faster than torch.std over this axis
            return torch.linalg.vector_norm(deviation, dim=1) / math.sqrt(tokens.shape[1])
        case "max":
            return tokens.amax(1)
        case "min":
            return tokens.amin(1)
    raise ValueError(f"statistic {statistic!r}: choose mean, std, max or min")
