"""The encoder without importing timm, with the weights and results of timm's ViT (chapter 12).

timm also imports torchvision and the compiler of torch. This takes three times as long as everything else that scoring a
photograph needs. Only the fast start uses this class; all other code uses timm's model, `FrozenEncoder.vit`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.stem import PatchStem

EPS = 1e-6  # of timm's layer norms


class Block(nn.Module):
    """A pre-norm block of timm's ViT: attention, then two layers with a GELU between; each is added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, EPS), nn.LayerNorm(width, EPS)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        q, k, v = self.attn["qkv"](self.norm1(tokens)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, heads, N, D / heads)
        tokens = tokens + self.attn["proj"](mixed.transpose(1, 2).flatten(2))
        deeper: Tensor = self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(tokens))))
        return tokens + deeper


class PlainViT(nn.Module):
    """The ViT of `encoder.build_vit` without timm: its tensors have timm's names; positions are resampled to the input."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if config.size % config.patch:
            raise ValueError(f"patches of {config.patch} px do not tile an input of {config.size} px")
        width, self.side = config.width, config.size // config.patch
        self.prefix = int(config.class_token)
        projection: nn.Module = nn.Conv2d(3, width, config.patch, config.patch)
        if config.patch_embed != "linear":
            projection = PatchStem(config.patch, width, pooled=config.patch_embed == "conv-pool")
        self.patch_embed = nn.ModuleDict({"proj": projection})
        self.pos_embed = nn.Parameter(torch.zeros(1, self.prefix + self.side**2, width))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width)) if config.class_token else None
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, EPS)
        self._kept: dict[tuple[int, int], Tensor] | None = None

    def load_timm(self, state: Mapping[str, Tensor]) -> "PlainViT":
        """Load the weights of a timm ViT, as float32; RuntimeError if they have another shape."""
        self.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
        return self

    @contextmanager
    def kept_positions(self) -> Iterator[None]:
        """In this block, resample the positions for each size of input once, and then take them as constants."""
        self._kept = {}
        try:
            yield
        finally:
            self._kept = None

    def forward(self, images: Tensor) -> Tensor:
        """As timm's forward_features: normalised images (B, 3, H, W) -> normalised tokens (B, [1 +] G, D) of the last block."""
        tokens: Tensor = self.norm(self._run(images, len(self.blocks))[-1])
        return tokens

    def intermediates(self, images: Tensor, indices: Sequence[int]) -> list[Tensor]:
        """Tokens after the blocks with these indices, in this order: [(B, G, D)]. Not normalised, without class token."""
        tokens = self._run(images, max(indices) + 1)
        return [tokens[i][:, self.prefix :] for i in indices]

    def _run(self, images: Tensor, depth: int) -> list[Tensor]:
        grid = self.patch_embed["proj"](images)
        tokens = grid.flatten(2).mT
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + self._positions(*grid.shape[-2:])
        found = []
        for block in self.blocks[:depth]:
            tokens = block(tokens)
            found.append(tokens)
        return found

    def _positions(self, h: int, w: int) -> Tensor:
        if (h, w) == (self.side, self.side):
            return self.pos_embed
        if self._kept is not None and (h, w) in self._kept:
            return self._kept[h, w]
        start, places = self.pos_embed[:, : self.prefix], self.pos_embed[:, self.prefix :]
        square = places.unflatten(1, (self.side, self.side)).permute(0, 3, 1, 2)  # strides as in timm: they affect rounding
        resized = F.interpolate(square, (h, w), mode="bicubic", antialias=True)
        positions = torch.cat([start, resized.flatten(2).mT], dim=1)
        if self._kept is not None:
            self._kept[h, w] = positions.detach()
        return positions
