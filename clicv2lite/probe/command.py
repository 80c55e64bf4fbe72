"""`clicv2lite probe`: how well a head on a frozen encoder predicts human ratings (book chapter 8).

With `--imagenet` in place of `--ratings`: how well a linear classifier names classes (:mod:`clicv2lite.probe.imagenet`).
"""

import argparse
import time
from typing import Any

import numpy as np
from torch import Tensor

from clicv2lite.arrays import Floats, Rows
from clicv2lite.device import add_device, choose_device
from clicv2lite.errors import UserError, check_counts, check_positive, check_seed
from clicv2lite.files import put_json
from clicv2lite.heads.base import KINDS
from clicv2lite.heads.classifier import RATES, ClassifierTraining
from clicv2lite.heads.icnet import IcnetTraining
from clicv2lite.models.by_name import ENCODERS, load_encoder
from clicv2lite.models.model import Model, check_no_pretraining, is_encoder_in
from clicv2lite.models.norms import fingerprint
from clicv2lite.outputs import add_output
from clicv2lite.probe import imagenet
from clicv2lite.probe.crossval import Fit, cross_validate, fit_rows, folds
from clicv2lite.probe.encoding import encode_task
from clicv2lite.probe.fitting import fitter
from clicv2lite.probe.metrics import RESAMPLES, report
from clicv2lite.probe.task import Task, add_score_range, add_within_categories, load_task
from clicv2lite.provenance import stamped
from clicv2lite.recipes.settings import read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `probe`."""
    parser.add_argument("--encoder", required=True, metavar="E", help=ENCODERS)
    pool_help = "how its tokens are read, where not as stored: pool_read, pool_size, pool_blocks, pool_zoom, ..."
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=pool_help)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--ratings", metavar="CSV", help="table image,score[,category][,split]")
    target.add_argument("--imagenet", metavar="DIR", help="folder of train/CLASS/ and val/CLASS/: classify instead of rating")
    parser.add_argument("--test", metavar="CSV", help="table to test on; both tables are then used whole")
    parser.add_argument("--head", choices=sorted(KINDS), default="ridge", help="ridge (linear) or icnet (the paper's)")
    add_output(parser, "--json", help="write the result to this file")
    add_output(parser, "--out", folder=True, help="write the model here, for `score --model DIR`; or the features")
    parser.add_argument("--folds", type=int, metavar="K", help="cross-validate (default: the table's split column, else K = 5)")
    parser.add_argument("--seed", type=int, default=0, help="of folds, head, random encoder and bootstrap (default 0)")
    add_within_categories(parser)
    add_score_range(parser)
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images encoded at once (default 64)")
    add_device(parser)
    paper = IcnetTraining()
    group = parser.add_argument_group("icnet", "options of --head icnet; the defaults are the paper's and ICNet's")
    epochs_help = f"passes over the training rows (default {paper.epochs}; of --imagenet {ClassifierTraining().epochs})"
    group.add_argument("--epochs", type=int, help=epochs_help)
    rate_help = f"learning rate of SGD (default {paper.lr}; of --imagenet, per 256 images: the best of {len(RATES)})"
    group.add_argument("--lr", type=float, help=rate_help)
    group.add_argument("--channels", type=int, help="width of the head (default 512; 64 is 12 times cheaper)")
    imagenet.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the probe: encode every image once, fit, predict, report."""
    if args.imagenet is not None:
        return imagenet.run(args)
    began = time.perf_counter()
    _check_options(args)
    _check_outputs(args)
    device = choose_device(args.device)
    task = load_task(args.ratings, args.test, args.folds, args.score_range, args.within_categories)
    k = 5 if args.folds is None else args.folds
    if task.test is None:
        folds(len(task.paths), k, task.categories, args.seed)  # refuses a wrong number before the long part
    encoder = load_encoder(args.encoder, args.seed).read_as(read_settings(args.set, "pool_")).to(device)
    if args.out:
        encoder.check_storable("--out")
    fit = fitter(args.head, encoder, args.seed, args.epochs, args.lr, args.channels)
    inputs, task, skipped = encode_task(encoder, args.head, task, args.batch_size)
    if task.test is None:
        found, by_fold = _cross_validated(fit, inputs, task, k, args.seed)
        every = np.ones(len(task.paths), dtype=bool)  # the saved head may use every rating
        head = fit_rows(fit, inputs, task.scores, every, task.groups) if args.out else None
    else:
        head, by_fold = fit_rows(fit, inputs, task.scores, task.train, task.groups), None
        rows = np.flatnonzero(task.test)
        found = _report(task, rows, head.predict(inputs[rows]), args.seed)
    found |= {
        "head": args.head,
        "within_categories": args.within_categories,
        "encoder": args.encoder,
        "set": args.set,
        "evaluation": "test" if task.test is not None else "cross-validation",
        "n_train": int(task.train.sum()) if task.test is not None else None,
        "folds": by_fold,
        "skipped": skipped,
        "seed": args.seed,
    }
    result = stamped(found, began, device)
    if args.json:
        put_json(args.json, result)
    print(summary(result))
    if args.out and head:  # after the result: a full disk costs the model alone
        Model(encoder, head).save(args.out)
        put_json(args.out / "probe.json", result | {"head_digest": fingerprint(head)}, "--out")
    return 0


def summary(result: dict[str, Any]) -> str:
    """The result as a few lines for people."""
    lines = [f"{result['head']} on {result['encoder']}, {result['evaluation']}, {result['n']} images"]
    for name, entry in result["per_category"].items():
        lines.append(f"  {name:24s} n {entry['n']:5d}   PCC {_number(entry['pcc'])}   SRCC {_number(entry['srcc'])}")
    for key, label in (("mean_pcc", "mean PCC"), ("pcc", "PCC"), ("srcc", "SRCC")):
        low, high = result[f"{key}_ci"] or (None, None)
        lines.append(f"{label:9s} {_number(result[key])}   95 % interval {_number(low)} to {_number(high)}")
    return "\n".join(lines)


def _check_options(args: argparse.Namespace) -> None:
    check_counts(batch_size=args.batch_size)
    check_seed(args.seed)
    if args.within_categories and args.head != "ridge":
        raise UserError(f"--within-categories: only --head ridge has it, not {args.head}")
    for option in ("epochs", "lr", "channels"):
        value = getattr(args, option)
        if value is not None and args.head != "icnet":
            raise UserError(f"--{option} {value}: only --head icnet has it")
    unread = [word for word in args.set if args.head == "icnet" and word.partition("=")[0] != "pool_size"]
    if unread:
        raise UserError(f"--set {' '.join(unread)}: --head icnet reads the last tokens as they are; only pool_size is for it")
    if args.imagenet_batch is not None:
        raise UserError(f"--imagenet-batch {args.imagenet_batch}: an option of --imagenet; leave it out with --ratings")
    check_positive(epochs=args.epochs, lr=args.lr, channels=args.channels)


def _check_outputs(args: argparse.Namespace) -> None:
    if not args.out:
        return
    if not is_encoder_in(args.out, args.encoder):
        check_no_pretraining(args.out)
    elif args.set:
        raise UserError(f"--set {' '.join(args.set)}: the encoder in --out {args.out} is read otherwise; name another --out")


def _cross_validated(fit: Fit, inputs: Tensor, task: Task, k: int, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report on all rows, each predicted by a head that never saw it, and the main numbers of each fold."""
    tests = folds(len(task.paths), k, task.categories, seed)
    predictions = cross_validate(fit, inputs, task.scores, tests, task.groups)
    by_fold = [_report(task, rows, predictions[rows], seed, resamples=0) for rows in tests]
    short = [{key: fold[key] for key in ("n", "pcc", "srcc", "mean_pcc")} for fold in by_fold]
    return _report(task, np.arange(len(task.paths)), predictions, seed), short


def _report(task: Task, rows: Rows, predictions: Floats, seed: int, resamples: int = RESAMPLES) -> dict[str, Any]:
    names = [task.categories[i] for i in rows] if task.categories else None
    return report(task.scores[rows], predictions, names, resamples, seed)


def _number(value: float | None) -> str:
    return "    -" if value is None else f"{value:5.3f}"
