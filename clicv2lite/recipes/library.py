"""Recipes: functions that return the complete, frozen configuration of a pretraining (CLICv2, section 4.1; chapter 7)."""

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

from clicv2lite.errors import UserError
from clicv2lite.method.encoder import SHAPES
from clicv2lite.recipes.recipe import EXECUTION, Recipe
from clicv2lite.recipes.settings import METHOD_SETTINGS, check, describe, parse

__all__ = [
    "EXECUTION", "METHOD_SETTINGS", "RECIPES", "Recipe", "ci", "get_recipe", "lite", "read_settings", "vit_b32", "vit_l16",
    "vit_l16_star", "vit_s32",
]  # fmt: skip


def ci() -> Recipe:
    """Seconds on one core: proves that the machinery runs; its features are worth nothing."""
    return Recipe(
        "ci", size=32, patch=8, width=32, depth=2, heads=2, project=16, decoder_width=16, decoder_depth=1,
        decoder_heads=2, momentum=0.99, queue=64, batch=16, passes=640, warmup=64, lr=1e-3, store=40, save_every=5, log_every=5,
    )  # fmt: skip


def lite() -> Recipe:
    """Minutes on two CPU cores; found by experiment, the table of tries is in the book's chapter 7."""
    return Recipe(
        "lite", size=128, patch=16, width=192, depth=4, heads=3, project=128, decoder_width=128, decoder_depth=2,
        decoder_heads=4, crop="window", color=0.2, blur=0.2, momentum=0.99, queue=4096, batch=64, passes=256_000,
        warmup=6_400, lr=1e-3, store=224, save_every=200, log_every=20, pool_blocks=(0, 1, 2, 3),
        pool_statistics=("mean", "std", "max", "min"), pool_size=288,
    )  # fmt: skip


def _paper(name: str, shape: str, patch: int, **others: Any) -> Recipe:
    """Section 4.1: IC1M, 300 epochs of 1.5 million images, batch 2048. Crops are taken from the files as they are read."""
    width, depth, heads = SHAPES[shape]
    return Recipe(name, patch=patch, width=width, depth=depth, heads=heads, store=0, **others)


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
    return _paper("vit-l16-star", "vit-l", 16, micro=64, tile=0.5)


RECIPES = {
    "ci": ci, "lite": lite, "vit-s32": vit_s32, "vit-b32": vit_b32, "vit-l16": vit_l16, "vit-l16-star": vit_l16_star
}  # fmt: skip


def get_recipe(name: str, settings: list[str] | None = None) -> Recipe:
    """A recipe by name, with settings changed.

    Some settings follow others unless they are set themselves: the learning rate grows linearly with the batch, the warm-up
    keeps its share of the passes, a method brings those of ``METHOD_SETTINGS``; one that crops an image twice keeps squares.

    Args:
        name: a key of ``RECIPES``.
        settings: ``key=value`` strings as given to ``--set``.

    Raises:
        UserError: for an unknown recipe or key, a value of the wrong type, or values that do not fit together.
    """
    if name not in RECIPES:
        raise UserError(f"--recipe {name}: no such recipe; choose one of {', '.join(RECIPES)}")
    recipe, changes = RECIPES[name](), read_settings(settings or [])
    method = changes.get("method", recipe.method)
    changed = dataclasses.replace(recipe, **METHOD_SETTINGS[method] | changes)
    if method != "clicv2" and "store" not in changes and not changed.store:
        changed = dataclasses.replace(changed, store=changed.size * 8 // 7)  # 256 for 224
    check(changed)
    if "lr" not in changes:
        changed = dataclasses.replace(changed, lr=recipe.lr * changed.batch / recipe.batch)
    if "warmup" not in changes:
        changed = dataclasses.replace(changed, warmup=round(recipe.warmup * changed.passes / recipe.passes))
    return changed


def read_settings(settings: Sequence[str], only: str = "") -> dict[str, Any]:
    """``key=value`` strings as values of a recipe's fields.

    Args:
        settings: as given to ``--set``.
        only: what keys must begin with.

    Raises:
        UserError: for an unknown key, or a value of the wrong type.
    """
    hints = {key: hint for key, hint in typing.get_type_hints(Recipe).items() if key.startswith(only) and key != "name"}
    changes: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in hints:
            raise UserError(f"--set {setting}: write key=value with one of {', '.join(sorted(hints))}")
        try:
            changes[key] = parse(text, hints[key])
        except ValueError:
            raise UserError(f"--set {setting}: {key} must be {describe(hints[key])}") from None
    return changes
