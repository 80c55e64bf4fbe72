"""The decoder: a small ViT that predicts the entropy of masked patches (CLICv2, equation 11; book chapter 6)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clicv2lite.extras import extra
from clicv2lite.method.encoder import run_blocks, sincos_positions
from clicv2lite.method.masking import put, take
from clicv2lite.ranges import Depth, Width


@dataclass(frozen=True)
class DecoderConfig:
    """Shape of the decoder; the paper says only that it is smaller than the encoder."""

    width: Width = 256
    depth: Depth = 4
    heads: Width = 8


class Decoder(nn.Module):
    """Put mask tokens at the masked places, add positions, run a few blocks, read out linearly (figure 4, equation 11).

    Args:
        encoder_width: D of the visible tokens.
        grid: rows and columns of patches.
        config: width, depth, heads.
        out: how many numbers to predict per patch (1 for entropy).
    """

    positions: Tensor

    def __init__(self, encoder_width: int, grid: tuple[int, int], config: DecoderConfig, out: int = 1) -> None:
        super().__init__()
        self.embed = nn.Linear(encoder_width, config.width)
        self.mask_token = nn.Parameter(torch.zeros(config.width))
        self.register_buffer("positions", sincos_positions(grid, config.width)[None], persistent=False)
        with extra("train"):
            from timm.models.vision_transformer import Block  # not above: `pretrain --help` need not wait for it

        self.blocks = nn.Sequential(*[Block(config.width, config.heads, qkv_bias=True) for _ in range(config.depth)])
        self.grad_checkpointing = False  # see encoder.prepare
        self.norm = nn.LayerNorm(config.width)
        self.predict = nn.Linear(config.width, out)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, tokens: Tensor, visible: Tensor, masked: Tensor) -> Tensor:
        """Predict masked patches from visible tokens.

        Args:
            tokens: (B, V, D), from the query encoder.
            visible, masked: (B, V) and (B, M) int64 places; together they are all G places.

        Returns:
            (B, M, out) float32.
        """
        full = put(self.embed(tokens), visible, self.mask_token, visible.shape[1] + masked.shape[1])
        full = self.norm(run_blocks(self.blocks, full + self.positions, self.grad_checkpointing))
        prediction: Tensor = self.predict(take(full, masked)).float()
        return prediction
