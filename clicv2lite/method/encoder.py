"""The encoder: timm's VisionTransformer on visible patches only, and a projection head (CLICv2, figure 4; chapter 6)."""

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from clicv2lite.extras import extra
from clicv2lite.method.backbone import VIT, about, build_network, stages
from clicv2lite.method.masking import take
from clicv2lite.method.patches import Grid
from clicv2lite.method.stem import STRIDE, Embedding, PatchStem
from clicv2lite.ranges import Depth, Width

if TYPE_CHECKING:  # timm takes seconds to import, and scoring needs only the configuration
    from timm.models.vision_transformer import VisionTransformer


@dataclass(frozen=True)
class EncoderConfig(Grid):
    """Shape of a ViT; ``SHAPES`` has the paper's. Another backbone decides all but ``size`` and ``project`` itself."""

    width: Width = 768
    depth: Depth = 12
    heads: Width = 12
    class_token: bool = False  # not needed: the loss is per patch, and the probe pools patches; MAE keeps it
    project: Width = 256  # width d of the features that InfoNCE compares
    patch_embed: Embedding = "linear"  # the paper's linear map of a patch, or a stem of convolutions (method.stem)
    backbone: str = VIT  # or a name of timm's, such as resnet50, or of method.backbone.NAMED, such as swin-b


SHAPES = {  # timm's names for the paper's backbones: (width, depth, heads)
    "vit-ti": (192, 12, 3),
    "vit-s": (384, 12, 6),
    "vit-b": (768, 12, 12),
    "vit-l": (1024, 24, 16),
}


def sincos_positions(grid: tuple[int, int], width: int) -> Tensor:
    """Fixed 2-D sine-cosine positions (MoCo v3, MAE): (h * w, width) float32; width is a multiple of 4."""
    with extra("train"):
        from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed

    if width % 4:
        raise ValueError(f"2-D sine-cosine positions need a width that is a multiple of 4, got {width}")
    return build_sincos2d_pos_embed(list(grid), dim=width)


def vit_arguments(config: EncoderConfig) -> dict[str, Any]:
    """What timm's ``VisionTransformer`` takes for this shape: no classifier, and images of every size that patches tile."""
    return {
        "img_size": config.size, "patch_size": config.patch, "embed_dim": config.width, "depth": config.depth,
        "num_heads": config.heads, "class_token": config.class_token, "global_pool": "avg", "fc_norm": False,
        "num_classes": 0, "dynamic_img_size": True,
        **({} if config.patch_embed == "linear" else {"embed_layer": _stem_layer(config.patch_embed == "conv-pool")}),
    }  # fmt: skip


@cache
def _stem_layer(pooled: bool) -> type[nn.Module]:
    with extra("train"):
        from timm.layers import PatchEmbed

    class StemEmbed(PatchEmbed):
        """timm's PatchEmbed with a stem in place of its convolution."""

        def __init__(self, *, patch_size: int, embed_dim: int, **others: Any) -> None:
            super().__init__(patch_size=patch_size, embed_dim=embed_dim, **others)
            self.proj = PatchStem(patch_size, embed_dim, pooled)  # type: ignore[assignment]

    return StemEmbed


def embed(patches: Tensor, projection: nn.Module) -> Tensor:
    """Embed single patches (B, V, 3, p, p) -> (B, V, D) with the ``patch_embed.proj`` of a ViT."""
    if isinstance(projection, PatchStem):
        return projection.tokens(patches)
    assert isinstance(projection, nn.Conv2d)
    # a convolution with stride p on single patches is a matrix product
    return F.linear(patches.flatten(2), projection.weight.flatten(1), projection.bias)


def build_encoder(config: EncoderConfig) -> nn.Module:
    """A ViT or another network: called with normalised images (B, 3, S, S), it gives one feature (B, F) per image."""
    return build_vit(config) if config.backbone == VIT else build_network(config.backbone, config.size)


def feature_width(config: EncoderConfig) -> int:
    """F, how many numbers :func:`build_encoder`'s network gives for an image."""
    return config.width if config.backbone == VIT else about(config.backbone).features


def build_vit(config: EncoderConfig) -> "VisionTransformer":
    """A plain timm ViT with fixed positions and no classifier; ``forward_features`` gives (B, G [+ 1], width) tokens.

    Raises:
        ValueError: if the patches do not tile the input, or the width does not fit the heads or the positions.
    """
    with extra("train"):
        from timm.models.vision_transformer import VisionTransformer

    if config.size % config.patch:
        raise ValueError(f"patches of {config.patch} px do not tile an input of {config.size} px")
    if config.patch_embed != "linear" and config.patch % STRIDE:
        raise ValueError(f"patch_embed={config.patch_embed} needs patches of a multiple of {STRIDE} px, not {config.patch}")
    if config.width % config.heads:
        raise ValueError(f"width {config.width} is not a multiple of {config.heads} heads")
    vit = VisionTransformer(**vit_arguments(config))
    positions = sincos_positions(config.grid, config.width)
    if config.class_token:
        positions = torch.cat([torch.zeros(1, config.width), positions])
    if vit.pos_embed is None:
        raise ValueError("this ViT has no position embedding")
    vit.pos_embed.data.copy_(positions[None])
    vit.pos_embed.requires_grad_(False)
    return vit


def encode_visible(vit: "VisionTransformer", patches: Tensor, visible: Tensor) -> Tensor:
    """Run the ViT on some patches of each image, as MAE does (figure 4). The cost grows with V, not with G.

    Args:
        vit: from :func:`build_vit`.
        patches: (B, V, 3, p, p), normalised.
        visible: (B, V) int64, position of each patch in the grid.

    Returns:
        (B, V, width) normalised tokens of the last block. With all G patches in order, they equal timm's forward_features.
    """
    assert vit.pos_embed is not None
    tokens = embed(patches, vit.patch_embed.proj)
    places = vit.pos_embed[:, vit.num_prefix_tokens :].expand(len(patches), -1, -1)
    tokens = tokens + take(places, visible)
    if vit.cls_token is not None:
        start = vit.cls_token + vit.pos_embed[:, :1]
        tokens = torch.cat([start.expand(len(patches), -1, -1), tokens], dim=1)
    tokens = vit.norm(run_blocks(vit.blocks, vit.norm_pre(tokens), vit.grad_checkpointing))
    return tokens[:, vit.num_prefix_tokens :]


def run_blocks(blocks: nn.Sequential, tokens: Tensor, checkpointing: bool) -> Tensor:
    """Run all blocks: (B, L, D) -> (B, L, D). With checkpointing, only the input of each is kept for the backward pass."""
    if checkpointing and torch.is_grad_enabled():
        for block in blocks:
            tokens = checkpoint(block, tokens, use_reentrant=False, preserve_rng_state=False)  # a block draws no random number
        return tokens
    out: Tensor = blocks(tokens)
    return out


def prepare(part: nn.Module, compile: bool = False, checkpointing: bool = False) -> None:
    """Choose how the blocks of an encoder or a decoder are computed. The results stay the same; time and memory change.

    Args:
        part: an encoder from :func:`build_encoder` or a :class:`~clicv2lite.method.decoder.Decoder`. Copy it before this, not
            after.
        compile: fuse the operations of a block with torch.compile, in place. The names of the weights stay; results are equal
            up to rounding.
        checkpointing: compute the inside of each block again in the backward pass. Results are equal bit for bit.
    """
    if hasattr(part, "feature_info"):  # a network of timm's
        part.set_grad_checkpointing(checkpointing)  # type: ignore[operator]
        if checkpointing:
            _count_once(part)
    else:
        part.grad_checkpointing = checkpointing  # type: ignore[assignment]  # timm's own name for it
    if compile:
        for block in stages(part) if hasattr(part, "feature_info") else part.blocks:  # type: ignore[union-attr]
            block.compile()


def _count_once(part: nn.Module) -> None:
    """Have batch norm average over each image once: in a backward pass the inside of a block is computed a second time."""
    for norm in part.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.register_forward_pre_hook(partial(_average, norm.momentum))


def _average(momentum: float | None, norm: nn.modules.batchnorm._BatchNorm, given: object) -> None:
    again = torch._C._current_graph_task_id() != -1  # a backward pass is running
    norm.momentum = 0.0 if again else momentum
    if again and norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked -= 1  # the pass adds one


class ProjectionHead(nn.Sequential):
    """Two-layer MLP to the q and k that InfoNCE compares (equation 2): (..., width) -> (..., out), unit length."""

    def __init__(self, width: int, out: int = 256) -> None:
        super().__init__(nn.Linear(width, width), nn.GELU(), nn.Linear(width, out))

    def forward(self, tokens: Tensor) -> Tensor:
        return F.normalize(super().forward(tokens).float(), dim=-1)  # float32, even under autocast
