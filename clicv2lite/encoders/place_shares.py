"""What each place of an image adds to its pooled features, so that even a linear probe has a map (book chapter 12)."""

import torch
from torch import Tensor

from clicv2lite.encoders.frozen import FrozenEncoder, pool


def shares(encoder: FrozenEncoder, images: Tensor) -> Tensor:
    """Split pooled features into places, exactly: their mean over places is `encoder.features(images)`.

    A mean is the mean of its tokens t. A standard deviation s about a mean m is the mean of (t - m)^2 / s. A maximum or
    minimum belongs to the one place where it is found. A place of a halved image is the four places that it covers.

    Args:
        images: (B, 3, S, S) uint8.

    Returns:
        (B, h, w, F) float32.
    """
    parts = []
    for channels in encoder.channels(images):
        grid = channels.shape[1:3]
        repeat = images.shape[-1] // encoder.config.encoder.patch // grid[1]  # places of a halved image are larger
        for name in encoder.config.pool.statistics:
            part = share(channels.flatten(1, 2), name).unflatten(1, grid)
            parts.append(part.repeat_interleave(repeat, 1).repeat_interleave(repeat, 2))
    return torch.cat(parts, dim=-1)


def share(tokens: Tensor, statistic: str) -> Tensor:
    """What each of the G places adds to one pooled statistic of (B, G, D) tokens: (B, G, D), its mean is the statistic."""
    pooled = pool(tokens, statistic)[:, None]
    if statistic == "mean":
        return tokens
    if statistic == "std":
        smallest = torch.finfo(tokens.dtype).tiny  # all tokens equal: nothing deviates, nothing is added
        return (tokens - tokens.mean(1, keepdim=True)).square() / pooled.clamp(min=smallest)
    extreme = (tokens.argmax(1) if statistic == "max" else tokens.argmin(1))[:, None]
    return torch.zeros_like(tokens).scatter_(1, extreme, pooled * tokens.shape[1])
