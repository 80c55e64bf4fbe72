"""The folder of a run: its configuration, and its list of bad images (book, running pretraining)."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clicv2lite.distributed import Ranks
from clicv2lite.encoders.weight_files import WEIGHTS
from clicv2lite.errors import UserError
from clicv2lite.files import reason, remove_leftovers, write_bytes, write_json
from clicv2lite.json_object import read_object
from clicv2lite.lines import say
from clicv2lite.provenance import provenance
from clicv2lite.recipes.recipe import EXECUTION, Recipe
from clicv2lite.recipes.settings import ignored, stored_recipe

CONFIG, RECIPE, CHECKPOINTS, TENSORBOARD = "config.json", "recipe.toml", "checkpoints", "tensorboard"
FILES = (CONFIG, RECIPE, "metrics.jsonl", "probes.jsonl", "bad_images.txt", WEIGHTS)
RESULTS = ("metrics.jsonl", "probes.jsonl", WEIGHTS)  # and checkpoints: with the first of them, a folder holds a run


def claim(
    out: Path, recipe: Recipe, images: Mapping[str, Any], resume: bool, ranks: Ranks, recipe_file: bytes | None = None
) -> bool:
    """Write config.json and the copy of the recipe's file. On resume, check instead that the settings and images are the same.

    A folder holds a run from its first result on. Before that, a corrected command may claim it again: one that failed on its
    images, say, has left nothing but its configuration.

    Args:
        images: ``images``, their number, and ``images_sha256``, their :func:`clicv2lite.data.identity.identity`, so the data
            may be moved. A run of an earlier version stored only the number.
        recipe_file: content of the file that the recipe was read from; None if it has none.

    Returns:
        whether a run begins here, and config.json was written.

    Raises:
        UserError: if they differ, if the folder has a run and `resume` is false, or the results of a run without its
            config.json, or a recipe.toml that no attempt of ours has left, if something else than a file has the name of one,
            or if the folder cannot be read or written.
    """
    path = out / CONFIG
    check_kinds(out)
    remove_leftovers(out, FILES.__contains__)
    before, result = _stored(path, recipe) if path.is_file() else None, _result(out)
    if result and before is None:
        raise UserError(f"{result}: of a run whose {CONFIG} is gone; put that back, or choose another --out")
    if result and before is not None:
        if not resume:
            raise UserError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out")
        now, digest = _as_json({**recipe.flat(), "images": images["images"]}), before.pop("images_sha256", None)
        same = {*EXECUTION, *ignored(recipe), "name", *(key for key in before | now if before.get(key) == now.get(key))}
        changed = [f"{key} {before.get(key)} -> {now.get(key)}" for key in sorted((before | now).keys() - same)]
        if changed:
            raise UserError(f"{out}: --resume with other settings ({', '.join(changed)}); choose another --out")
        if digest not in (None, images["images_sha256"]):
            other = f"as many images as before ({images['images']}), but with other names or sizes"
            raise UserError(f"{out}: --resume with {other}; name those that the run began with, or choose another --out")
        if (out / WEIGHTS).is_file() and not any((out / CHECKPOINTS).glob("step-*.safetensors")):
            raise UserError(f"{out}: a finished run whose checkpoints are gone, so nothing to go on with; choose another --out")
        return False
    copy = out / RECIPE
    if before is None and copy.is_file() and copy.read_bytes() != recipe_file:  # not of an attempt of ours
        raise UserError(f"{copy}: another recipe than that of this run; name it with --recipe, or choose another --out")
    config = {"recipe": _as_json(recipe.flat()), **images}
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, {**config, "ranks": ranks.size, **provenance(ranks.device)})
        if recipe_file is None:
            copy.unlink(missing_ok=True)  # of an attempt that failed before its first result
        else:
            write_bytes(copy, recipe_file)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({reason(error)}); make room there, or name another") from None
    return True


def check_kinds(out: Path) -> None:
    """Refuse a folder, a pipe, a device or a broken link where a run has a file: reading it would not end, or it be lost.

    Raises:
        UserError: that names it.
    """
    for name in FILES:
        if os.path.lexists(out / name) and not (out / name).is_file():
            raise UserError(f"{out / name}: not a file, or a broken link; remove it, or choose another --out")
    for name in (CHECKPOINTS, TENSORBOARD):
        if os.path.lexists(out / name) and not (out / name).is_dir():
            raise UserError(f"{out / name}: not a folder; remove it, or choose another --out")


def _result(out: Path) -> Path | None:
    """Something that a run has computed: a checkpoint, a row of a log, an encoder; None if there is nothing yet."""
    found = (*(out / CHECKPOINTS).glob("step-*.safetensors"), *(out / name for name in RESULTS))
    return next((path for path in found if path.is_file() and path.stat().st_size), None)


def _stored(path: Path, recipe: Recipe) -> dict[str, Any]:
    """The settings of the run in a folder, with "images" and, if it was stored, "images_sha256"; errors as `claim`."""
    try:
        stored = read_object(path.read_text(encoding="utf-8"))
        # the file may lack newer settings: when it was written, they had only one value, their default
        before = {**recipe.own, **stored_recipe(stored["recipe"]).flat(), "images": stored["images"]}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); correct that, or choose another --out") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not readable as a run's configuration; choose another --out") from None
    return _as_json(before | {key: stored[key] for key in ("images_sha256",) if key in stored})


def _as_json(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as they come back from a file: lists in place of tuples."""
    found: dict[str, Any] = json.loads(json.dumps(settings))
    return found


def list_bad(bad: dict[str, str], out: Path, ranks: Ranks) -> None:
    """Add the images that a rank could not decode (name -> reason) to bad_images.txt. All ranks call this together.

    Threads that decode may add to `bad` meanwhile.
    """
    reasons = {reason for found in ranks.collect(dict(bad)) for reason in found.values()}
    path = out / "bad_images.txt"
    if not reasons or not ranks.first:
        return
    known = set(path.read_text(encoding="utf-8", errors="replace").splitlines()) if path.is_file() else set()
    if reasons - known:
        write_bytes(path, "".join(f"{reason}\n" for reason in sorted(reasons | known)).encode())
        say(f"{len(reasons | known)} images could not be decoded and were replaced; listed in {path}")
