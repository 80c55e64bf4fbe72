"""The whole pretrained model with heads and decoder, which chapters 4 and 5 look into (figure 4; book chapter 12)."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from clicv2lite.ambient import own_settings
from clicv2lite.device import CPU
from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.weight_files import WEIGHTS
from clicv2lite.errors import UserError
from clicv2lite.files import write_bytes, write_json
from clicv2lite.json_object import read_object
from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.models.by_name import model_folder
from clicv2lite.pretrain import checkpoint
from clicv2lite.pretrain.cost.room import check_memory
from clicv2lite.pretrain.optim import make_optimizer
from clicv2lite.recipes.recipe import Recipe
from clicv2lite.recipes.settings import check, stored_recipe

HEADS, CONFIG = "pretraining.safetensors", "config.json"


def load_recipe(spec: str | Path = "lite") -> Recipe:
    """The recipe that a model was pretrained with. Its `views` make the inputs that the model was trained on.

    Args:
        spec: the model "lite" or "default", which come with the package, or the folder of a run. "plus" was not
            pretrained: its encoder is that of "default".

    Raises:
        UserError: if the folder holds no readable configuration.
    """
    path = model_folder(spec) / CONFIG
    if path.exists() and not path.is_file():  # a pipe would never end
        raise UserError(f"{path}: not a file; give the --out folder of `clicv2lite pretrain`")
    try:
        return stored_recipe(read_object(path.read_text(encoding="utf-8"))["recipe"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: no configuration of a pretraining; give the --out folder of `clicv2lite pretrain`") from None


@own_settings()
def load_pretraining(spec: str | Path = "lite") -> CLICv2:
    """Query and key encoder, projection heads and decoder, in evaluation mode, without gradients, on the CPU.

    Args:
        spec: "lite" for the one that comes with the package, or the folder of a run, whose newest complete checkpoint is read.
            The model lite has no key encoder of its own: its query encoder takes that role, because at the end of a run, when
            the learning rate reaches zero, the momentum encoder is close to it.

    Raises:
        UserError: if there is no such model or checkpoint, or its files are damaged.
    """
    folder = model_folder(spec)
    recipe = load_recipe(spec)
    if recipe.method != "clicv2":
        raise UserError(f"{folder}: a run of method {recipe.method}; its encoder loads with `load_encoder`, the rest does not")
    check_memory(recipe, CPU, training=False)
    with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
        model = CLICv2(recipe.model)
    if (folder / HEADS).is_file():
        _load_exported(folder, model)
    elif not checkpoint.restore(folder / "checkpoints", model, make_optimizer(model, recipe)):
        raise UserError(f"{folder}: neither {HEADS} nor a whole checkpoint is in it; pretrain first, or take lite")
    return model.eval().requires_grad_(False)


def _elsewhere(command: str, name: str) -> str:
    """A run's command with ``--out runs/NAME``: others have other folders."""
    one = r"""(?:'[^']*'|"[^"]*"|[^\s'"])+"""  # a word of a shell, of quoted and plain parts
    return re.sub(rf"'--out=[^']*'|--out[ =]{one}", lambda _: f"--out runs/{shlex.quote(name)}", command)


def export(run: Path, folder: Path, pooling: Mapping[str, Any] | None = None, number: int = 1) -> None:
    """Write the newest checkpoint of a run as a model in float16 files: encoder, heads with decoder, configuration.

    Args:
        run: folder of a finished run of `clicv2lite pretrain`.
        folder: made if it is missing.
        pooling: settings that begin with ``pool_``, to replace those of the run. No weight depends on them.
        number: 1 replaces the model that is in the folder. A larger one adds an encoder to those that are there, with its
            configuration in ``config_2.json``, ..., and without heads and decoder.

    Raises:
        UserError: if the settings do not fit the run, or it has no checkpoint.
    """
    recipe = load_recipe(run).changed(pooling or {})
    check(recipe)
    model = load_pretraining(run)
    encoder = FrozenEncoder(str(run), model.query, FrozenConfig(recipe.encoder, recipe.pool))
    stored = read_object((run / CONFIG).read_text(encoding="utf-8"))  # load_recipe has read it
    command = _elsewhere(str(stored.get("command", "")), run.resolve().name)
    stored |= {"command": command, "recipe": recipe.flat()}
    if number > 1:
        encoder.save_numbered(folder, number, half=True)
        write_json(folder / numbered_config(number), stored)
        return
    encoder.save(folder, half=True)
    heads = {f"query_head.{k}": v for k, v in model.query_head.state_dict().items()}
    decoder = {f"decoder.{k}": v for k, v in model.decoder.state_dict().items()} if model.decoder else {}
    write_bytes(folder / HEADS, safetensors.torch.save({k: v.half().contiguous() for k, v in (heads | decoder).items()}))
    write_json(folder / CONFIG, stored)


def numbered_config(number: int) -> str:
    """Name of the file with the configuration of one of a folder's encoders; the first is number 1."""
    return CONFIG if number == 1 else f"config_{number}.json"


def _load_exported(folder: Path, model: CLICv2) -> None:
    try:
        encoder: dict[str, Tensor] = safetensors.torch.load_file(folder / WEIGHTS)
        parts = safetensors.torch.load_file(folder / HEADS)
        head = {k.removeprefix("query_head."): v for k, v in parts.items() if k.startswith("query_head.")}
        modules: list[tuple[nn.Module, dict[str, Any]]] = [
            (model.query, encoder),
            (model.key, encoder),
            (model.query_head, head),
            (model.key_head, head),
        ]
        if model.decoder:
            decoder = {k.removeprefix("decoder."): v for k, v in parts.items() if k.startswith("decoder.")}
            modules.append((model.decoder, decoder))
        for module, state in modules:
            module.load_state_dict(state)  # float16 to float32
    except (OSError, SafetensorError, RuntimeError):
        raise UserError(f"{folder}: its weights are damaged or do not fit its {CONFIG}; export or install it again") from None
