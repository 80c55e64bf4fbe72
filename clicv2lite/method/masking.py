"""Which patches stay visible (CLICv2, equation 7, mask ratio 0.6; book chapter 5)."""

import torch
from torch import Tensor


def visible_count(patches: int, ratio: float) -> int:
    """Number of visible patches G' = G - M (equation 3), at least one, for G patches and a mask ratio.

    Raises:
        ValueError: if the ratio is not in [0, 1), or there is no patch.
    """
    if patches < 1 or not 0 <= ratio < 1:
        raise ValueError(f"mask ratio {ratio} of {patches} patches: the ratio must be in [0, 1), with at least one patch")
    return max(1, patches - round(patches * ratio))


def random_mask(noise: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """Choose the visible patches of each image: those with the smallest noise, as in MAE (equation 7).

    >>> import torch
    >>> from clicv2lite.method.masking import random_mask
    >>> random_mask(torch.tensor([[0.9, 0.2, 0.7, 0.4, 0.8]]), ratio=0.6)  # visible and masked
    (tensor([[1, 3]]), tensor([[0, 2, 4]]))

    Args:
        noise: (B, G), independent random numbers.
        ratio: share of masked patches, in [0, 1).

    Returns:
        places of the visible (B, V) and of the masked (B, M) patches, int64, in ascending order; V + M = G.
    """
    keep = visible_count(noise.shape[1], ratio)
    order = noise.argsort(dim=1, stable=True)
    return order[:, :keep].sort(dim=1).values, order[:, keep:].sort(dim=1).values


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """The tokens at some places: tokens (B, G, ...) and index (B, V) -> (B, V, ...)."""
    return tokens[torch.arange(len(tokens), device=tokens.device)[:, None], index]


def put(tokens: Tensor, index: Tensor, fill: Tensor, length: int) -> Tensor:
    """Put tokens back at their places and ``fill`` at all other places: the inverse of :func:`take`.

    Args:
        tokens: (B, V, D).
        index: (B, V) int64, the place of each token; no place occurs twice.
        fill: (D,), the mask token.
        length: number of places G.

    Returns:
        (B, G, D) in the tokens' dtype.
    """
    full = fill.to(tokens.dtype).expand(len(tokens), length, -1)
    return full.scatter(1, index[..., None].expand_as(tokens), tokens)
