"""Settings from the command line: text to a value of the annotated type, and values that fit together (book chapter 7)."""

import types
import typing
from typing import Any, Literal

from clicv2lite.errors import UserError
from clicv2lite.recipes.recipe import Recipe

# whole crops are compared: nothing is masked, no patch moves
IMAGE_WISE = {"mask_ratio": 0.0, "max_shift": 0, "augment": "image", "crop": "resized"}
# what a method brings along unless it is set: the crops and colours of MoCo v2, the weight of CLIC's complexity-aware loss
METHOD_SETTINGS: dict[str, dict[str, Any]] = {
    "clicv2": {},
    "moco": IMAGE_WISE | {"crop_min": 0.2, "color": 0.4, "blur": 0.5},
    "clic": IMAGE_WISE | {"crop_min": 0.2, "color": 0.4, "blur": 0.5, "weight": 0.25},
}


def parse(text: str, kind: Any) -> Any:
    """Read a value of the annotated type from text; ValueError if it does not fit."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
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


def describe(kind: Any) -> str:
    """The annotated type in words, for an error message."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " or ".join(args)
    if origin is tuple:
        return f"a comma-separated list of {describe(args[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if a is type(None) else describe(a) for a in args)
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]


def check(recipe: Recipe) -> None:
    """Raise UserError for values that cannot work together."""
    positive = ("size", "patch", "width", "depth", "heads", "project", "decoder_width", "decoder_depth", "decoder_heads",
                "queue", "batch", "passes", "lr", "temperature", "clip", "save_every", "log_every")  # fmt: skip
    for key in positive:
        if not getattr(recipe, key) > 0:
            raise UserError(f"--set {key}={getattr(recipe, key)}: must be above 0")
    for key in ("weight", "weight_decay", "warmup", "store", "micro", "pool_size", "pool_halvings", "seed"):
        if not getattr(recipe, key) >= 0:
            raise UserError(f"--set {key}={getattr(recipe, key)}: must be 0 or more")
    for key in ("mask_ratio", "momentum", "flip", "color", "blur", "crop_min", "tile", "beta1", "beta2"):
        if not 0 <= getattr(recipe, key) <= 1:
            raise UserError(f"--set {key}={getattr(recipe, key)}: must lie within 0..1")
    for width, heads in (("width", "heads"), ("decoder_width", "decoder_heads")):
        if getattr(recipe, width) % getattr(recipe, heads) or getattr(recipe, width) % 4:
            raise UserError(f"--set {width}={getattr(recipe, width)}: must be a multiple of 4 and of {heads}")
    if recipe.method != "clicv2":
        for key, only in IMAGE_WISE.items():
            if getattr(recipe, key) != only:
                raise UserError(f"--set {key}={getattr(recipe, key)}: method={recipe.method} has {key}={only}; leave it out")
        if recipe.queue > recipe.passes:
            raise UserError(f"--set queue={recipe.queue}: the run has no more than passes={recipe.passes} keys to fill it")
        if not recipe.store:
            raise UserError(f"--set store=0: method={recipe.method} crops an image twice; take store={recipe.size} or more")
        if recipe.tile:
            raise UserError(f"--set tile={recipe.tile}: method={recipe.method} has whole crops only; leave it out")
    if recipe.size % recipe.patch:
        raise UserError(f"--set patch={recipe.patch}: patches of {recipe.patch} px do not tile size={recipe.size}")
    if recipe.mask_ratio == 1:
        raise UserError("--set mask_ratio=1: no patch would be left to see; take less than 1")
    if recipe.crop == "window" and not recipe.store:
        raise UserError("--set store=0: crop=window looks at squares; take crop=resized, or a store of at least the size")
    if recipe.crop == "window" and recipe.store < recipe.size:
        raise UserError(f"--set store={recipe.store}: a window of size={recipe.size} needs at least that store")
    if recipe.tile and recipe.size % 2:
        raise UserError(f"--set tile={recipe.tile}: two by two cells need an even size, not {recipe.size}")
    if recipe.compare == "image" and recipe.negatives == "same-image":
        raise UserError("--set negatives=same-image: with compare=image an image has one feature, so no negatives in itself")
    if recipe.workers < -1 or recipe.workers == 0:
        raise UserError(f"--set workers={recipe.workers}: must be above 0, or -1 for as many as the cores allow")
    if 1 in (recipe.beta1, recipe.beta2):
        raise UserError("--set beta1 or beta2 to less than 1: at 1 AdamW would never forget a gradient")
    if recipe.seed >= 2**63:
        raise UserError(f"--set seed={recipe.seed}: must be below 2**63")
    if recipe.max_shift < -1:
        raise UserError(f"--set max_shift={recipe.max_shift}: must be -1 (a quarter of the patch) or more")
    least = 2 if recipe.unit == "normalised" else 1  # log2(1) = 0 cannot normalise
    if recipe.bins is not None and recipe.bins < least:
        raise UserError(f"--set bins={recipe.bins}: must be none or at least {least}")
    if not recipe.pool_statistics or not recipe.pool_blocks:
        raise UserError("--set pool_statistics and pool_blocks: name at least one each")
    if any(not -recipe.depth <= block < recipe.depth for block in recipe.pool_blocks):
        raise UserError(f"--set pool_blocks: with depth={recipe.depth} they lie within {-recipe.depth}..{recipe.depth - 1}")
    if (recipe.pool_size or recipe.size) % (recipe.patch << recipe.pool_halvings):
        halved = f" halved {recipe.pool_halvings} times" if recipe.pool_halvings else ""
        raise UserError(f"--set pool_size={recipe.pool_size}: patches of {recipe.patch} px do not tile it{halved}")
