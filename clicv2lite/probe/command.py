"""`clicv2lite probe`: how well a head on a frozen encoder predicts human ratings (book chapter 8)."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from clicv2lite.arrays import Floats
from clicv2lite.data.batches import batches
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError, check_counts, check_seed
from clicv2lite.files import check_output_file, make_folder, write_json
from clicv2lite.heads.base import KINDS, Head
from clicv2lite.heads.icnet import IcnetShape, IcnetTraining, fit_icnet
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.models.by_name import load_encoder
from clicv2lite.models.model import Model, place, read_by, save_model
from clicv2lite.probe.crossval import cross_validate, folds
from clicv2lite.probe.metrics import RESAMPLES, report
from clicv2lite.probe.task import Mask, Task, add_score_range, add_within_categories, groups, keep_rows, load_task
from clicv2lite.provenance import stamped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `probe`."""
    parser.add_argument("--encoder", required=True, metavar="E", help="run folder, file, default, random, timm name")
    parser.add_argument("--ratings", required=True, metavar="CSV", help="table image,score[,category][,split]")
    parser.add_argument("--test", metavar="CSV", help="table to test on; both tables are then used whole")
    parser.add_argument("--head", choices=sorted(KINDS), default="ridge", help="ridge (linear) or icnet (the paper's)")
    parser.add_argument("--json", type=Path, metavar="F", help="write the result to this file")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the model here, for `score --model DIR`")
    parser.add_argument("--folds", type=int, metavar="K", help="cross-validate (default: the table's split column, else K = 5)")
    parser.add_argument("--seed", type=int, default=0, help="of folds, head, random encoder and bootstrap (default 0)")
    add_within_categories(parser)
    add_score_range(parser)
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images encoded at once (default 64)")
    paper = IcnetTraining()
    group = parser.add_argument_group("icnet", "options of --head icnet; the defaults are the paper's and ICNet's")
    group.add_argument("--epochs", type=int, help=f"passes over the training rows (default {paper.epochs})")
    group.add_argument("--lr", type=float, help=f"learning rate of SGD (default {paper.lr})")
    group.add_argument("--channels", type=int, help="width of the head (default 512; 64 is 12 times cheaper)")


def run(args: argparse.Namespace) -> int:
    """Run the probe: encode every image once, fit, predict, report."""
    began = time.perf_counter()
    _check(args)
    task = load_task(args.ratings, args.test, args.folds, args.score_range)
    k = 5 if args.folds is None else args.folds
    if task.test is None:
        folds(len(task.paths), k, task.categories, args.seed)  # refuses a wrong number before the long part
    encoder = load_encoder(args.encoder, args.seed)
    if args.out:
        encoder.check_storable("--out")
    inputs, read, skipped = encode(encoder, args.head, task.paths, args.batch_size)
    task = keep_rows(task, read)
    fit, within = fitter(args, encoder), groups(args.within_categories, task.categories, args.ratings)

    def fit_rows(rows: Mask) -> Head:
        return fit(inputs[rows], task.scores[rows], *([] if within is None else [within[rows]]))

    by_fold: list[dict[str, Any]] = []
    if task.test is None:
        tests = folds(len(task.paths), k, task.categories, args.seed)
        predictions = cross_validate(fit, inputs, task.scores, tests, within)
        result = _report(task, np.arange(len(task.paths)), predictions, args.seed)
        by_fold = [_brief(_report(task, rows, predictions[rows], args.seed, resamples=0)) for rows in tests]
        head = fit_rows(np.ones(len(task.paths), dtype=bool)) if args.out else None  # the saved head may use every rating
    else:
        fitted, rows = fit_rows(task.train), np.flatnonzero(task.test)
        result, head = _report(task, rows, fitted.predict(inputs[rows]), args.seed), fitted

    result |= {
        "head": args.head,
        "within_categories": args.within_categories,
        "encoder": args.encoder,
        "evaluation": "test" if task.test is not None else "cross-validation",
        "n_train": int(task.train.sum()) if task.test is not None else None,
        "folds": by_fold or None,
        "skipped": skipped,
        "seed": args.seed,
    }
    result = stamped(result, began, place(encoder))
    if args.out and head:
        save_model(args.out, Model(encoder, head), args.encoder)
        write_json(args.out / "probe.json", result)
    if args.json:
        write_json(args.json, result)
    print(summary(result))
    return 0


def encode(encoder: FrozenEncoder, head: str, paths: list[Path], batch_size: int) -> tuple[Tensor, Mask, list[str]]:
    """Encode every image once.

    Returns:
        (m, F) float32 features or (m, h, w, D) float16 tokens of the m images that could be read, as `head` reads them;
        (n,) which were read; the names of the others, each of which gets its line on stderr.
    """
    parts, read, skipped = [], np.zeros(len(paths), dtype=bool), []
    for batch in batches(paths, encoder.size, batch_size, "encoding"):
        for i, error in batch.errors.items():
            tqdm.write(f"clicv2lite: {error} (skipped)", file=sys.stderr)
            skipped.append(str(paths[i]))
        if batch.rows:
            part = read_by(KINDS[head], encoder, batch.images).cpu()
            parts.append(part.half() if head == "icnet" else part)  # half the memory: 9,600 x 196 x 768 are 2.9 GB
            read[batch.rows] = True
    if not all(part.isfinite().all() for part in parts):
        raise UserError("--encoder: what it makes of these images is not finite; is it a diverged run? use another")
    if not parts:
        raise UserError(f"--ratings: none of the {len(paths)} rated images could be read; check the image column")
    if skipped:
        print(f"clicv2lite: {len(skipped)} of {len(paths)} rated images skipped", file=sys.stderr)
    return torch.cat(parts), read, skipped


def fitter(args: argparse.Namespace, encoder: FrozenEncoder) -> Callable[..., Head]:
    """The function that fits the head that `args` ask for."""
    if args.head == "ridge":
        return fit_ridge
    paper = IcnetTraining()
    training = IcnetTraining(epochs=args.epochs or paper.epochs, lr=args.lr or paper.lr)
    shape = IcnetShape(encoder.width, max(2, encoder.size // 8), args.channels or 512)
    return lambda tokens, scores: fit_icnet(tokens, scores, shape, training, args.seed)


def summary(result: dict[str, Any]) -> str:
    """The result as a few lines for people."""
    lines = [f"{result['head']} on {result['encoder']}, {result['evaluation']}, {result['n']} images"]
    for name, entry in result["per_category"].items():
        lines.append(f"  {name:24s} n {entry['n']:5d}   PCC {_number(entry['pcc'])}   SRCC {_number(entry['srcc'])}")
    for key, label in (("mean_pcc", "mean PCC"), ("pcc", "PCC"), ("srcc", "SRCC")):
        low, high = result[f"{key}_ci"] or (None, None)
        lines.append(f"{label:9s} {_number(result[key])}   95 % interval {_number(low)} to {_number(high)}")
    return "\n".join(lines)


def _check(args: argparse.Namespace) -> None:
    check_counts(batch_size=args.batch_size)
    check_seed(args.seed)
    if args.within_categories and args.head != "ridge":
        raise UserError(f"--within-categories: only --head ridge has it, not {args.head}")
    for option in ("epochs", "lr", "channels"):
        value = getattr(args, option)
        if value is not None and args.head != "icnet":
            raise UserError(f"--{option} {value}: only --head icnet has it")
        if value is not None and not value > 0:
            raise UserError(f"--{option} {value}: give a number above 0")
    check_output_file(args.json, "--json")
    if args.out:
        make_folder(args.out, "--out")
        source = Path(args.encoder).resolve()
        if (args.out / "metrics.jsonl").exists() and args.out.resolve() not in (source, source.parent):
            raise UserError(f"--out {args.out}: the encoder of this pretraining would be lost; name another folder")


def _report(task: Task, rows: NDArray[np.int64], predictions: Floats, seed: int, resamples: int = RESAMPLES) -> dict[str, Any]:
    names = [task.categories[i] for i in rows] if task.categories else None
    return report(task.scores[rows], predictions, names, resamples, seed)


def _brief(result: dict[str, Any]) -> dict[str, Any]:
    return {key: result[key] for key in ("n", "pcc", "srcc", "mean_pcc")}


def _number(value: float | None) -> str:
    return "    -" if value is None else f"{value:5.3f}"
