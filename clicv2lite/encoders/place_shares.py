"""How much each place of an image adds to the pooled features: this gives even a linear probe a map (book chapter 12)."""

import torch
from torch import Tensor

from clicv2lite.ambient import own_settings
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.pooling import pool


@own_settings()
def shares(encoder: FrozenEncoder, images: Tensor) -> Tensor:
    """Split pooled features into shares of the places. The split is exact: the mean over places is `encoder.features(images)`.

    The share of a place with token t in a mean is t itself. Its share in a standard deviation s around a mean m is
    (t - m)^2 / s. A maximum or minimum belongs only to the place where it is found. The share of a place in a halved image, or
    in the smaller map of a later stage, goes to all the places that it covers in the largest map.

    Args:
        images: (B, 3, S, S) uint8.

    Returns:
        (B, h, w, F) float32.
    """
    parts, maps = [], encoder.channels(images)
    most = max(channels.shape[2] for channels in maps)
    for channels in maps:
        grid = channels.shape[1:3]
        repeat = most // grid[1]
        for name in encoder.config.pool.statistics:
            part = share(channels.flatten(1, 2), name).unflatten(1, grid)
            parts.append(part.repeat_interleave(repeat, 1).repeat_interleave(repeat, 2))
    return torch.cat(parts, dim=-1)


def share(tokens: Tensor, statistic: str) -> Tensor:
    """Shares of the G places in one pooled statistic: tokens (B, G, D) -> (B, G, D). Their mean is the statistic."""
    pooled = pool(tokens, statistic)[:, None]
    if statistic == "mean":
        return tokens
    if statistic == "std":
        smallest = torch.finfo(tokens.dtype).tiny  # if all tokens are equal, every share is 0
        return (tokens - tokens.mean(1, keepdim=True)).square() / pooled.clamp(min=smallest)
    extreme = (tokens.argmax(1) if statistic == "max" else tokens.argmin(1))[:, None]
    return torch.zeros_like(tokens).scatter_(1, extreme, pooled * tokens.shape[1])
