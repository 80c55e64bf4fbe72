"""`clicv2lite release RUN [RUN ...] --ratings CSV`: make the default model out of finished pretrainings (book chapter 12).

Weights are rounded to float16, ridge is fitted on the rounded encoder, what the rounding changes is measured, and the
model card is written from the numbers of the files beside it. The encoder of each further run, or with `--add` of the first,
too, joins those that are there already: one head reads them side by side. A released model in place of runs gives its
encoders as they are, to be read in another way (`--set`).
"""

import argparse
import copy
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import read_square
from clicv2lite.data.rated.table import Ratings, read_ratings
from clicv2lite.device import add_device, choose_device
from clicv2lite.encoders.config import FrozenConfig, PoolConfig
from clicv2lite.encoders.frozen import FrozenEncoder, untrained_encoder
from clicv2lite.encoders.side_by_side import SideBySide
from clicv2lite.encoders.weight_files import encoder_files
from clicv2lite.errors import UserError
from clicv2lite.evaluate.card import RELEASE, card
from clicv2lite.files import write_bytes, write_json
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.json_object import read_object
from clicv2lite.method.encoder import encode_visible
from clicv2lite.method.views import draws_per_image, make_views
from clicv2lite.models.by_name import DEFAULT, HANDCRAFTED, SHIPPED, load_encoder
from clicv2lite.models.model import Model, check_no_pretraining, load_model, pooled
from clicv2lite.outputs import add_output, locked
from clicv2lite.pretrain.export import HEADS, export, load_pretraining, load_recipe, numbered_config
from clicv2lite.pretrain.log import read_log
from clicv2lite.probe.crossval import cross_validate, folds
from clicv2lite.probe.invariance import unseen_category
from clicv2lite.probe.metrics import RESAMPLES, report
from clicv2lite.probe.task import add_score_range, groups
from clicv2lite.recipes.library import RECIPES, get_recipe, read_settings
from clicv2lite.recipes.recipe import Recipe
from clicv2lite.recipes.settings import stored_recipe

CARD = "model_card.md"
NAMES = (*SHIPPED, HANDCRAFTED, "random")  # what `load_encoder` takes for one of these


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `release`."""
    parser.add_argument("run", type=Path, nargs="+", help="folder of a finished `clicv2lite pretrain`, or of a released model")
    parser.add_argument("--ratings", required=True, type=Path, metavar="CSV", help="table image,score[,category] to fit on")
    add_score_range(parser)
    pool_help = "how its tokens are read, where not as in the run: pool_read, pool_size, ...; no weight depends on it"
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=pool_help)
    parser.add_argument(
        "--add", action="store_true", help="put the first, too, beside the encoders that are there, in place of replacing them"
    )
    add_device(parser)
    add_output(parser, "--out", folder=True, locked=False, default=DEFAULT, help="where (default: in the package)")


def run(args: argparse.Namespace) -> int:
    """Export, fit, measure, write the card; exit status 0, or that of `probe` if it failed."""
    out, device = _folder(Path(os.path.relpath(args.out))), choose_device(args.device)
    ratings = read_ratings(str(args.ratings), args.score_range)  # before anything in `out` is replaced
    if args.add and not (out / RELEASE).is_file():
        raise UserError(f"--add: {out} holds no released model; leave --add out for the first run")
    runs: list[Path] = args.run
    for run in runs:
        load_recipe(run)  # what is no run is refused before the first of them takes its minutes
    released = next((run for run in runs if (run / RELEASE).is_file()), None)
    if released and (args.add or len(runs) > 1):
        raise UserError(f"{released}: a released model; name it alone and without --add, or the runs that it was made of")
    check_no_pretraining(out)
    pooling = read_settings(args.set, "pool_")
    words = ["probe", "--encoder", str(out), "--ratings", str(args.ratings), "--head", "ridge", "--folds", "5"]
    words += ["--device", args.device] if args.device != "auto" else []
    words += ["--within-categories"] if ratings.categories else []
    words += ["--score-range", *map(str, args.score_range)] if args.score_range else []
    for place, run in enumerate(runs):
        number = _released(out) + 1 if args.add or place else 1
        with locked(out, folder=True):  # in between, `probe` has the lock
            read_again(run, out, pooling) if released else export(run, out, pooling, number)
        if code := subprocess.run([sys.executable, "-m", "clicv2lite", *words, "--out", str(out)], check=False).returncode:
            return code  # its own process, so that probe.json names a command that anyone can repeat
        with locked(out, folder=True):
            measured = measure_again if released else measure if number == 1 else measure_added
            write_json(out / RELEASE, measured(run, out, ratings, device))
            write_bytes(out / CARD, card(out).encode())
    print((out / CARD).read_text(encoding="utf-8"))
    return 0


def _folder(path: Path) -> Path:
    """A path whose text names no model, even if the folder is called as one: `probe` gets it as a word of its command."""
    return path.resolve() if str(path) in NAMES else path


def _released(folder: Path) -> int:
    """How many encoders a released model has, without one that a call which was interrupted left beside them."""
    return 1 + len(read_object((folder / RELEASE).read_text("utf-8")).get("added", []))


def read_again(model: Path, folder: Path, pooling: Mapping[str, Any]) -> None:
    """Write the encoders of a released model, to be read in another way, with their configurations and the other weights.

    Args:
        model: its folder. folder: made if it is missing; the same one is allowed.
        pooling: settings that begin with ``pool_``, to replace those of the model. No weight depends on them.

    Raises:
        UserError: if the settings do not fit its encoders, or a file that `release` writes is not there.
    """
    encoder = load_encoder(model).read_as(pooling)
    names = [numbered_config(number) for number in range(1, len(encoder.members) + 1)]
    with_heads = HEADS in read_object((model / RELEASE).read_text("utf-8"))["bytes"]
    needed = [*names, HEADS] if with_heads else names
    if missing := [name for name in needed if not (model / name).is_file()]:
        raise UserError(f"{model}: {missing[0]} is not in it; name a whole folder that `release` wrote, or the runs")
    configs = [read_object((model / name).read_text("utf-8")) for name in names]
    heads = (model / HEADS).read_bytes() if with_heads else None  # all is read before anything is written
    encoder.save(folder, half=True)  # float16 before, too: nothing is rounded again
    if heads:
        write_bytes(folder / HEADS, heads)
    else:
        (folder / HEADS).unlink(missing_ok=True)  # of a model that was here before
    for number, config in enumerate(configs, 1):
        recipe = stored_recipe(config["recipe"]).changed(pooling)
        write_json(folder / numbered_config(number), config | {"recipe": recipe.flat()})


def measure(run: Path, folder: Path, ratings: Ratings, device: torch.device) -> dict[str, Any]:
    """What training, reading, rounding to float16 and the missing key encoder change, and what the pretraining cost."""
    model, recipe, whole = load_model(folder, device), load_recipe(folder), load_pretraining(run)
    paths = list(ratings.paths)[::5]  # every fifth says enough about a rounding
    config = FrozenConfig(recipe.encoder, recipe.pool)
    run_config = FrozenConfig(recipe.encoder, load_recipe(run).pool)
    precise = FrozenEncoder(str(run), copy.deepcopy(whole.query), config).to(device)
    untrained = _untrained(folder).to(device)
    moved = np.abs(model.score(paths) - Model(precise, model.head).score(paths))

    images = torch.stack([read_square(path, recipe.store or recipe.size) for path in photographs().values()])
    noise = torch.rand(len(images), draws_per_image(recipe.views), generator=torch.Generator().manual_seed(0))
    views = make_views(images, noise, recipe.views)
    query = whole.query_head(encode_visible(whole.query, views.query, views.visible))
    key = whole.key_head(encode_visible(whole.key, views.query, views.visible))
    pairs = [p.flatten() for p in whole.query.parameters()], [p.flatten() for p in whole.key.parameters()]
    weights, others = (torch.cat(side) for side in pairs)
    return {
        "same_folds": {
            "untrained": probe(untrained, ratings),
            "pooling_of_the_run": probe(FrozenEncoder(str(run), precise.vit, run_config), ratings),
            **_unseen(model.encoder, ratings),
        },
        "float16": {"images": len(paths), "largest_difference": float(moved.max()), "mean_difference": float(moved.mean())},
        "key": {
            "patches": query.shape[0] * query.shape[1],
            "mean_cosine": float((query * key).sum(-1).mean()),
            "smallest_cosine": float((query * key).sum(-1).min()),
            "relative_distance_of_weights": float((weights - others).norm() / weights.norm()),
        },
        "pretraining": _cost(run),
        "bytes": _bytes(folder),
    }


def measure_added(run: Path, folder: Path, ratings: Ratings, device: torch.device) -> dict[str, Any]:
    """The release of the model before, with what the encoder that joined changes: each alone, its rounding, its cost."""
    model = load_model(folder, device)
    *before, added = model.encoder.parts
    precise = FrozenEncoder(str(run), load_pretraining(run).query, added.config).to(device)
    paths = list(ratings.paths)[::5]
    moved = np.abs(model.score(paths) - Model(SideBySide("precise", [*before, precise]), model.head).score(paths))
    release = read_object((folder / RELEASE).read_text("utf-8"))
    return release | {
        "same_folds": release["same_folds"]
        | {
            "untrained": probe(_untrained(folder).to(device), ratings),
            "alone": [probe(encoder, ratings) for encoder in model.encoder.parts],
            **_unseen(model.encoder, ratings),
        },
        "float16": {"images": len(paths), "largest_difference": float(moved.max()), "mean_difference": float(moved.mean())},
        "added": [*release.get("added", [])[: len(before) - 1], _cost(run)],
        "bytes": _bytes(folder),
    }


def measure_again(before: Path, folder: Path, ratings: Ratings, device: torch.device) -> dict[str, Any]:
    """The release of a model, with what depends on how its encoders are read or on the ratings measured again.

    What the rounding changed is not: the weights before it are those of the runs.
    """
    encoder, release = load_model(folder, device).encoder, read_object((before / RELEASE).read_text("utf-8"))
    recipe = _recipe(folder, 1)
    plain = get_recipe(recipe.name).pool if recipe.name in RECIPES else PoolConfig()
    same: dict[str, Any] = {
        "untrained": probe(_untrained(folder).to(device), ratings),
        "pooling_of_the_run": probe(FrozenEncoder("", encoder.parts[0].net, FrozenConfig(recipe.encoder, plain)), ratings),
        **_unseen(encoder, ratings),
    }
    if len(encoder.parts) > 1:
        same["alone"] = [probe(part, ratings) for part in encoder.parts]
    return release | {"same_folds": same, "bytes": _bytes(folder), "read_again": True}


def _untrained(folder: Path) -> FrozenEncoder:
    """Encoders of the same shapes and readings as a model's, before any training."""
    recipes = [_recipe(folder, number) for number in range(1, len(encoder_files(folder)) + 1)]
    untrained = [untrained_encoder("untrained", FrozenConfig(r.encoder, r.pool), r.seed) for r in recipes]
    return SideBySide("untrained", untrained) if len(untrained) > 1 else untrained[0]


def _recipe(folder: Path, number: int) -> Recipe:
    return stored_recipe(read_object((folder / numbered_config(number)).read_text("utf-8"))["recipe"])


def _cost(run: Path) -> dict[str, Any]:
    last = read_log(run / "metrics.jsonl")[-1]
    return {name: last[name] for name in ("step", "passes", "seconds", "images_per_second")}


def _bytes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.glob("*.safetensors"))}


def _unseen(encoder: FrozenEncoder, ratings: Ratings) -> dict[str, Any]:
    """What to expect of a kind of image that nobody rated: each category by a head fitted on the others, if there are any."""
    categories = ratings.categories or []
    sizes = Counter(categories).values()
    if len(sizes) < 2 or min(sizes) < 2:  # a single rating has no difference to fit
        return {}
    features = pooled(encoder, list(ratings.paths))
    return {"unseen_category": unseen_category(features, categories, ratings.scores, within=True)}


def probe(encoder: FrozenEncoder, ratings: Ratings) -> dict[str, Any]:
    """Mean PCC and its interval of ridge on an encoder, on the same folds as the model's own."""
    tests = folds(len(ratings), 5, ratings.categories, 0)
    within = groups(bool(ratings.categories), ratings.categories, "ratings")
    predictions = cross_validate(fit_ridge, pooled(encoder, list(ratings.paths)), ratings.scores, tests, within)
    result = report(ratings.scores, predictions, ratings.categories, RESAMPLES, 0)
    return {key: result[key] for key in ("mean_pcc", "mean_pcc_ci", "pcc")}
