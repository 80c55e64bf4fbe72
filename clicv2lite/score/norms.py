"""`clicv2lite norms`: what the scores of a model mean, by a reference and by people's ratings (book chapter 12)."""

import argparse
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clicv2lite.arrays import Floats
from clicv2lite.data.tars.index import TarImages
from clicv2lite.data.tars.remote import is_address
from clicv2lite.device import add_device, choose_device, cores
from clicv2lite.errors import UserError, check_counts
from clicv2lite.files import put_json
from clicv2lite.json_object import read_object
from clicv2lite.models.model import MODELS, Model, load_model
from clicv2lite.models.norms import fingerprint, quantiles
from clicv2lite.outputs import add_output
from clicv2lite.probe.conformal import coverage, half_widths, held_out
from clicv2lite.probe.crossval import check_inner, left_by
from clicv2lite.probe.encoding import encode_task
from clicv2lite.probe.metrics import report
from clicv2lite.probe.task import add_score_range, add_within_categories, load_task
from clicv2lite.provenance import stamped
from clicv2lite.score.arguments import ImageRow, expand, find_images
from clicv2lite.score.resume import recalled, score_places
from clicv2lite.score.table import Table, check_same_model

FEWEST = 50  # images of a kind below which its quantiles say little
FOLDS, SEEDS = 5, (0, 1, 2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `norms`."""
    parser.add_argument(
        "--images",
        nargs="+",
        action="extend",
        required=True,
        metavar="SRC",
        help="the reference: as `clicv2lite score` takes them",
    )
    parser.add_argument("--name", required=True, help="what these images are, in a few words")
    parser.add_argument("--model", default="default", metavar="M", help=MODELS)
    add_output(parser, "--csv", help="keep the scores in this table, so that an interrupted run goes on")
    parser.add_argument(
        "--ratings", type=Path, metavar="CSV", help="table image,score[,category] that a ridge head was fitted on"
    )
    add_score_range(parser)
    add_within_categories(parser)
    parser.add_argument("--jobs", type=int, metavar="N", help="threads that decode and encode (default: one per core)")
    add_device(parser)
    add_output(
        parser, "--out", required=True, help="write the norms here; as norms.json in the model's folder they are its own"
    )


def run(args: argparse.Namespace) -> int:
    """Score the reference, cross-validate the ratings, write the file; 1 if an image failed, else 0."""
    began = time.perf_counter()
    check_counts(jobs=args.jobs)
    model = load_model(args.model, args.device)
    if args.within_categories and not args.ratings:
        raise UserError("--within-categories: this says how --ratings are fitted; give a table of them")
    if args.score_range and not args.ratings:
        raise UserError("--score-range: this says what --ratings mean; give a table of them")
    if args.ratings and model.head.kind != "ridge":
        raise UserError(f"--ratings {args.ratings}: only a ridge head can be fitted again here; leave them out")
    rows = find_images(expand(args.images))
    if len(rows) < FEWEST:
        raise UserError(f"--images: there are {len(rows)}; a reference needs {FEWEST} or more")
    interval = _interval(model, args) if args.ratings else None
    scored = _scored(rows, model, args)
    scores = np.array([row.score for row in scored if row.score is not None])
    if len(scores) < FEWEST:
        raise UserError(f"--images: {len(scores)} could be scored; a reference needs {FEWEST} or more")
    found = {
        "reference": args.name,
        "head": fingerprint(model.head),
        "n": len(scores),
        "failed": len(rows) - len(scores),
        "quantiles": _rounded(quantiles(scores)),
        "kinds": _by_kind(scored),
        "interval": interval,
    }
    put_json(args.out, stamped(found, began, choose_device(args.device)), "--out")
    print(f"{len(scores)} scores, median {np.median(scores):.3f}; kinds: {', '.join(found['kinds']) or 'none named'}")
    return 1 if found["failed"] else 0


def _scored(rows: Sequence[ImageRow], model: Model, args: argparse.Namespace) -> list[ImageRow]:
    table = Table(args.csv) if args.csv else None
    if table:
        check_same_model(table, rows, model)
    scored, missing = recalled(rows, table)
    score_places(scored, missing, model, table, jobs=args.jobs or cores())
    return scored


def kinds(rows: Sequence[ImageRow]) -> list[str | None]:
    """(n,) the kind of each image of a tar whose `key.json` names one, as `{"kind": "photo"}` beside key.jpg; else None."""
    parts = {part for row in rows if row.archive is not None for part in row.archive.parts}
    tars = {part.path for part in parts if isinstance(part, TarImages) and not is_address(part.path)}
    known: dict[str, str] = {}
    for tar in sorted(tars):
        with tarfile.open(tar) as file:
            for member in file:
                if member.isfile() and member.name.endswith(".json") and (content := file.extractfile(member)):
                    try:
                        kind = read_object(content.read()).get("kind")
                    except ValueError:
                        continue
                    if isinstance(kind, str):
                        known[f"{tar}/{member.name.removesuffix('.json')}"] = kind
    return [known.get(row.image.rpartition(".")[0]) for row in rows]


def _by_kind(rows: Sequence[ImageRow]) -> dict[str, Any]:
    named = [(kind, row.score) for row, kind in zip(rows, kinds(rows), strict=True) if kind and row.score is not None]
    parts = {kind: np.array([score for other, score in named if other == kind]) for kind in sorted({kind for kind, _ in named})}
    return {kind: {"n": len(s), "quantiles": _rounded(quantiles(s))} for kind, s in parts.items() if len(s) >= FEWEST}


def _interval(model: Model, args: argparse.Namespace) -> dict[str, Any]:
    """Half-widths for new images, and how often intervals made in this way hold a rating that they have not seen."""
    task = load_task(str(args.ratings), None, FOLDS, args.score_range, args.within_categories)
    check_inner(left_by(len(task.paths), FOLDS), FOLDS, f"--ratings {args.ratings}")
    inputs, task, skipped = encode_task(model.encoder, "ridge", task, 32)
    check_inner(left_by(len(task.paths), FOLDS), FOLDS, f"--ratings {args.ratings}")
    predictions = held_out(inputs, task.scores, task.categories, task.groups, FOLDS, 0)
    edges, half = half_widths(predictions, task.scores)
    agreement = report(task.scores, predictions, task.categories, 0, 0)
    return {
        "n": len(task.paths),
        "skipped": skipped,
        "edges": _rounded(edges),
        "half": _rounded(half),
        "within": agreement["mean_pcc"],
        "pooled": agreement["pcc"],
        "coverage": coverage(inputs, task.scores, task.categories, task.groups, FOLDS, SEEDS),
    }


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), 6) for value in values]
