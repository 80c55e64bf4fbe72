"""Any network of timm's as a frozen encoder: with its pretrained weights, those of a file, or random ones (book chapter 8)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.lines import say
from clicv2lite.method.backbone import NAMED, about, arguments, shape, wrong_name
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.pixels import MEAN, STD

if TYPE_CHECKING:  # timm takes seconds to import; functions that need it import it
    from timm.models.vision_transformer import VisionTransformer

Weights = Path | Literal["pretrained", "untrained"]


def load_timm(name: str, weights: Weights = "pretrained", seed: int = 0) -> FrozenEncoder:
    """Load a network by timm's name, or one of :data:`~clicv2lite.method.backbone.NAMED`.

    A ViT with square patches is read by its tokens, every other network by its feature maps, at the size of timm's weights.

    Args:
        weights: ``pretrained`` for timm's, which timm downloads unless they are in its cache, a line says so; ``untrained`` for
            random ones; or a file with the weights of this network, with or without a classifier.
        seed: of the random weights.

    Raises:
        UserError: if timm has no such network, its weights cannot be loaded or do not fit, or it has no feature maps.
    """
    with extra("train"):
        import timm

    if name not in NAMED and not timm.is_model(name):
        raise UserError(f"{name}: neither a file, nor a folder, nor `random`, nor a timm model; check the spelling")
    if reason := wrong_name(name):
        raise UserError(f"{name}: {reason}")
    if (what := about(name)).fixed and what.size % what.stride:
        raise UserError(f"{name}: it takes {what.size} px only, no multiple of its stride {what.stride}; take another")
    size = max(1, round(what.size / what.stride)) * what.stride
    net = _create(name, size, weights, seed)
    title = {"pretrained": name, "untrained": f"untrained:{name}"}.get(str(weights), f"timm:{name}@{weights}")
    if (vit := _with_tokens(net)) is not None:
        if weights != "untrained":
            _take_our_normalisation(vit)
        blocks: Any = vit.blocks
        side, patch, heads = vit.patch_embed.img_size[0], vit.patch_embed.patch_size[0], blocks[0].attn.num_heads
        config = EncoderConfig(side, patch, vit.embed_dim, len(blocks), heads, vit.cls_token is not None)
        return FrozenEncoder(title, vit, FrozenConfig(config))
    backbone = name
    if weights != "untrained" and name not in NAMED and (tag := getattr(net, "pretrained_cfg", {}).get("tag")):
        backbone = f"{name.partition('.')[0]}.{tag}"  # its pixels are normalised as the weights expect
    found = FrozenConfig(EncoderConfig(size=size, backbone=backbone, **shape(backbone)))
    if reason := found.misfit():
        raise UserError(f"{name}: {reason}")
    return FrozenEncoder(title, net, found)


def _create(name: str, size: int, weights: Weights, seed: int) -> nn.Module:
    with extra("train"):
        import timm

    if isinstance(weights, Path):
        if not weights.is_file():
            raise UserError(f"{weights}: there is no such file; name one with the weights of {name}")
    elif weights == "pretrained":
        if name in NAMED and NAMED[name][1]:
            raise UserError(f"{name}: nobody has published weights of it; write untrained:{name} or timm:{name}@FILE")
        say(f"{name}: pretrained weights of timm's, from its cache or else downloaded; untrained:{name} has random ones")
    try:
        with torch.random.fork_rng(devices=[]):  # the weights are drawn on the CPU
            torch.default_generator.manual_seed(seed)
            net: nn.Module = timm.create_model(**arguments(name, size), pretrained=weights == "pretrained")
        if isinstance(weights, Path):
            _fill(net, weights)
    except Exception as error:  # timm raises whatever its download library and its networks do
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        if isinstance(weights, Path):
            raise UserError(f"{weights}: no weights of {name} ({reason}); name a file that timm wrote for it") from None
        raise UserError(f"{name}: timm could not load its pretrained weights ({reason}); is there a network?") from None
    return net


def _fill(net: nn.Module, file: Path) -> None:
    """Load the weights of a file, which may have more, such as a classifier; ValueError if it has less. No code is executed."""
    with extra("train"):
        from timm.models import load_state_dict

    missing = net.load_state_dict(load_state_dict(str(file), weights_only=True), strict=False).missing_keys
    if missing:
        raise ValueError(f"it has no {missing[0]}")


def _with_tokens(net: nn.Module) -> "VisionTransformer | None":
    """The network if it is a ViT whose tokens can be read as those of this package's: square patches of a square image."""
    with extra("train"):
        from timm.layers import PatchEmbed
        from timm.models.vision_transformer import VisionTransformer

    if not isinstance(net, VisionTransformer):
        return None
    if not (isinstance(net.patch_embed, PatchEmbed) and hasattr(net.blocks[0], "attn")):  # a hybrid, blocks side by side
        return None
    size, patch = net.patch_embed.img_size, net.patch_embed.patch_size
    return net if size is not None and size[0] == size[1] and patch[0] == patch[1] else None


def _take_our_normalisation(vit: "VisionTransformer") -> None:
    """Let a timm ViT read pixels with our normalisation: its first weights absorb the change of mean and deviation."""
    own: Any = vit.pretrained_cfg
    projection: Any = vit.patch_embed.proj
    (mean, std), (our_mean, our_std) = (torch.tensor(pair) for pair in ((own["mean"], own["std"]), (MEAN, STD)))
    with torch.no_grad():
        moved = (projection.weight * ((our_mean - mean) / std)[:, None, None]).sum((1, 2, 3))
        projection.bias = nn.Parameter(moved if projection.bias is None else projection.bias + moved)
        projection.weight *= (our_std / std)[:, None, None]
