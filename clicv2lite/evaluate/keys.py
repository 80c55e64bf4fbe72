"""The key of a run: a digest of everything that it learns from, which a setting added later does not change (chapter 11).

Hashed are the settings that differ from ``key_reference.json``, a frozen copy of the defaults. So a new setting with its first
default keeps every key, and a default that changes later keeps them, too: the reference stays as it was.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from clicv2lite.data.identity import identity
from clicv2lite.data.sources import open_images
from clicv2lite.encoders.weight_files import WEIGHTS
from clicv2lite.json_object import read_object
from clicv2lite.learners import METHODS
from clicv2lite.recipes.recipe import EXECUTION, Recipe
from clicv2lite.recipes.settings import ignored, stored_recipe

REFERENCE: Mapping[str, Any] = json.loads(
    files("clicv2lite.evaluate").joinpath("key_reference.json").read_text(encoding="utf-8")
)
"""Setting -> the first default that it had. A new setting gets a line here; no line ever changes."""


def first_defaults() -> dict[str, Any]:
    """The reference, and today's default of a setting that has no line in it yet."""
    own = {key: value for method in METHODS.values() for key, value in asdict(method.settings()).items()}
    return own | Recipe().flat() | dict(REFERENCE)


def learned(recipe: Recipe) -> dict[str, Any]:
    """The settings that a run learns from and that differ from the reference, as JSON has them.

    Left out are the name of the recipe, how it is executed, and what its method does not read.
    """
    first = json.loads(json.dumps(first_defaults()))
    unread = {*EXECUTION, "name", *(key for key, by in ignored(recipe).items() if by == "method")}
    settings: dict[str, Any] = json.loads(json.dumps(recipe.flat()))
    return {key: value for key, value in sorted(settings.items()) if key not in unread and value != first[key]}


def run_key(recipe: Recipe, images: Sequence[str]) -> str:
    """Twelve hexadecimal digits of everything that a run learns from: settings, and the names and sizes of its images."""
    return _key(recipe, *_listed(tuple(images)))


def baseline_key(name: str, settings: Mapping[str, Any], seed: int) -> str:
    """Twelve hexadecimal digits of what a supervised baseline learns from beside its ratings: its settings and its seed."""
    return digest(json.dumps([name, dict(settings), seed], sort_keys=True).encode())


def untrained_key(shape: Sequence[str], seed: int) -> str:
    """The key of an untrained encoder of a seed: of its configuration, and of how it is read, as a result keeps them."""
    return digest(json.dumps([*shape, seed]).encode())


def is_finished(folder: Path) -> bool:
    """Whether a run's encoder is there: `pretrain` writes it last."""
    return (folder / WEIGHTS).is_file()


def stored_key(folder: Path) -> str:
    """The key of a run of `pretrain` in a folder, from its config.json.

    Raises:
        OSError, KeyError, TypeError, ValueError: if there is none that this version can read.
    """
    stored = read_object((folder / "config.json").read_text(encoding="utf-8"))
    return _key(stored_recipe(stored["recipe"]), stored["images"], stored["images_sha256"])


def digest(data: bytes) -> str:
    """The first twelve hexadecimal digits of SHA-256."""
    return hashlib.sha256(data).hexdigest()[:12]


def _key(recipe: Recipe, count: int, listing: str) -> str:
    return digest(json.dumps([learned(recipe), count, listing]).encode())


@cache  # reading the index of a thousand tars once is enough
def _listed(images: tuple[str, ...]) -> tuple[int, str]:
    """How many images the sources hold, and the digest of their listing, as config.json has them."""
    found = open_images(images)
    return len(found), identity(found)
