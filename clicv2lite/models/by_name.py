"""Load an encoder by name: the package's own, one of a run or a file, an untrained one, or any of timm's (book chapter 8)."""

from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from clicv2lite.ambient import own_settings
from clicv2lite.encoders.config import FrozenConfig, stored_config
from clicv2lite.encoders.frozen import FrozenEncoder, untrained_encoder
from clicv2lite.encoders.module import ModuleEncoder
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.encoders.side_by_side import SideBySide
from clicv2lite.encoders.timm_network import load_timm
from clicv2lite.encoders.weight_files import METADATA, WEIGHTS, encoder_files
from clicv2lite.errors import UserError
from clicv2lite.json_object import read_object
from clicv2lite.method.backbone import VIT
from clicv2lite.method.encoder import build_encoder
from clicv2lite.models.factory import call_factory, is_factory
from clicv2lite.ranges import shown

DEFAULT = Path(__file__).resolve().parents[1] / "models" / "default"  # the model that comes with the package

TIMM = ("timm:", "untrained:")
ENCODERS = "run folder, file, default, random, timm's NAME, timm:NAME@FILE, untrained:NAME, module:factory, or several: A+B"
"""What an option `--encoder` takes, in its help."""


@own_settings()
def load_encoder(spec: str | nn.Module, seed: int = 0) -> FrozenEncoder:
    """Load an encoder by name.

    >>> from clicv2lite.models.by_name import load_encoder
    >>> encoder = load_encoder("default")
    >>> encoder.width, encoder.config.encoder.patch
    (192, 16)

    Args:
        spec: ``default`` (the model that comes with the package), a folder that ``pretrain`` or ``probe`` wrote, a .safetensors
            file, ``random`` (the lite recipe's ViT, untrained), a network of timm's: ``NAME`` or ``timm:NAME`` with its
            pretrained weights, ``timm:NAME@FILE`` with those of a file, ``untrained:NAME`` with random ones, or
            ``module:factory``, a function of yours, see :mod:`clicv2lite.models.factory`. ``A+B`` are several of these side by
            side (:class:`~clicv2lite.encoders.side_by_side.SideBySide`), unless a file or folder has this very name. From
            Python also a module (:class:`~clicv2lite.encoders.module.ModuleEncoder`).
        seed: seed of random weights.

    Raises:
        UserError: if there is no such encoder, or its file is damaged.
    """
    if isinstance(spec, str) and is_factory(spec) and not spec.startswith(TIMM):
        made = call_factory(spec)
        if not isinstance(made, FrozenEncoder | nn.Module | str):
            raise UserError(f"{spec}: gives a {type(made).__name__}; return a FrozenEncoder, a module, or an encoder's name")
        encoder = made if isinstance(made, FrozenEncoder) else load_encoder(made, seed)
        encoder.name = spec if not isinstance(made, str) else encoder.name
        return encoder
    if isinstance(spec, nn.Module):
        return ModuleEncoder(spec)
    path = Path(spec)
    if "+" in spec and not path.exists():
        return SideBySide(spec, [load_encoder(one, seed) for one in spec.split("+")])
    for prefix in TIMM:
        if spec.startswith(prefix) and not path.exists():
            name, _, file = spec.removeprefix(prefix).partition("@")
            if prefix == "untrained:":
                return load_timm(spec.removeprefix(prefix), "untrained", seed)
            return load_timm(name, Path(file) if file else "pretrained")
    if spec == "random":
        return random_encoder(seed)
    if spec == "default":
        encoder = _load_folder(DEFAULT)
        encoder.name = spec
        return encoder
    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            raise UserError(f"{path}: no {WEIGHTS} in this folder; give the --out folder of a finished pretrain or probe")
        return _load_folder(path)
    if path.suffix == ".safetensors" or path.exists():
        return _load_file(path)
    return load_timm(spec)


def random_encoder(seed: int) -> FrozenEncoder:
    """The lite recipe's encoder before any training: the baseline that pretraining must beat."""
    from clicv2lite.recipes.library import lite  # imported here: recipes import timm, which takes seconds

    recipe = lite()
    return untrained_encoder("random", FrozenConfig(recipe.encoder, recipe.pool), seed)


def _load_folder(folder: Path) -> FrozenEncoder:
    first, *others = (_load_file(path) for path in encoder_files(folder))
    return SideBySide(first.name, [first, *others]) if others else first


def _load_file(path: Path) -> FrozenEncoder:
    if path.exists() and not path.is_file():  # a pipe would never end
        raise UserError(f"{path}: not a file; give a folder of `clicv2lite pretrain` or a .safetensors file")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        state = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from None
    try:
        config = stored_config(read_object(metadata[METADATA]))
        if config.encoder.backbone == VIT:
            with torch.device("meta"):  # its weights are replaced: they need no memory, and no random numbers
                net: nn.Module = PlainViT(config.encoder).load_timm(state)
        else:
            with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
                net = build_encoder(config.encoder)
            net.load_state_dict(state)  # as float32
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        why = shown(" ".join(str(error).split()))
        what = f"not an encoder written by clicv2lite ({why}); export one with `clicv2lite pretrain`"
        raise UserError(f"{path}: {what}") from None
    return FrozenEncoder(str(path), net, config)
