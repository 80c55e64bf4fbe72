"""Which patches stay visible (CLICv2, equation 7, mask ratio 0.6; book chapter 5)."""

import torch
from torch import Tensor


def visible_count(patches: int, ratio: float) -> int:
    """Number of visible patches G' = G - M, at least one, for G patches and a mask ratio.

    Raises:
        ValueError: if the ratio is not in [0, 1) or there is no patch.
    """
    if patches < 1 or not 0 <= ratio < 1:
        raise ValueError(f"mask ratio {ratio} of {patches} patches: the ratio must be in [0, 1) of at least one patch")
    return max(1, patches - round(patches * ratio))


def random_mask(noise: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """Choose the visible patches of each image: those with the smallest noise, as MAE does (equation 7).

    Args:
        noise: (B, G), independent draws.
        ratio: share of masked patches, in [0, 1).

    Returns:
        visible (B, V) and masked (B, M) patch indices, int64, each in ascending order; V + M = G.
    """
    keep = visible_count(noise.shape[1], ratio)
    order = noise.argsort(dim=1, stable=True)
    return order[:, :keep].sort(dim=1).values, order[:, keep:].sort(dim=1).values


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Gather tokens (B, G, ...) at index (B, V): the result is (B, V, ...)."""
    return tokens[torch.arange(len(tokens), device=tokens.device)[:, None], index]


def put(tokens: Tensor, index: Tensor, fill: Tensor, length: int) -> Tensor:
    """Scatter tokens back to their places, with ``fill`` everywhere else: the inverse of :func:`take`.

    Args:
        tokens: (B, V, D).
        index: (B, V) int64, the place of each token, no place twice.
        fill: (D,), the mask token.
        length: G, number of places.

    Returns:
        (B, G, D) in the tokens' dtype.
    """
    full = fill.to(tokens.dtype).expand(len(tokens), length, -1)
    return full.scatter(1, index[..., None].expand_as(tokens), tokens)
