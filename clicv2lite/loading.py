"""An encoder by its name: the package's, a run's, a file's, an untrained one, or a ViT of timm's (book chapter 8)."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from clicv2lite.encoder import EncoderConfig, build_vit
from clicv2lite.errors import UserError
from clicv2lite.features import DEFAULT, METADATA, WEIGHTS, FrozenConfig, FrozenEncoder, PoolConfig
from clicv2lite.plain_vit import PlainViT
from clicv2lite.views import MEAN, STD

if TYPE_CHECKING:  # timm takes seconds to import; what needs it imports it
    from timm.models.vision_transformer import VisionTransformer


def load_encoder(spec: str, seed: int = 0) -> FrozenEncoder:
    """Load an encoder by name.

    Args:
        spec: ``default`` (the model that comes with the package), a run folder (of ``pretrain`` or ``probe``), a .safetensors
            file, ``random`` (the lite recipe's ViT, untrained), or the name of a timm model with pretrained weights.
        seed: of the random encoder.

    Raises:
        UserError: if there is no such encoder, or its file is damaged.
    """
    path = Path(spec)
    if spec == "random":
        return random_encoder(seed)
    if spec == "default":
        encoder = _load_file(DEFAULT / WEIGHTS)
        encoder.name = spec
        return encoder
    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            raise UserError(f"{path}: no {WEIGHTS} in this folder; give the --out folder of a finished pretrain or probe")
        return _load_file(path / WEIGHTS)
    if path.suffix == ".safetensors" or path.exists():
        return _load_file(path)
    return _load_timm(spec)


def random_encoder(seed: int) -> FrozenEncoder:
    """The lite recipe's encoder before any training: the baseline that pretraining must beat."""
    from clicv2lite.pretrain.recipes import lite  # the recipe describes a training; only its shapes are needed here

    recipe = lite()
    return untrained_encoder("random", FrozenConfig(recipe.encoder, recipe.pool), seed)


def untrained_encoder(name: str, config: FrozenConfig, seed: int) -> FrozenEncoder:
    """An encoder of any shape as it is before the first step; torch's own random numbers stay where they are."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FrozenEncoder(name, build_vit(config.encoder), config)


def _load_file(path: Path) -> FrozenEncoder:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        state = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from None
    try:
        stored = json.loads(metadata[METADATA])
        config = FrozenConfig(EncoderConfig(**stored["encoder"]), _pool_config(stored["pool"]))
        net = PlainViT(config.encoder).load_timm(state)
    except (KeyError, TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError):
        raise UserError(f"{path}: not an encoder written by clicv2lite; export one with `clicv2lite pretrain`") from None
    return FrozenEncoder(str(path), net, config)


def _pool_config(stored: dict[str, Any]) -> PoolConfig:
    later = {name: stored[name] for name in ("read", "halvings") if name in stored}  # older files were written without them
    return PoolConfig(tuple(stored["blocks"]), tuple(stored["statistics"]), stored["size"], **later)


def _load_timm(name: str) -> FrozenEncoder:
    import timm
    from timm.models.vision_transformer import VisionTransformer

    if not timm.is_model(name):
        raise UserError(f"{name}: neither a file, nor a folder, nor `random`, nor a timm model; check the spelling")
    try:
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
    """Let a timm ViT read pixels normalised as ours: what its own mean and deviation change goes into its first weights."""
    own: Any = vit.pretrained_cfg
    projection: Any = vit.patch_embed.proj
    (mean, std), (our_mean, our_std) = (torch.tensor(pair) for pair in ((own["mean"], own["std"]), (MEAN, STD)))
    with torch.no_grad():
        moved = (projection.weight * ((our_mean - mean) / std)[:, None, None]).sum((1, 2, 3))
        projection.bias = nn.Parameter(moved if projection.bias is None else projection.bias + moved)
        projection.weight *= (our_std / std)[:, None, None]
