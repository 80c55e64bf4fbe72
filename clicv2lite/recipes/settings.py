"""Settings from text, a file or a stored run: read them, and check their types, ranges and combinations (book chapter 7)."""

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from clicv2lite.errors import UserError
from clicv2lite.learners import METHODS
from clicv2lite.method.stem import STRIDE
from clicv2lite.ranges import OneOf, fault
from clicv2lite.recipes.recipe import PARTS, Recipe

RENAMED = {"weight": "auxiliary_weight", "key": "key_patches", "tile": "crop_mix"}
"""Old name -> name of a setting. Commands and files with the old names are still read."""
DROPPED = {"reduction": "mean"}
"""Settings that are gone, with the only value that a stored run may have."""


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
            raise UserError(f"--set {setting}: write key=value with one of {', '.join(sorted(known))}")
        try:
            changes[key] = parse(text, known[key])
        except ValueError:
            raise UserError(f"--set {setting}: {key} must be {describe(known[key])}") from None
    return changes


def parse(text: str, kind: Any) -> Any:
    """Read a value of the annotated type from text; ValueError if the text does not fit."""
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
    if kind is bool:
        return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else parse(text, int) > 0
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


def describe(kind: Any) -> str:
    """The annotated type in words, for an error message."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        names = next((bound.names for bound in args[1:] if isinstance(bound, OneOf)), None)
        return describe(args[0]) if names is None else " or ".join(names)
    if origin is Literal:
        return " or ".join(args)
    if origin is tuple:
        return f"a comma-separated list of {describe(args[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if a is type(None) else describe(a) for a in args)
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]


def stored_recipe(stored: Mapping[str, Any]) -> Recipe:
    """The recipe whose :meth:`clicv2lite.recipes.recipe.Recipe.flat` was stored, also by an earlier version of this package.

    Raises:
        KeyError, TypeError, ValueError: if this is not a stored recipe, or it has a setting that is gone.
    """
    values = {RENAMED.get(key, key): tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    for key, only in DROPPED.items():
        if values.pop(key, only) != only:
            raise ValueError(key)
    unknown = values.keys() - kinds().keys() - {"name"}
    if unknown:
        raise KeyError(*sorted(unknown))
    return Recipe().changed(values)


def misfit(recipe: Recipe) -> str | None:
    """A value outside its range, or values that cannot work together, as ``key=value: why``; None if all fit."""
    for each in (_check_ranges, _check_method, _check_shapes, _check_input, _check_pooling):
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
        for kind in (known.get(key), *typing.get_args(known.get(key))):  # the second: parts of a union such as `Count | None`
            if typing.get_origin(kind) is not Annotated or value is None or isinstance(value, str):
                continue
            wrong = fault(value, kind.__metadata__)
            if wrong:
                return f"{key}={value}: {wrong}"
    if recipe.workers == 0:
        return "workers=0: must be above 0, or -1 for as many as the cores allow"
    if recipe.seed >= 2**63:
        return f"seed={recipe.seed}: must be below 2**63"
    return None


def _check_method(recipe: Recipe) -> str | None:
    method = METHODS[recipe.method]
    for key, only in method.fixed.items():
        if getattr(recipe, key) != only:
            return f"{key}={getattr(recipe, key)}: method={recipe.method} has {key}={only}; leave it out"
    if method.crops > 1 and not recipe.store:
        return f"store=0: method={recipe.method} crops an image twice; take store={recipe.size} or more"
    if recipe.compare == "image" and recipe.negatives == "same-image":
        return "negatives=same-image: with compare=image an image has only one feature, so it has no such negatives"
    return method.check(recipe.learner, recipe.passes)


def _check_shapes(recipe: Recipe) -> str | None:
    for part, shape in (("", recipe.encoder), ("decoder_", recipe.decoder)):
        if shape.width % shape.heads or shape.width % 4:
            return f"{part}width={shape.width}: must be a multiple of 4 and of {part}heads"
    if recipe.size % recipe.patch:
        return f"patch={recipe.patch}: patches of {recipe.patch} px do not tile size={recipe.size}"
    if recipe.patch_embed != "linear" and recipe.patch % STRIDE:
        return f"patch={recipe.patch}: must be a multiple of {STRIDE} with patch_embed={recipe.patch_embed}"
    if recipe.crop_mix and recipe.size % 2:
        return f"crop_mix={recipe.crop_mix}: two by two cells need an even size, not {recipe.size}"
    if recipe.unit == "normalised" and recipe.bins == 1:
        return "bins=1: must be none or at least 2, since log2(1) = 0 cannot normalise"
    return None


def _check_input(recipe: Recipe) -> str | None:
    if recipe.crop == "given":
        return "crop=given: take store=0 instead; then crops come from the files"
    if recipe.crop == "window" and not recipe.store:
        return "store=0: crop=window needs squares; take crop=resized, or a store of at least the size"
    if recipe.crop == "window" and recipe.store < recipe.size:
        return f"store={recipe.store}: a window of size={recipe.size} needs at least that store"
    return None


def _check_pooling(recipe: Recipe) -> str | None:
    pool, depth, patch = recipe.pool, recipe.depth, recipe.patch
    if not pool.statistics or not pool.blocks:
        return "pool_statistics and pool_blocks: name at least one of each"
    if any(not -depth <= block < depth for block in pool.blocks):
        return f"pool_blocks: with depth={depth} they must be in {-depth}..{depth - 1}"
    if (pool.size or recipe.size) % (patch << pool.halvings):
        halved = f" halved {pool.halvings} times" if pool.halvings else ""
        return f"pool_size={pool.size}: patches of {patch} px do not tile it{halved}"
    return None
