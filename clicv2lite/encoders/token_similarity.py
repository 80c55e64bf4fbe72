"""Likeness (token self-similarity): how similar each patch is to the other patches of its image (book chapter 8).

An image whose patches repeat is simple, one whose patches differ is complex.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURES = (0.0, 0.05, 0.2)  # the most similar patch, a few similar patches, many patches
CHANNELS = len(TEMPERATURES) + 2


def likeness(tokens: Tensor) -> Tensor:
    """Likeness (token self-similarity): cosines between each token and the others of its image, as soft maxima and means.

    The soft maximum t log mean exp(cosine / t) is the largest cosine at t = 0 and the mean cosine at t = infinity. In between,
    it has the form of InfoNCE's denominator with the patches of the same image as negatives (equation 2). Training with
    InfoNCE makes these cosines meaningful: patches with similar content get similar tokens.

    Args:
        tokens: (B, h, w, D), floating point.

    Returns:
        (B, h, w, CHANNELS) in -1..1: the soft maximum at each t of `TEMPERATURES`, the mean over all other patches, and the
        mean over the two to four patches beside, above and below. It is 0 where there is no other patch or no neighbour.
    """
    unit = F.normalize(tokens, dim=-1)
    return torch.cat([_all_others(unit.flatten(1, 2)).unflatten(1, unit.shape[1:3]), _neighbours(unit)], dim=-1)


def _all_others(unit: Tensor) -> Tensor:
    """Tokens of unit length (B, G, D) -> (B, G, CHANNELS - 1)."""
    places = unit.shape[1]
    if places == 1:
        return unit.new_zeros(len(unit), 1, CHANNELS - 1)
    itself = torch.eye(places, dtype=torch.bool, device=unit.device)  # a mask: ONNX cannot write to a diagonal in place
    cosine = (unit @ unit.mT).masked_fill_(itself, float("-inf"))  # mask the diagonal: a token is not compared with itself
    soft = [_soft_maximum(cosine, t, places - 1) for t in TEMPERATURES]
    mean = (unit * (unit.sum(1, keepdim=True) - unit)).sum(-1) / (places - 1)
    return torch.stack([*soft, mean], dim=-1)


def _soft_maximum(cosine: Tensor, temperature: float, count: int) -> Tensor:
    if temperature == 0:
        return cosine.amax(-1)
    # subtract 1, the largest possible cosine, before the exponential: finding the actual maximum would cost one more pass
    return 1 + temperature * ((cosine - 1).div_(temperature).exp_().sum(-1) / count).log()


def _neighbours(unit: Tensor) -> Tensor:
    """Tokens of unit length (B, h, w, D) -> (B, h, w, 1)."""
    down = (unit[:, 1:] * unit[:, :-1]).sum(-1)  # (B, h - 1, w); each pair counts for both of its patches
    right = (unit[:, :, 1:] * unit[:, :, :-1]).sum(-1)
    total = F.pad(down, (0, 0, 1, 0)) + F.pad(down, (0, 0, 0, 1)) + F.pad(right, (1, 0)) + F.pad(right, (0, 1))
    one_down, one_right = torch.ones_like(down), torch.ones_like(right)
    count = F.pad(one_down, (0, 0, 1, 0)) + F.pad(one_down, (0, 0, 0, 1)) + F.pad(one_right, (1, 0)) + F.pad(one_right, (0, 1))
    return (total / count.clamp(min=1)).unsqueeze(-1)
