"""Load an encoder by name: the package's own, one of a run or a file, an untrained one, or any of timm's (book chapter 8)."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from clicv2lite.ambient import own_settings
from clicv2lite.encoders.config import FrozenConfig, stored_config
from clicv2lite.encoders.frozen import FrozenEncoder, untrained_encoder
from clicv2lite.encoders.module import ModuleEncoder
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.encoders.side_by_side import SideBySide
from clicv2lite.encoders.timm_network import load_timm
from clicv2lite.encoders.weight_files import METADATA, WEIGHTS, encoder_files
from clicv2lite.errors import UserError
from clicv2lite.extras import need
from clicv2lite.json_object import read_object
from clicv2lite.method.backbone import VIT
from clicv2lite.method.encoder import build_encoder
from clicv2lite.models.factory import call_factory, is_factory
from clicv2lite.ranges import shown

DEFAULT = Path(__file__).resolve().parents[1] / "models" / "default"
SHIPPED = {"default": DEFAULT, "plus": DEFAULT.with_name("plus"), "lite": DEFAULT.with_name("lite")}
"""The models that come with the package, by name: an encoder by CLICv2's losses with a stem and no shift; the same with
hand-crafted formulas beside it; and one by the recipe `lite` as it stands, with the heads and the decoder of its training."""
HANDCRAFTED = "handcrafted"
NAMED = ("default", "lite", HANDCRAFTED)  # what an encoder's file may name, in place of weights: nothing that a user makes

TIMM = ("timm:", "untrained:")
ENCODERS = (
    "run folder, file, default, lite, plus, handcrafted (formulas), random, timm's NAME, timm:NAME@FILE, untrained:NAME, "
    "module:factory, or several: A+B"
)
"""What an option `--encoder` takes, in its help."""


@own_settings()
def load_encoder(spec: str | Path | nn.Module, seed: int = 0) -> FrozenEncoder:
    """Load an encoder by name.

    >>> from clicv2lite.models.by_name import load_encoder
    >>> encoder = load_encoder("default")
    >>> encoder.width, encoder.config.encoder.patch
    (192, 16)

    Args:
        spec: ``default``, ``lite`` or ``plus`` (the models that come with the package), ``handcrafted`` (eleven formulas, no
            network), a folder that ``pretrain`` or ``probe`` wrote, a .safetensors file, ``random`` (the lite recipe's ViT,
            untrained), a network of timm's: ``NAME`` or ``timm:NAME`` with its pretrained weights, ``timm:NAME@FILE`` with
            those of a file, ``untrained:NAME`` with random ones, or ``module:factory``, a function of yours, see
            :mod:`clicv2lite.models.factory`. ``A+B`` are several of these side by side
            (:class:`~clicv2lite.encoders.side_by_side.SideBySide`), unless a file or folder has this very name. From Python
            also a module (:class:`~clicv2lite.encoders.module.ModuleEncoder`). A ``Path`` is a folder or a file, never a name.
        seed: seed of random weights.

    Raises:
        UserError: if there is no such encoder, or its file is damaged.
    """
    if isinstance(spec, nn.Module):
        return ModuleEncoder(spec)
    if isinstance(spec, Path):
        return _load_path(spec)
    path = Path(spec)
    if is_factory(spec) and not spec.startswith(TIMM):
        made = call_factory(spec)
        if not isinstance(made, FrozenEncoder | nn.Module | str):
            raise UserError(f"{spec}: gives a {type(made).__name__}; return a FrozenEncoder, a module, or an encoder's name")
        encoder = made if isinstance(made, FrozenEncoder) else load_encoder(made, seed)
        encoder.name = spec if not isinstance(made, str) else encoder.name
        return encoder
    own = spec.startswith(TIMM) and Path(spec.partition("@")[2]).is_file()  # a file of weights may have a + in its name
    if "+" in spec and not path.exists() and not own:
        return SideBySide(spec, [_joining(one, seed) for one in spec.split("+")])
    for prefix in TIMM:
        if spec.startswith(prefix) and not path.exists():
            name, _, file = spec.removeprefix(prefix).partition("@")
            if prefix == "untrained:":
                return load_timm(spec.removeprefix(prefix), "untrained", seed)
            return load_timm(name, Path(file) if file else "pretrained")
    if spec == "random":
        return random_encoder(seed)
    if spec == HANDCRAFTED:
        return _handcrafted()
    if spec in SHIPPED:
        encoder = _load_path(SHIPPED[spec])
        encoder.name = spec
        return encoder
    if path.suffix == ".safetensors" or path.exists():
        return _load_path(path)
    return load_timm(spec)


def model_folder(spec: str | Path) -> Path:
    """The folder of a model: the package's, if a str is the name of one, else the path itself."""
    return spec if isinstance(spec, Path) else SHIPPED.get(spec, Path(spec))


def random_encoder(seed: int) -> FrozenEncoder:
    """The lite recipe's encoder before any training: the baseline that pretraining must beat."""
    from clicv2lite.recipes.library import lite  # imported here: recipes import timm, which takes seconds

    recipe = lite()
    return untrained_encoder("random", FrozenConfig(recipe.encoder, recipe.pool), seed)


def _handcrafted() -> FrozenEncoder:
    need("plus", "skimage", "scipy", who=f"the encoder {HANDCRAFTED}")
    room = import_module("clicv2lite.baselines.measures.encoder")  # it stands below this one, and is found by its name
    encoder: FrozenEncoder = room.HandcraftedEncoder()
    return encoder


def _joining(name: str, seed: int = 0) -> FrozenEncoder:
    """An encoder that others stand beside: the package's own are stored by their names then."""
    encoder = load_encoder(name, seed)
    if name in NAMED:
        encoder.named = name
    return encoder


def _load_path(path: Path) -> FrozenEncoder:
    if not path.is_dir():
        return _load_file(path)
    if not (path / WEIGHTS).is_file():
        raise UserError(f"{path}: no {WEIGHTS} in this folder; give the --out folder of a finished pretrain or probe")
    first, *others = (_load_file(file) for file in encoder_files(path))
    return SideBySide(str(path / WEIGHTS), [first, *others]) if others else first


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
        about = read_object(metadata[METADATA])
        if "named" not in about:
            return FrozenEncoder(str(path), *_network(about, state))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        why = shown(" ".join(str(error).split()))
        what = f"not an encoder written by clicv2lite ({why}); export one with `clicv2lite pretrain`"
        raise UserError(f"{path}: {what}") from None
    return _named(path, about)


def _network(about: Mapping[str, Any], state: dict[str, Tensor]) -> tuple[nn.Module, FrozenConfig]:
    config = stored_config(about)
    if config.encoder.backbone == VIT:
        with torch.device("meta"):  # its weights are replaced: they need no memory, and no random numbers
            return PlainViT(config.encoder).load_timm(state), config
    with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
        net = build_encoder(config.encoder)
    net.load_state_dict(state)  # as float32
    return net, config


def _named(path: Path, about: Mapping[str, Any]) -> FrozenEncoder:
    """The encoder that a file without weights names; not any name, for the file may be a stranger's."""
    if (name := about["named"]) not in NAMED:
        raise UserError(f"{path}: names the encoder {shown(name)}, which is not known; clicv2lite may be too old for this file")
    encoder = _joining(name)
    if encoder.digest() != about.get("digest"):
        raise UserError(f"{path}: {name} was another encoder in the clicv2lite that wrote this; run probe --out again")
    return encoder
