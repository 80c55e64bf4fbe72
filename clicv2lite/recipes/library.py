"""Recipes: functions that return the complete, frozen configuration of a pretraining (CLICv2, section 4.1; chapter 7)."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clicv2lite.encoders.frozen import PoolConfig
from clicv2lite.errors import UserError
from clicv2lite.learners import METHODS
from clicv2lite.method.decoder import DecoderConfig
from clicv2lite.method.encoder import SHAPES
from clicv2lite.recipes.recipe import Recipe
from clicv2lite.recipes.settings import RENAMED, check, describe, kinds, read_settings, valued


def ci() -> Recipe:
    """Seconds on one core: proves that the machinery runs; its features are worth nothing."""
    return Recipe(
        name="ci", size=32, patch=8, width=32, depth=2, heads=2, project=16, decoder=DecoderConfig(width=16, depth=1, heads=2),
        momentum=0.99, own={"queue": 64}, batch=16, passes=640, warmup=64, lr=1e-3, store=40, save_every=5, log_every=5,
    )  # fmt: skip


def lite() -> Recipe:
    """Minutes on two CPU cores; found by experiment, the table of tries is in the book's chapter 7."""
    return Recipe(
        name="lite", size=128, patch=16, width=192, depth=4, heads=3, project=128,
        decoder=DecoderConfig(width=128, depth=2, heads=4), crop="window", color=0.2, blur=0.2, momentum=0.99,
        own={"queue": 4096}, batch=64, passes=256_000, warmup=6_400, lr=1e-3, store=224, save_every=200, log_every=20,
        pool=PoolConfig(blocks=(0, 1, 2, 3), statistics=("mean", "std", "max", "min"), size=288),
    )  # fmt: skip


def _paper(name: str, shape: str, patch: int, **others: Any) -> Recipe:
    """Section 4.1: IC1M, 300 epochs of 1.5 million images, batch 2048. Crops are taken from the files as they are read."""
    width, depth, heads = SHAPES[shape]
    return Recipe(name=name, patch=patch, width=width, depth=depth, heads=heads, store=0, **others)


def vit_s32() -> Recipe:
    """The paper's ViT-S/32."""
    return _paper("vit-s32", "vit-s", 32)


def vit_b32() -> Recipe:
    """The paper's ViT-B/32."""
    return _paper("vit-b32", "vit-b", 32)


def vit_l16() -> Recipe:
    """The paper's ViT-L/16."""
    return _paper("vit-l16", "vit-l", 16, micro=64)


def vit_l16_star() -> Recipe:
    """The paper's ViT-L/16*: with CLIC's data-set augmentation (:mod:`clicv2lite.method.crop_mix`) of every other image."""
    return _paper("vit-l16-star", "vit-l", 16, micro=64, crop_mix=0.5)


RECIPES = {
    "ci": ci, "lite": lite, "vit-s32": vit_s32, "vit-b32": vit_b32, "vit-l16": vit_l16, "vit-l16-star": vit_l16_star
}  # fmt: skip


def get_recipe(name: str, settings: Sequence[str] = ()) -> Recipe:
    """A recipe by name or from a file, with settings changed.

    Some settings follow others unless they are set themselves: the learning rate grows linearly with the batch, the warm-up
    keeps its share of the passes, a method brings those of its record; one that crops an image twice keeps squares.

    Args:
        name: a key of ``RECIPES``, or a TOML file: ``base = "lite"``, and a line for each setting that it changes.
        settings: ``key=value`` strings as given to ``--set``; they count more than those of a file.

    Raises:
        UserError: for an unknown recipe or key, a value of the wrong type, or values that do not fit together.
    """
    base, changes = read_file(Path(name)) if name.endswith(".toml") else (name, {})
    if base not in RECIPES:
        raise UserError(f"--recipe {base}: no such recipe; choose one of {', '.join(RECIPES)}, or give a .toml file")
    recipe, changes = RECIPES[base](), changes | read_settings(settings)
    method = METHODS[changes.get("method", recipe.method)]
    changed = recipe.changed({**method.brings, **changes})
    if method.crops > 1 and "store" not in changes and not changed.store:
        changed = changed.changed({"store": changed.size * 8 // 7})  # 256 for 224
    check(changed)
    if "lr" not in changes:
        changed = changed.changed({"lr": recipe.lr * changed.batch / recipe.batch})
    if "warmup" not in changes:
        changed = changed.changed({"warmup": round(recipe.warmup * changed.passes / recipe.passes)})
    return changed


def read_file(path: Path) -> tuple[str, dict[str, Any]]:
    """The base of a recipe file and what it changes, the name included: the file's own, unless it gives one.

    Raises:
        UserError: if it cannot be read, is not TOML, names no base, or a setting in it is unknown or of another type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--recipe {path}: cannot be read ({error.strerror}); name a .toml file") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise UserError(f'--recipe {path}: is not TOML ({error}); write base = "lite" and key = value, a line each') from None
    base, known, changes = table.pop("base", None), kinds() | {"name": str}, {"name": path.stem}
    if not isinstance(base, str):
        raise UserError(f'--recipe {path}: names no base; begin with a line such as base = "lite"')
    for written, value in table.items():
        key = RENAMED.get(written, written)
        if key not in known:
            raise UserError(f"--recipe {path}: there is no setting {written}; choose of {', '.join(sorted(known))}")
        try:
            changes[key] = valued(value, known[key])
        except ValueError:
            raise UserError(f"--recipe {path}: {key} = {value!r} must be {describe(known[key])}") from None
    return base, changes
