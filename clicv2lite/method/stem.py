"""Patch embeddings that see a patch through convolutions: a token that hardly knows where in the patch a thing is (chapter 6).

The paper's embedding is one linear map of the patch's pixels, so the same thing a few pixels further is another token. Shifted
patchify asks for tokens that tolerate this. Convolutions and a pooling inside the patch give it by construction.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clicv2lite.method.patches import grid_size, patchify

Embedding = Literal["linear", "conv", "conv-pool"]
CHANNELS = (32, 64, 128)  # of three 3 x 3 convolutions with stride 2, each followed by a group norm and GELU
GROUPS = 8
STRIDE = 2 ** len(CHANNELS)
AT_ONCE = 256  # patches, on a CPU without gradients: what the convolutions make of them stays in its cache


class PatchStem(nn.Module):
    """Three strided convolutions that never leave the patch, then its own places side by side or pooled, then a linear map.

    It stands where timm's ``PatchEmbed`` has its convolution, ``proj``.

    Args:
        patch: side p of a patch in pixels, a multiple of 8.
        width: D of a token.
        pooled: mean and max over the (p / 8)^2 places of the patch (``conv-pool``); else all places side by side (``conv``).
    """

    def __init__(self, patch: int, width: int, pooled: bool) -> None:
        super().__init__()
        self.patch, self.pooled = patch, pooled
        inputs = (3, *CHANNELS[:-1])
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, 2, 1) for i, o in zip(inputs, CHANNELS, strict=True))
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, channels) for channels in CHANNELS)
        self.linear = nn.Linear(read_channels(patch, pooled), width)

    def tokens(self, patches: Tensor) -> Tensor:
        """Embed normalised patches (B, V, 3, p, p) -> (B, V, D)."""
        x = patches.flatten(0, 1)
        # in training, what is kept for the gradients leaves the cache anyway; a graph takes no loop
        graph = torch.compiler.is_compiling() or torch.jit.is_tracing()
        parts = x.device.type == "cpu" and not torch.is_grad_enabled() and not graph
        tokens = torch.cat([self._embed(part) for part in x.split(AT_ONCE)]) if parts else self._embed(x)
        return tokens.unflatten(0, patches.shape[:2])

    def _embed(self, x: Tensor) -> Tensor:
        """(N, 3, p, p) -> (N, D)."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.gelu(norm(convolution(x)))
        x = torch.cat([x.mean((-2, -1)), x.amax((-2, -1))], dim=1) if self.pooled else x.flatten(1)
        tokens: Tensor = self.linear(x)
        return tokens

    def forward(self, images: Tensor) -> Tensor:
        """Embed every patch of normalised images, as a convolution with stride p would: (B, 3, H, W) -> (B, D, h, w)."""
        grid = grid_size(images.shape[-2], images.shape[-1], self.patch)
        return self.tokens(patchify(images, self.patch)).mT.unflatten(2, grid)


class EmbeddingCost(NamedTuple):
    """What one patch embedding costs."""

    weights: int
    forward: int  # operations for one patch: two for each multiply-add
    backward: int  # the pixels need no gradient, so the first map costs one product here, the others two
    values: int  # numbers that a patch keeps for the backward pass, beside its pixels


def embedding_cost(embedding: Embedding, patch: int, width: int) -> EmbeddingCost:
    """The cost of the patch embedding of an encoder."""
    if embedding == "linear":
        return EmbeddingCost(3 * patch**2 * width + width, 6 * patch**2 * width, 6 * patch**2 * width, 0)
    weights = flops = values = 0
    first = 2 * 9 * 3 * CHANNELS[0] * (patch // 2) ** 2
    for level, (inputs, outputs) in enumerate(zip((3, *CHANNELS), CHANNELS, strict=False), 1):
        places = (patch >> level) ** 2
        weights += 9 * inputs * outputs + 3 * outputs  # a bias, and scale and shift of the norm
        flops += 2 * 9 * inputs * outputs * places
        values += 3 * outputs * places  # outputs of convolution, norm and GELU
    read = read_channels(patch, embedding == "conv-pool")
    flops += 2 * read * width
    return EmbeddingCost(weights + read * width + width, flops, 2 * flops - first, values + read)


def read_channels(patch: int, pooled: bool) -> int:
    """How many numbers the last linear map of a stem reads."""
    return CHANNELS[-1] * (2 if pooled else (patch // STRIDE) ** 2)
