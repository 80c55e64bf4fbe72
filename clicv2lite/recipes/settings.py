"""Settings from text, a file or a stored run: read them, and check their types, ranges and combinations (book chapter 7)."""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.errors import UserError
from clicv2lite.learners import METHODS
from clicv2lite.learners.base import Run
from clicv2lite.method.backbone import VIT, may_checkpoint, unfit
from clicv2lite.method.masking import visible_count
from clicv2lite.ranges import OneOf, describe, shown
from clicv2lite.ranges import misfit as misfit_of
from clicv2lite.recipes.recipe import PARTS, Recipe

RENAMED = {"weight": "auxiliary_weight", "key": "key_patches", "tile": "crop_mix"}
"""Old name -> name of a setting. Commands and files with the old names are still read."""
DROPPED = {"reduction": "mean"}
"""Settings that are gone, with the only value that a stored run may have."""

IDLE: tuple[tuple[str, Callable[[Recipe], bool], tuple[str, ...]], ...] = (
    ("crop", lambda recipe: recipe.crop == "window", ("crop_min",)),
    ("augment", lambda recipe: recipe.augment == "none" and not recipe.crop_mix, ("flip", "color", "blur")),
    ("augment", lambda recipe: recipe.augment == "image" and not recipe.crop_mix, ("flip",)),
    ("target", lambda recipe: recipe.target in ("pixels", "frequency", "none"), ("bins", "unit")),
    ("target", lambda recipe: recipe.target == "none" and METHODS[recipe.method].decodes,
     ("auxiliary_weight", "decoder_width", "decoder_depth", "decoder_heads")),
    ("optimizer", lambda recipe: recipe.optimizer == "sgd", ("beta2",)),
    ("fill", lambda recipe: recipe.fill != "zeros", ("zeros",)),
    ("max_shift", lambda recipe: recipe.max_shift == 0, ("zeros", "fill")),
)  # fmt: skip
"""A setting, when its value leaves others without effect, and which."""


def kinds() -> dict[str, Any]:
    """Name of each setting on the command line -> its type, with its range if it has one."""
    found = typing.get_type_hints(Recipe, include_extras=True)
    for part in PARTS:
        hints = typing.get_type_hints(found.pop(part), include_extras=True)
        found |= {f"{part}_{key}": kind for key, kind in hints.items()}
    for method in METHODS.values():
        found |= typing.get_type_hints(method.settings, include_extras=True)
    return {key: kind for key, kind in found.items() if key not in ("name", "own")}


def read_settings(settings: Sequence[str], only: str = "") -> dict[str, Any]:
    """Read ``key=value`` strings into a dict.

    Args:
        settings: the strings, as for ``--set``.
        only: text that every key must begin with.

    Raises:
        UserError: if a key is unknown, or a value has the wrong type.
    """
    known = {key: kind for key, kind in kinds().items() if key.startswith(only)}
    changes: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = RENAMED.get(key, key)
        if not equals or key not in known:
            raise UserError(f"--set {shown(setting)}: write key=value with one of {', '.join(sorted(known))}")
        try:
            changes[key] = parse(text, known[key])
        except ValueError:
            raise UserError(f"--set {shown(setting)}: {key} must be {describe(known[key])}") from None
    return changes


def parse(text: str, kind: Any) -> Any:
    """Read a value of the annotated type from text; ValueError if the text does not fit. Ranges are not checked here."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        value = parse(text, args[0])
        if any(isinstance(bound, OneOf) and value not in bound.names for bound in args[1:]):
            raise ValueError(text)
        return value
    if origin in (typing.Union, types.UnionType):
        return None if text.lower() == "none" else parse(text, next(a for a in args if a is not type(None)))
    if origin is Literal:
        if text not in args:
            raise ValueError(text)
        return text
    if origin is tuple:
        return tuple(parse(part, args[0]) for part in text.split(",") if part)
    if kind is not str and not text.isascii():  # Python also reads digits of other scripts
        raise ValueError(text)
    if kind is bool:
        words = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in words:
            raise ValueError(text)
        return words[text.lower()]
    if kind is int:
        return int(text.replace("_", ""))
    return kind(text)


def valued(value: Any, kind: Any) -> Any:
    """Convert a value of a TOML file to the annotated type; ValueError if it does not fit."""
    found = parse(",".join(map(str, value)) if isinstance(value, list) else str(value), kind)
    in_quotes = isinstance(value, str) and not isinstance(found, str | None)  # a number in quotes
    if in_quotes or isinstance(value, dict) or (isinstance(value, list) and not isinstance(found, tuple)):
        raise ValueError(value)
    return found


def stored_recipe(stored: Mapping[str, Any]) -> Recipe:
    """The recipe whose :meth:`clicv2lite.recipes.recipe.Recipe.flat` was stored, also by an earlier version of this package.

    Raises:
        KeyError, TypeError, ValueError: if this is not a stored recipe, it has a setting that is gone, or a value cannot be.
    """
    values = {RENAMED.get(key, key): tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    for key, only in DROPPED.items():
        if values.pop(key, only) != only:
            raise ValueError(key)
    unknown = values.keys() - kinds().keys() - {"name"}
    if unknown:
        raise KeyError(*sorted(unknown))
    recipe = Recipe().changed(values)
    if reason := misfit(recipe):
        raise ValueError(reason)
    return recipe


def misfit(recipe: Recipe) -> str | None:
    """A value outside its range, or values that cannot work together, as ``key=value: why``; None if all fit."""
    for each in (_check_ranges, _check_shapes, _check_method, _check_input):
        reason = each(recipe)
        if reason:
            return reason
    return None


def check(recipe: Recipe) -> None:
    """Raise UserError if there is a :func:`misfit`."""
    if reason := misfit(recipe):
        raise UserError(f"--set {reason}")


def _check_ranges(recipe: Recipe) -> str | None:
    known = kinds()
    for key, value in recipe.flat().items():
        if reason := misfit_of(value, known.get(key, str)):
            return f"{key}={shown(value)}: {reason}"
    if recipe.workers == 0:
        return "workers=0: must be above 0, or -1 for as many as the cores allow"
    return None


def _check_method(recipe: Recipe) -> str | None:
    method = METHODS[recipe.method]
    for key, only in method.fixed.items():
        if getattr(recipe, key) != only:
            others = " or ".join(name for name, other in METHODS.items() if key not in other.fixed)
            what = f"{key}={shown(getattr(recipe, key))}: method={recipe.method} has {key}={only}"
            return f"{what}; leave it out{others and f', or take method={others}'}"
    if recipe.compare == "image" and recipe.negatives == "same-image":
        return "negatives=same-image: with compare=image an image has only one feature, so it has no such negatives"
    visible = visible_count((recipe.size // recipe.patch) ** 2, recipe.mask_ratio)
    compared = method.compared(recipe.model, visible)
    return method.check(Run(recipe.learner, recipe.passes, recipe.batch, compared, recipe.negatives))


def ignored(recipe: Recipe) -> dict[str, str]:
    """Settings without effect in this recipe -> the one that says so: its method, or an entry of `IDLE`."""
    own = {name: {f.name for f in dataclasses.fields(method.settings)} for name, method in METHODS.items()}
    idle = {key: by for by, when, keys in IDLE if when(recipe) for key in keys}
    unread = {*METHODS[recipe.method].ignores, *(set().union(*own.values()) - own[recipe.method])}
    return idle | dict.fromkeys(unread, "method")


def _check_shapes(recipe: Recipe) -> str | None:
    if reason := FrozenConfig(recipe.encoder, recipe.pool).misfit():
        return reason
    if recipe.backbone != VIT and (reason := _wrong_backbone(recipe)):
        return reason
    if recipe.decoder.width % recipe.decoder.heads or recipe.decoder.width % 4:
        return f"decoder_width={recipe.decoder.width}: must be a multiple of 4 and of decoder_heads"
    if recipe.crop_mix and recipe.size % 2:
        return f"crop_mix={recipe.crop_mix}: two by two cells need an even size, not {recipe.size}"
    if recipe.unit == "normalised" and recipe.bins == 1:
        return "bins=1: must be none or at least 2, since log2(1) = 0 cannot normalise"
    return None


def _wrong_backbone(recipe: Recipe) -> str | None:
    if "." in recipe.backbone:
        plain = recipe.backbone.partition(".")[0]
        return f"backbone={recipe.backbone}: names pretrained weights, and training starts from random ones; write {plain}"
    if recipe.size < 2 * recipe.patch:
        return f"size={recipe.size}: the last map of backbone={recipe.backbone} has one place; take {2 * recipe.patch} or more"
    if reason := unfit(recipe.backbone, recipe.size):
        return f"backbone={recipe.backbone}: {reason}"
    if recipe.checkpointing and not may_checkpoint(recipe.backbone):
        return f"checkpointing=true: timm has none for backbone={recipe.backbone}; leave it out"
    return None


def _check_input(recipe: Recipe) -> str | None:
    if recipe.crop == "given":
        return "crop=given: take store=0 instead; then crops come from the files"
    if recipe.crop == "window" and not recipe.store:
        return "store=0: crop=window needs squares; take crop=resized, or a store of at least the size"
    if recipe.crop == "window" and recipe.store < recipe.size:
        return f"store={recipe.store}: a window of size={recipe.size} needs at least that store"
    return None
