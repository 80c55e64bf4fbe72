"""How much each patch of an image is like the others of its image: repetition is simple, variety complex (book chapter 8)."""

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURES = (0.0, 0.05, 0.2)  # the most similar patch, the few that are similar, the many
CHANNELS = len(TEMPERATURES) + 2


def likeness(tokens: Tensor) -> Tensor:
    """Soft maxima of the cosines between each token and the other tokens of its image, and the mean over its neighbours.

    The soft maximum t log mean exp(cosine / t) is the largest cosine at t = 0 and the mean at t = infinity. In between it is
    InfoNCE's denominator with the patches of the image itself as negatives (equation 2), which training makes meaningful:
    patches of like content have like tokens.

    Args:
        tokens: (B, h, w, D), floating point.

    Returns:
        (B, h, w, CHANNELS) in -1..1: the soft maximum at t of `TEMPERATURES`, the mean over all others, the mean over the two
        to four patches beside, above and below. A patch without others, or without neighbours, has 0 there.
    """
    unit = F.normalize(tokens, dim=-1)
    return torch.cat([_all_others(unit.flatten(1, 2)).unflatten(1, unit.shape[1:3]), _neighbours(unit)], dim=-1)


def _all_others(unit: Tensor) -> Tensor:
    """(B, G, D) of unit length -> (B, G, CHANNELS - 1)."""
    places = unit.shape[1]
    if places == 1:
        return unit.new_zeros(len(unit), 1, CHANNELS - 1)
    itself = torch.eye(places, dtype=torch.bool, device=unit.device)  # a mask, as exports know no diagonal to write to
    cosine = (unit @ unit.mT).masked_fill_(itself, float("-inf"))  # a token is no other of its own
    soft = [_soft_maximum(cosine, t, places - 1) for t in TEMPERATURES]
    mean = (unit * (unit.sum(1, keepdim=True) - unit)).sum(-1) / (places - 1)
    return torch.stack([*soft, mean], dim=-1)


def _soft_maximum(cosine: Tensor, temperature: float, count: int) -> Tensor:
    if temperature == 0:
        return cosine.amax(-1)
    # no cosine is above 1, so that, and not the largest, is taken out of the exponential: fewer passes over all pairs
    return 1 + temperature * ((cosine - 1).div_(temperature).exp_().sum(-1) / count).log()


def _neighbours(unit: Tensor) -> Tensor:
    """(B, h, w, D) of unit length -> (B, h, w, 1)."""
    down = (unit[:, 1:] * unit[:, :-1]).sum(-1)  # (B, h - 1, w), each pair counts for both of its patches
    right = (unit[:, :, 1:] * unit[:, :, :-1]).sum(-1)
    total = F.pad(down, (0, 0, 1, 0)) + F.pad(down, (0, 0, 0, 1)) + F.pad(right, (1, 0)) + F.pad(right, (0, 1))
    one_down, one_right = torch.ones_like(down), torch.ones_like(right)
    count = F.pad(one_down, (0, 0, 1, 0)) + F.pad(one_down, (0, 0, 0, 1)) + F.pad(one_right, (1, 0)) + F.pad(one_right, (0, 1))
    return (total / count.clamp(min=1)).unsqueeze(-1)
