"""`clicv2lite supervised`: train a supervised baseline and report it as `probe` reports a head (book chapter 11).

With `--work`, a run that was interrupted goes on with the next fold.
"""

import argparse
from dataclasses import replace

from clicv2lite.baselines.supervised.folds import measure
from clicv2lite.baselines.supervised.networks import BASELINES
from clicv2lite.baselines.supervised.settings import SIZES
from clicv2lite.device import add_device, choose_device
from clicv2lite.errors import check_positive, check_seed
from clicv2lite.files import put_json
from clicv2lite.outputs import add_json, add_output
from clicv2lite.probe.task import add_score_range, load_task
from clicv2lite.provenance import provenance


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `supervised`."""
    parser.add_argument("--model", required=True, choices=sorted(BASELINES), help="which baseline")
    parser.add_argument("--ratings", required=True, metavar="CSV", help="table image,score[,category][,split]")
    parser.add_argument("--test", metavar="CSV", help="table to test on; both tables are then used whole")
    parser.add_argument("--folds", type=int, metavar="K", help="cross-validate (default: the table's split column, else K = 5)")
    add_score_range(parser)
    parser.add_argument("--size", choices=SIZES, default="lite", help="ci (seconds), lite (half an hour), full (the paper's)")
    parser.add_argument(
        "--weights", choices=["scratch", "imagenet"], help="imagenet: from torch's hub folder (default: the size's)"
    )
    parser.add_argument("--epochs", type=int, help="passes over the training rows (default: the size's)")
    parser.add_argument("--lr", type=float, help="learning rate (default: the size's)")
    parser.add_argument("--seed", type=int, default=0, help="of folds, weights, order and bootstrap (0)")
    # not locked: a fold is one file, whose name says what it depends on
    add_output(parser, "--work", folder=True, locked=False, help="keep finished folds here, and go on from them")
    add_device(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Train, predict, report as `probe` does; exit status 0.

    Raises:
        UserError: for a table that cannot be used, a missing package or weights, or an output that cannot be written.
    """
    check_positive(epochs=args.epochs, lr=args.lr)
    check_seed(args.seed)
    device = choose_device(args.device)
    changed = {key: getattr(args, key) for key in ("weights", "epochs", "lr") if getattr(args, key) is not None}
    settings = replace(BASELINES[args.model].settings(args.size), **changed)
    task = load_task(args.ratings, args.test, args.folds, args.score_range)
    found = measure(args.model, settings, task, args.seed, 5 if args.folds is None else args.folds, args.work, device)
    put_json(args.json, {**found, "size": args.size, **provenance(device)})
    return 0
