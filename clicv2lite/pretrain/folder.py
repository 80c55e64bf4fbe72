"""The folder of a run: its configuration, and its list of bad images (book chapter 7)."""

import json
from pathlib import Path

from tqdm import tqdm

from clicv2lite.distributed import Ranks
from clicv2lite.errors import UserError
from clicv2lite.files import write_bytes, write_json
from clicv2lite.provenance import provenance
from clicv2lite.recipes.recipe import EXECUTION, Recipe
from clicv2lite.recipes.settings import stored_recipe


def claim(out: Path, recipe: Recipe, count: int, resume: bool, ranks: Ranks) -> None:
    """Write config.json. On resume, check that the run in this folder has the same settings and the same number of images.

    Raises:
        UserError: if they differ, if the folder has a run and `resume` is false, or if the folder cannot be written.
    """
    path = out / "config.json"
    config = json.loads(json.dumps({"recipe": recipe.flat(), "images": count}))
    if path.is_file():
        if not resume:
            raise UserError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out")
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            # the file may lack newer settings: when it was written, they had only one value, their default
            before = {**recipe.own, **stored_recipe(stored["recipe"]).flat(), "images": stored["images"]}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{path}: not readable as a run's configuration; choose another --out") from None
        before, now = json.loads(json.dumps(before)), {**config["recipe"], "images": count}
        same = {*EXECUTION, "name", *(key for key in before | now if before.get(key) == now.get(key))}
        changed = [f"{key} {before.get(key)} -> {now.get(key)}" for key in sorted((before | now).keys() - same)]
        if changed:
            raise UserError(f"{out}: --resume with other settings ({', '.join(changed)}); choose another --out")
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, {**config, "ranks": ranks.size, **provenance(ranks.device)})
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from None


def list_bad(bad: dict[str, str], out: Path, ranks: Ranks) -> None:
    """Add the images that a rank could not decode (name -> reason) to bad_images.txt. All ranks call this together."""
    reasons = {reason for found in ranks.collect(bad) for reason in found.values()}
    path = out / "bad_images.txt"
    if not reasons or not ranks.first:
        return
    known = set(path.read_text().splitlines()) if path.is_file() else set()
    if reasons - known:
        write_bytes(path, "".join(f"{reason}\n" for reason in sorted(reasons | known)).encode())
        tqdm.write(f"{len(reasons | known)} images could not be decoded and were replaced; listed in {path}")
