"""How much each place of an image adds to the pooled features: this gives even a linear probe a map (book chapter 12)."""

import math

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
    in the smaller map of a later stage, goes to all the places that it covers in the grid that all maps divide, which is most
    often the largest; formulas of the whole image are a map of one place.

    Args:
        images: (B, 3, S, S) uint8.

    Returns:
        (B, h, w, F) float32.
    """
    maps = [(channels, part.config.pool.statistics) for part in encoder.parts for channels in part.channels(images)]
    h, w = (math.lcm(*(channels.shape[axis] for channels, _ in maps)) for axis in (1, 2))
    found = []
    for channels, statistics in maps:
        grid = channels.shape[1:3]
        for name in statistics:
            split = share(channels.flatten(1, 2), name).unflatten(1, grid)
            found.append(split.repeat_interleave(h // grid[0], 1).repeat_interleave(w // grid[1], 2))
    return torch.cat(found, dim=-1)


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
