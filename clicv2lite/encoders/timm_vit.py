"""A pretrained timm ViT as a frozen encoder with the same input normalisation as ours (book chapter 8)."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.pixels import MEAN, STD

if TYPE_CHECKING:  # timm takes seconds to import; functions that need it import it
    from timm.models.vision_transformer import VisionTransformer


def load_timm(name: str) -> FrozenEncoder:
    """Load a ViT with timm's pretrained weights by its name.

    Raises:
        UserError: if timm has no such model, cannot load its weights, or the model is not a ViT with a square input.
    """
    with extra("train"):
        import timm
        from timm.models.vision_transformer import VisionTransformer

    if not timm.is_model(name):
        raise UserError(f"{name}: neither a file, nor a folder, nor `random`, nor a timm model; check the spelling")
    try:
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
            vit = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # timm raises whatever its download library does
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise UserError(f"{name}: timm could not load its pretrained weights ({reason}); is there a network?") from None
    if not isinstance(vit, VisionTransformer):
        raise UserError(f"{name}: not a timm VisionTransformer; give the name of a ViT")
    size, patch = vit.patch_embed.img_size, vit.patch_embed.patch_size
    if size is None or size[0] != size[1]:
        raise UserError(f"{name}: only ViTs with a square input are supported")
    _take_our_normalisation(vit)
    heads: Any = vit.blocks[0].attn.num_heads  # type: ignore[union-attr]
    shape = EncoderConfig(size[0], patch[0], vit.embed_dim, len(vit.blocks), heads, vit.cls_token is not None)
    return FrozenEncoder(name, vit, FrozenConfig(shape))


def _take_our_normalisation(vit: "VisionTransformer") -> None:
    """Let a timm ViT read pixels with our normalisation: its first weights absorb the change of mean and deviation."""
    own: Any = vit.pretrained_cfg
    projection: Any = vit.patch_embed.proj
    (mean, std), (our_mean, our_std) = (torch.tensor(pair) for pair in ((own["mean"], own["std"]), (MEAN, STD)))
    with torch.no_grad():
        moved = (projection.weight * ((our_mean - mean) / std)[:, None, None]).sum((1, 2, 3))
        projection.bias = nn.Parameter(moved if projection.bias is None else projection.bias + moved)
        projection.weight *= (our_std / std)[:, None, None]
