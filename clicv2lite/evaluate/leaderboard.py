"""`clicv2lite leaderboard`: encoders side by side on your own ratings, with paired differences to the best (book chapter 11).

Every encoder is probed on the same images with the same folds. An interval resamples images within their categories and keeps
folds and fitted heads. A difference whose interval leaves out 0 is more than chance of the images.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from clicv2lite.arrays import Floats
from clicv2lite.data.names import as_cell
from clicv2lite.device import add_device, choose_device
from clicv2lite.errors import UserError, check_counts, check_seed
from clicv2lite.evaluate.cells import ends, line, number
from clicv2lite.evaluate.nested import Candidate, nested
from clicv2lite.evaluate.paired import Paired, paired_difference
from clicv2lite.files import put_json, write_bytes, write_table
from clicv2lite.heads.base import KINDS
from clicv2lite.models.by_name import HANDCRAFTED, load_encoder
from clicv2lite.outputs import add_output
from clicv2lite.probe.crossval import check_inner, folds, left_by, predicted
from clicv2lite.probe.encoding import encode_again, encode_task
from clicv2lite.probe.fitting import fitter
from clicv2lite.probe.metrics import RESAMPLES, report
from clicv2lite.probe.task import add_score_range, add_within_categories, load_task
from clicv2lite.provenance import stamped

FOLDS = 5


def leaderboard(
    predictions: Mapping[str, Floats], scores: Floats, categories: Sequence[str] | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Rows from the best to the worst mean PCC.

    Args:
        predictions: name -> (n,) predictions of the same images. scores: (n,). categories: (n,) names, or None.
        seed: of the resampling.

    Returns:
        `encoder`, what :func:`clicv2lite.probe.metrics.report` says, and `to_best`: mean PCC minus that of the best, with its
        95 % interval (None without one); None in the row of the best, and where a mean PCC is not defined.
    """
    rows = [{"encoder": name, **report(scores, values, categories, RESAMPLES, seed)} for name, values in predictions.items()]
    rows.sort(key=lambda row: -np.inf if row["mean_pcc"] is None else row["mean_pcc"], reverse=True)
    best = rows[0]
    for row in rows:
        row["to_best"] = None
        if row is not best and row["mean_pcc"] is not None:
            ours, theirs = (predictions[one["encoder"]][None] for one in (row, best))
            found: Paired = paired_difference(ours, theirs, scores, categories, seed=seed)
            if np.isfinite(found.mean):  # not of categories that are too small for it
                row["to_best"] = {"mean": found.mean, "ci": found.over_images}
    return rows


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| encoder | features | mean PCC | 95 % interval | SRCC | to the best | 95 % interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        apart = row["to_best"] or {"mean": None, "ci": None}
        cells = [row["encoder"].replace("|", "\\|"), str(row.get("features", "")), number(row["mean_pcc"])]
        cells += [ends(row["mean_pcc_ci"]), number(row["srcc"]), number(apart["mean"], sign="+"), ends(apart["ci"], sign="+")]
        lines.append(line(cells))
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `leaderboard`."""
    names = (
        f"encoders as `probe --encoder` names them: plus, module:factory, random (untrained), {HANDCRAFTED} (formulas) included"
    )
    parser.add_argument("--encoder", nargs="+", action="extend", required=True, metavar="E", help=names)
    parser.add_argument("--ratings", required=True, metavar="CSV", help="table image,score[,category][,split]")
    parser.add_argument("--test", metavar="CSV", help="table to test on; both tables are then used whole")
    parser.add_argument("--head", choices=sorted(KINDS), default="ridge", help="as for `probe`; formulas always have ridge")
    parser.add_argument("--folds", type=int, metavar="K", help=f"as for `probe` (default: the split column, else {FOLDS})")
    parser.add_argument("--seed", type=int, default=0, help="of folds, head, random encoder and bootstrap (default 0)")
    add_within_categories(parser)
    nested_help = "also the worth of choosing the best: by inner folds, on outer ones that play no part in the choice"
    parser.add_argument("--nested", action="store_true", help=nested_help)
    add_score_range(parser)
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images encoded at once (default 64)")
    add_device(parser)
    add_output(parser, "--json", help="write the result to this file")
    add_output(parser, "--markdown", help="write the table that is printed to this file, too")
    add_output(parser, "--predictions", help="write image,score,category and a column of predictions per encoder, as CSV")
    parser.epilog = __doc__.partition("\n\n")[2]


def run(args: argparse.Namespace) -> int:
    """Probe every encoder, print the table, write what was asked for; exit status 0."""
    began = time.perf_counter()
    check_counts(batch_size=args.batch_size)
    check_seed(args.seed)
    if args.within_categories and args.head != "ridge":
        raise UserError(f"--within-categories: only --head ridge has it, not {args.head}")
    if double := {name for name in args.encoder if args.encoder.count(name) > 1}:
        raise UserError(f"--encoder {min(double)}: it is named twice; name each encoder once")
    device = choose_device(args.device)
    task = load_task(args.ratings, args.test, args.folds, args.score_range, args.within_categories)
    k = FOLDS if args.folds is None else args.folds
    if task.test is None:
        folds(len(task.paths), k, task.categories, args.seed)  # refuses a wrong number before the long part
    if args.nested:
        check_inner(left_by(len(task.paths), k) if task.test is None else int(task.train.sum()), k, "--nested")
    encoders = {name: load_encoder(name, args.seed) for name in args.encoder}  # all names are checked first
    heads = {name: "ridge" if name == HANDCRAFTED else args.head for name in encoders}
    for name, encoder in encoders.items():
        fitter(heads[name], encoder, args.seed)  # refuses what this head cannot read, before the long part
    candidates: dict[str, Candidate] = {}
    skipped: list[str] = []
    for name, encoder in encoders.items():
        if candidates:
            inputs = encode_again(encoder.to(device), heads[name], task, args.batch_size)
        else:
            inputs, task, skipped = encode_task(encoder.to(device), heads[name], task, args.batch_size)
        candidates[name] = Candidate(inputs, fitter(heads[name], encoder, args.seed))
        encoder.to(torch.device("cpu"))  # the next one may need the room
    predictions: dict[str, Floats] = {}
    for name, one in candidates.items():
        rows, predictions[name] = predicted(one.fit, one.inputs, task, k, args.seed)
    names = [task.categories[i] for i in rows] if task.categories else None
    board = leaderboard(predictions, task.scores[rows], names, args.seed)
    for row in board:
        row["features"] = candidates[row["encoder"]].inputs.shape[-1]
    table = as_markdown(board)
    chosen = None
    if args.nested:
        found, picks = nested(candidates, task, k, args.seed)
        chosen = {"chosen": picks, **report(task.scores[rows], found, names, RESAMPLES, args.seed)}
        often = ", ".join(f"{name} {picks.count(name)}x" for name in dict.fromkeys(picks))
        table += f"\n\nChosen on inner folds: mean PCC {number(chosen['mean_pcc'])}, {ends(chosen['mean_pcc_ci'])}; {often}."
    print(table)
    if args.json:
        about = {"metric": "mean_pcc", "head": args.head, "within_categories": args.within_categories, "seed": args.seed}
        about |= {"evaluation": "cross-validation" if task.test is None else "test", "n": len(rows), "skipped": skipped}
        put_json(args.json, stamped({**about, "rows": board, **({"nested": chosen} if chosen else {})}, began, device))
    if args.markdown:
        write_bytes(args.markdown, f"{table}\n".encode())
    if args.predictions:
        images = [as_cell(str(task.paths[i]), path=True) for i in rows]
        rated = [f"{score:g}" for score in task.scores[rows]]
        values = ([f"{value:.6f}" for value in found] for found in predictions.values())
        columns = zip(images, rated, map(as_cell, names or [""] * len(rows)), *values, strict=True)
        write_table(args.predictions, ["image", "score", "category", *map(as_cell, predictions)], columns)
    return 0
