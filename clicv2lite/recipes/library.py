"""Recipes: functions that return the complete, frozen configuration of a pretraining (CLICv2, section 4.1; chapter 7)."""

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clicv2lite.encoders.config import PoolConfig
from clicv2lite.errors import UserError
from clicv2lite.learners import METHODS
from clicv2lite.method.backbone import VIT, shape, wrong_name
from clicv2lite.method.decoder import DecoderConfig
from clicv2lite.method.encoder import SHAPES
from clicv2lite.ranges import shown
from clicv2lite.recipes.recipe import Recipe
from clicv2lite.recipes.settings import RENAMED, describe, ignored, kinds, misfit, read_settings, valued


def ci() -> Recipe:
    """Seconds on one core. It shows that the code runs; its features are useless."""
    return Recipe(
        name="ci", size=32, patch=8, width=32, depth=2, heads=2, project=16, decoder=DecoderConfig(width=16, depth=1, heads=2),
        momentum=0.99, own={"queue": 64}, batch=16, passes=640, warmup=64, lr=1e-3, store=40, save_every=5, log_every=5,
    )  # fmt: skip


def lite() -> Recipe:
    """Minutes on two CPU cores. Found by experiment; chapter 7 of the book has the table of attempts."""
    return Recipe(
        name="lite", size=128, patch=16, width=192, depth=4, heads=3, project=128,
        decoder=DecoderConfig(width=128, depth=2, heads=4), crop="window", color=0.2, blur=0.2, momentum=0.99,
        own={"queue": 4096}, batch=64, passes=256_000, warmup=6_400, lr=1e-3, store=224, save_every=200, log_every=20,
        pool=PoolConfig(blocks=(0, 1, 2, 3), statistics=("mean", "std", "max", "min"), size=288),
    )  # fmt: skip


def _paper(name: str, shape: str, patch: int, **others: Any) -> Recipe:
    """Section 4.1: IC1M, 300 epochs of 1.5 million images, batch 2048. Crops are cut from the files while they are read."""
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
    """For the paper's ViT-L/16*, on a set without mosaics: half of the images become mixes of their own crops as they are read.

    The paper's star means CLIC's additional images. For these, pack the set with ``data pack --mosaics published`` and take
    ``vit-l16`` (:mod:`clicv2lite.data.packing.mosaics`); :mod:`clicv2lite.method.crop_mix` says how this one differs.
    """
    return _paper("vit-l16-star", "vit-l", 16, micro=64, crop_mix=0.5)


RECIPES = {
    "ci": ci, "lite": lite, "vit-s32": vit_s32, "vit-b32": vit_b32, "vit-l16": vit_l16, "vit-l16-star": vit_l16_star
}  # fmt: skip


def get_recipe(name: str, settings: Sequence[str] = ()) -> Recipe:
    """A recipe by name or from a file, with some settings changed.

    Some settings follow others unless you set them: the learning rate grows linearly with the batch; the warm-up keeps its
    share of the passes; a method changes the settings that its record names; a backbone has the shape that its network has.

    >>> from clicv2lite.recipes.library import get_recipe
    >>> recipe = get_recipe("lite", ["batch=128"])
    >>> recipe.steps, recipe.lr  # lite has 4000 steps and 0.001 at its batch of 64
    (2000, 0.002)

    Args:
        name: a key of ``RECIPES``, or a TOML file: ``base = "lite"``, and one line for each setting that it changes.
        settings: ``key=value`` strings, as for ``--set``. They override the settings of a file.

    Raises:
        UserError: if the recipe or a key is unknown, a value has the wrong type, or values do not fit together.
    """
    base, changes = read_file(Path(name)) if is_recipe_file(name) else (name, {})
    if base not in RECIPES:
        where = name if base == name else f"{name}: base = {base!r}"
        or_file = ", or name a .toml file" if base == name else ""
        raise UserError(f"--recipe {where}: no such recipe; choose one of {', '.join(RECIPES)}{or_file}")
    asked = read_settings(settings)
    plain, changes = RECIPES[base](), changes | asked
    method = METHODS[changes.get("method", plain.method)]
    recipe = plain.changed({**method.brings, **_of_backbone(changes.get("backbone", plain.backbone))})
    changed = recipe.changed(changes)
    reason = misfit(changed) or _unread(plain, changed, asked, changes)
    if reason:
        of_file = is_recipe_file(name) and reason.partition("=")[0] not in asked
        raise UserError(f"--recipe {name}: {reason}" if of_file else f"--set {reason}")
    if "lr" not in changes:
        changed = changed.changed({"lr": recipe.lr * changed.batch / recipe.batch})
    if "warmup" not in changes:
        changed = changed.changed({"warmup": round(recipe.warmup * changed.passes / recipe.passes)})
    return changed


def _of_backbone(name: str) -> dict[str, Any]:
    """The settings that a backbone decides; an unknown one decides nothing, and is refused later."""
    return {} if name == VIT or wrong_name(name) else shape(name)


def _unread(base: Recipe, changed: Recipe, asked: Mapping[str, Any], changes: Mapping[str, Any]) -> str | None:
    """A setting that was asked for, and that has no effect, as ``key=value: why``; or a warm-up that never ends.

    Its default is no fault, and neither is a line of a recipe file that ``--set`` leaves without effect.
    """
    own = {field.name: field.default for method in METHODS.values() for field in dataclasses.fields(method.settings)}
    default, now = own | base.flat(), changed.flat()
    for key, by in sorted(ignored(changed).items()):
        if key in (asked if by in asked else changes) and now[key] != default[key]:
            return f"{key}={shown(now[key])}: {by}={shown(now[by])} does not read it; leave it out"
    if "warmup" in changes and changed.warmup > changed.passes:
        return f"warmup={changed.warmup}: longer than the run, which has passes={changed.passes}; give fewer"
    return None


def is_recipe_file(name: str) -> bool:
    """Whether ``--recipe`` names a file, and no recipe of ``RECIPES``."""
    return name.lower().endswith(".toml")


def read_file(path: Path) -> tuple[str, dict[str, Any]]:
    """The base of a recipe file, and the settings that it changes. Without a name in it, the recipe has the name of the file.

    Raises:
        UserError: if the file cannot be read, is not TOML, names no base, or has an unknown setting or one of a wrong type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors write a byte order mark
    except OSError as error:
        raise UserError(f"--recipe {path}: cannot be read ({error.strerror}); name a .toml file") from None
    except (ValueError, RecursionError) as error:  # not TOML, or not UTF-8, a number of 5,000 digits, lists without end
        line = 'write base = "lite" and key = value, one per line'
        raise UserError(f"--recipe {path}: is not TOML ({shown(error)}); {line}") from None
    base, known, changes = table.pop("base", None), kinds() | {"name": str}, {"name": path.stem}
    if not isinstance(base, str):
        raise UserError(f'--recipe {path}: names no base; begin with a line such as base = "lite"')
    for written, value in table.items():
        key = RENAMED.get(written, written)
        if key not in known:
            raise UserError(f"--recipe {path}: there is no setting {shown(written)}; choose one of {', '.join(sorted(known))}")
        if key in changes and key != "name":
            raise UserError(f"--recipe {path}: {key} is there twice, once by its earlier name; keep one of them")
        try:
            changes[key] = valued(value, known[key])
        except ValueError:
            text = shown(repr(value) if isinstance(value, str) else value)  # of a number in quotes, these are the mistake
            raise UserError(f"--recipe {path}: {key} = {text} must be {describe(known[key])}") from None
    return base, changes
