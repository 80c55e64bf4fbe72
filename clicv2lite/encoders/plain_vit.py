"""The encoder in torch's own layers, with the weights and results of timm's ViT but without importing timm (chapter 12).

timm also imports torchvision and the compiler of torch. This takes three times as long as everything else that scoring a
photograph needs. Only the fast start uses this class; all other code uses timm's model, `FrozenEncoder.vit`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.stem import PatchStem

EPS = 1e-6  # of timm's layer norms
NAMES = {  # timm's keys -> those of nn.TransformerEncoderLayer
    r"^blocks\.": "layers.",
    r"\.attn\.qkv\.": ".self_attn.in_proj_",
    r"\.attn\.proj\.": ".self_attn.out_proj.",
    r"\.mlp\.fc([12])\.": r".linear\1.",
    r"^patch_embed\.proj\.": "projection.",
}


class PlainViT(nn.Module):
    """The ViT of `encoder.build_vit` without timm: pre-norm blocks, GELU, positions resampled to the input."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if config.size % config.patch:
            raise ValueError(f"patches of {config.patch} px do not tile an input of {config.size} px")
        width, self.side = config.width, config.size // config.patch
        self.prefix = int(config.class_token)
        self.projection: nn.Module = nn.Conv2d(3, width, config.patch, config.patch)
        if config.patch_embed != "linear":
            self.projection = PatchStem(config.patch, width, pooled=config.patch_embed == "conv-pool")
        self.pos_embed = nn.Parameter(torch.zeros(1, self.prefix + self.side**2, width))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width)) if config.class_token else None
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, config.heads, 4 * width, 0.0, "gelu", layer_norm_eps=EPS, batch_first=True, norm_first=True
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width, EPS)
        self._kept: dict[tuple[int, int], Tensor] | None = None

    def load_timm(self, state: Mapping[str, Tensor]) -> "PlainViT":
        """Load the weights of a timm ViT, as float32; RuntimeError if they have another shape."""
        self.load_state_dict({_renamed(key): value.float() for key, value in state.items()}, assign=True)
        return self

    def timm_state(self) -> dict[str, Tensor]:
        """The same tensors under timm's keys."""
        names = {_renamed(key): key for key in self._timm_keys()}
        return {names[key]: value for key, value in self.state_dict().items()}

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
        tokens: Tensor = self.norm(self._run(images, len(self.layers))[-1])
        return tokens

    def intermediates(self, images: Tensor, indices: Sequence[int]) -> list[Tensor]:
        """Tokens after the blocks with these indices, in this order: [(B, G, D)]. Not normalised, without class token."""
        tokens = self._run(images, max(indices) + 1)
        return [tokens[i][:, self.prefix :] for i in indices]

    def _run(self, images: Tensor, depth: int) -> list[Tensor]:
        grid = self.projection(images)
        tokens = grid.flatten(2).mT
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + self._positions(*grid.shape[-2:])
        found = []
        for layer in self.layers[:depth]:
            tokens = layer(tokens)
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

    def _timm_keys(self) -> list[str]:
        parts = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
        modules = [f"blocks.{i}.{part}" for i in range(len(self.layers)) for part in parts]
        single = (
            ["pos_embed"] + ["cls_token"] * self.prefix + [f"patch_embed.proj.{key}" for key in self.projection.state_dict()]
        )
        return single + [f"{module}.{kind}" for module in (*modules, "norm") for kind in ("weight", "bias")]


def _renamed(key: str) -> str:
    for timm_name, name in NAMES.items():
        key = re.sub(timm_name, name, key)
    return key
