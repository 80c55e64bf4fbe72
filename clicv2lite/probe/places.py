"""What each place of an image adds to its pooled features, so that even a linear probe has a map (book chapter 12)."""

import torch
from torch import Tensor

from clicv2lite.features import FrozenEncoder, pool


def shares(encoder: FrozenEncoder, images: Tensor) -> Tensor:
    """Split pooled features into places, exactly: their mean over places is `encoder.features(images)`.

    A mean is the mean of its tokens t. A standard deviation s about a mean m is the mean of (t - m)^2 / s.

    Args:
        images: (B, 3, S, S) uint8.

    Returns:
        (B, h, w, F) float32.
    """
    patch = encoder.config.encoder.patch
    parts = []
    for tokens in encoder.blocks(images):  # (B, G, D) each
        for name in encoder.config.pool.statistics:
            pooled = pool(tokens, name)[:, None]
            if name == "mean":
                parts.append(tokens)
            else:
                smallest = torch.finfo(tokens.dtype).tiny  # all tokens equal: nothing deviates, nothing is added
                parts.append((tokens - tokens.mean(1, keepdim=True)).square() / pooled.clamp(min=smallest))
    return torch.cat(parts, dim=-1).unflatten(1, (images.shape[-2] // patch, images.shape[-1] // patch))
