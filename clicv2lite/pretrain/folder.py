"""The folder of a run: its configuration, and its list of bad images (book, running pretraining)."""

import json
import os
from pathlib import Path
from typing import Any

from tqdm import tqdm

from clicv2lite.data.identity import identity
from clicv2lite.data.sources import ImageSet
from clicv2lite.distributed import Ranks
from clicv2lite.encoders.weight_files import WEIGHTS
from clicv2lite.errors import UserError
from clicv2lite.files import write_bytes, write_json
from clicv2lite.json_object import read_object
from clicv2lite.provenance import provenance
from clicv2lite.recipes.recipe import EXECUTION, Recipe
from clicv2lite.recipes.settings import ignored, stored_recipe

CONFIG, CHECKPOINTS = "config.json", "checkpoints"
FILES = (CONFIG, "recipe.toml", "metrics.jsonl", "probes.jsonl", "bad_images.txt", WEIGHTS)


def claim(out: Path, recipe: Recipe, images: ImageSet, resume: bool, ranks: Ranks) -> None:
    """Write config.json. On resume, check that the run in this folder has the same settings and the same images.

    Images are told apart by their names below the source and their sizes (:func:`clicv2lite.data.identity.identity`), so the
    data may be moved. A run of an earlier version stored only their number.

    Raises:
        UserError: if they differ, if the folder has a run and `resume` is false, if something else than a file has the name of
            one, or if the folder cannot be read or written.
    """
    path = out / CONFIG
    check_kinds(out)
    if path.is_file():
        if not resume:
            raise UserError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out")
        before, now = _stored(path, recipe), _as_json({**recipe.flat(), "images": len(images)})
        digest = before.pop("images_sha256", None)
        same = {*EXECUTION, *ignored(recipe), "name", *(key for key in before | now if before.get(key) == now.get(key))}
        changed = [f"{key} {before.get(key)} -> {now.get(key)}" for key in sorted((before | now).keys() - same)]
        if changed:
            raise UserError(f"{out}: --resume with other settings ({', '.join(changed)}); choose another --out")
        if digest not in (None, identity(images)):
            other = f"as many images as before ({len(images)}), but with other names or sizes"
            raise UserError(f"{out}: --resume with {other}; name those that the run began with, or choose another --out")
        return
    config = {"recipe": _as_json(recipe.flat()), "images": len(images), "images_sha256": identity(images)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, {**config, "ranks": ranks.size, **provenance(ranks.device)})
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from None


def check_kinds(out: Path) -> None:
    """Refuse a folder, a pipe, a device or a broken link where a run has a file: reading it would not end, or it be lost.

    Raises:
        UserError: that names it.
    """
    for name in FILES:
        if os.path.lexists(out / name) and not (out / name).is_file():
            raise UserError(f"{out / name}: not a file, or a broken link; remove it, or choose another --out")
    if os.path.lexists(out / CHECKPOINTS) and not (out / CHECKPOINTS).is_dir():
        raise UserError(f"{out / CHECKPOINTS}: not a folder; remove it, or choose another --out")


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
    """Add the images that a rank could not decode (name -> reason) to bad_images.txt. All ranks call this together."""
    reasons = {reason for found in ranks.collect(bad) for reason in found.values()}
    path = out / "bad_images.txt"
    if not reasons or not ranks.first:
        return
    known = set(path.read_text(encoding="utf-8", errors="replace").splitlines()) if path.is_file() else set()
    if reasons - known:
        write_bytes(path, "".join(f"{reason}\n" for reason in sorted(reasons | known)).encode())
        tqdm.write(f"{len(reasons | known)} images could not be decoded and were replaced; listed in {path}")
