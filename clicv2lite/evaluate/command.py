"""`clicv2lite evaluate`: a table or figure of the paper at a chosen size, the paper's values beside ours (book chapter 15)."""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from clicv2lite.device import add_device, choose_device
from clicv2lite.errors import UserError
from clicv2lite.evaluate.adopt import adopt
from clicv2lite.evaluate.comparison import compare, contrast
from clicv2lite.evaluate.figures import draw
from clicv2lite.evaluate.forecast import forecast, lines, missing_packages
from clicv2lite.evaluate.known import Kept, read_known
from clicv2lite.evaluate.missing import missing_commands, missing_keys, missing_probes
from clicv2lite.evaluate.rows import Plan, measured_row, take_rated
from clicv2lite.evaluate.runs import RatedImages, check_measures, classes_in
from clicv2lite.evaluate.sizes import SIZES, find_data, missing_data
from clicv2lite.evaluate.studies import EVERY_SUITE
from clicv2lite.evaluate.study_tables import study_tables
from clicv2lite.evaluate.suites import Suite, SuiteRow
from clicv2lite.evaluate.summary import markdown
from clicv2lite.extras import need
from clicv2lite.files import put_json, write_bytes, write_json
from clicv2lite.outputs import add_output
from clicv2lite.pretrain.cost.hardware import machine
from clicv2lite.probe.task import add_score_range
from clicv2lite.provenance import provenance, stamped

HEADS = ("ridge", "likeness", "icnet")
"""Readings of an encoder: ridge on pooled tokens, ridge on their likeness (token self-similarity), ICNet's head on tokens."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the contract."""
    parser.add_argument("--suite", required=True, choices=list(EVERY_SUITE), help="which table, figure or study")
    parser.add_argument("--size", choices=list(SIZES), default="lite", help="ci (seconds), lite (hours), full (the paper's)")
    parser.add_argument("--images", nargs="+", action="extend", metavar="SRC", help="to pretrain on, as for `pretrain`")
    parser.add_argument("--ratings", type=Path, metavar="CSV", help="table image,score[,category][,split] to measure on")
    parser.add_argument("--test", type=Path, metavar="CSV", help="table to test on; then --ratings is for fitting only")
    add_score_range(parser)
    add_device(parser)
    add_output(
        parser,
        "--out",
        folder=True,
        unless="list dry_run",
        default=Path("runs/evaluate"),
        help="of runs and results (runs/evaluate)",
    )
    parser.add_argument("--seeds", type=int, nargs="+", action="extend", metavar="N", help="of the runs (default: the size's)")
    parser.add_argument(
        "--heads", nargs="+", action="extend", choices=HEADS, help="the first one decides (default: the size's)"
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        action="extend",
        metavar="LABEL",
        help="only these rows, by the first letters of their labels; and the one they are compared with",
    )
    add_output(parser, "--json", help="write the result here, too")
    imagenet_help = (
        "folder of train/CLASS/ and val/CLASS/, for our top-1 in table3 and table5 (default: what is measured already)"
    )
    parser.add_argument("--imagenet", type=Path, metavar="DIR", help=imagenet_help)
    parser.add_argument("--list", action="store_true", help="print the commands of the missing runs, and start none")
    parser.add_argument("--dry-run", action="store_true", help="print hours and memory of the missing runs, and start none")
    parser.add_argument("--on", metavar="MACHINE", help="with --dry-run: the machine, such as '8 x A100' (as for `pretrain`)")
    adopt_help = "take finished runs of `pretrain` from here, each a run or a folder of runs, where a row lacks one"
    parser.add_argument("--adopt", type=Path, nargs="+", action="extend", metavar="DIR", help=adopt_help)
    known_help = "results of this command or of `supervised`, whose runs are taken, such as seeds of another machine"
    parser.add_argument("--known", type=Path, nargs="+", action="extend", metavar="JSON", help=known_help)
    only_help = "train nothing: report the seeds that are there, and the supervised baselines that --known holds"
    parser.add_argument("--only-finished", action="store_true", help=only_help)
    parser.epilog = (
        "A stopped suite goes on when the command is given again; suites in one DIR share their runs. `full` pretrains nothing"
        " itself: it prints the torchrun commands of the runs that are missing, and reports once they are there."
    )


def run(args: argparse.Namespace) -> int:
    """Train what is missing, measure, compare; exit status 0, or 1 at the full size while runs are missing."""
    began = time.perf_counter()
    suite, size = EVERY_SUITE[args.suite], SIZES[args.size]
    seeds, heads = tuple(args.seeds or size.seeds), tuple(args.heads or size.heads)
    kinds, device = (*heads, *suite.measures), choose_device(args.device)
    _check(args, suite, seeds)
    labels = [_label(word, suite) for word in args.rows or ()]
    chosen = [row for row in suite.rows if not labels or row.label in (*labels, suite.reference)]
    if args.dry_run:
        return _dry_run(args, suite, chosen, seeds, kinds, device)
    need("evaluate", "matplotlib")  # refused before the long part
    need("train", "simplejpeg", "timm")
    with tempfile.TemporaryDirectory() as scratch:  # --list writes nothing into --out
        data = find_data(args.size, args.images, args.ratings, args.test, Path(scratch) if args.list else args.out)
        rated = RatedImages(data, size, args.score_range, device)
    check_measures(rated, suite.measures, suite.name)
    if args.imagenet:
        classes_in(args.imagenet)  # refuses what cannot be used before the long part
    known = read_known(args.known or (), args.size, kinds, rated)
    kept = Kept(args.out / "runs", data.images, known)
    if args.adopt:
        adopt(args.adopt, kept.runs, missing_keys(chosen, size, kept, seeds))
    if args.list or (size.name == "full" and not args.only_finished):
        commands = missing_commands(chosen, size, kept, seeds)
        probes = [] if args.imagenet or size.name != "full" else missing_probes(suite, chosen, size, kept, seeds)
        if args.list or commands:
            print("".join(f"{line}\n" for line in (*commands, *probes)), end="")
        if args.list:
            return 0
        if commands:
            print(f"clicv2lite: {len(commands)} runs are missing; start them, then evaluate again", file=sys.stderr)
            return 1
        if probes:
            print("".join(f"{line}\n" for line in probes), end="", file=sys.stderr)
            print("clicv2lite: no top-1 on ImageNet: start these, or give --imagenet DIR, and evaluate again", file=sys.stderr)
    plan = Plan(suite.name, kept, seeds, heads, suite.measures, args.imagenet, args.only_finished)
    rows = [measured_row(row, rated, plan) for row in chosen]
    result: dict[str, Any] = {
        "suite": suite.name,
        "size": args.size,
        "caption": suite.caption,
        "metric": size.metric,
        "heads": list(heads),
        "seeds": list(seeds),
        "only_finished": args.only_finished,
        "reference": suite.reference,
        "ratings": rated.digest,
        "n": len(rated.task.paths) if rated.task.test is None else int(rated.task.test.sum()),
        "rows": rows,
        "rated": take_rated(rows),
        "seconds": round(time.perf_counter() - began, 1),  # of this call; each row has those of its runs
        **provenance(device),
    }
    compare(result)
    if suite.contrasts:
        result["contrasts"] = contrast(result, suite.contrasts)
    write_json(args.out / f"{suite.name}.json", result)
    if args.json:
        put_json(args.json, result)
    table = markdown(result) + study_tables(result)
    write_bytes(args.out / f"{suite.name}.md", table.encode())
    draw(result, args.out / suite.name)
    print(table)
    return 0


def _dry_run(
    args: argparse.Namespace,
    suite: Suite,
    rows: list[SuiteRow],
    seeds: tuple[int, ...],
    kinds: tuple[str, ...],
    device: torch.device,
) -> int:
    """Print what the runs would take, and what is missing; exit status 0."""
    began = time.perf_counter()
    asked, kept = machine(args.on) if args.on else None, None
    missing = [*missing_data(args.size, args.images, args.ratings), *missing_packages(rows)]
    try:
        with tempfile.TemporaryDirectory() as scratch:  # nothing is written into --out
            images = find_data(args.size, args.images, args.ratings, args.test, Path(scratch)).images
        kept = Kept(args.out / "runs", images, read_known(args.known or (), args.size, kinds))
    except UserError as error:
        missing = missing if str(error) in missing else [str(error), *missing]
    found = forecast(suite, rows, SIZES[args.size], seeds, kept, device, asked) | {"missing": missing}
    if args.json:
        put_json(args.json, stamped(found, began, device))
    print("\n".join(lines(found, missing)))
    return 0


def _check(args: argparse.Namespace, suite: Suite, seeds: tuple[int, ...]) -> None:
    if args.on and not args.dry_run:
        raise UserError(f"--on {args.on}: works only with --dry-run; leave it out")
    if args.adopt and (args.list or args.dry_run):
        raise UserError(f"--adopt {args.adopt[0]}: it copies runs, and --{'list' if args.list else 'dry-run'} writes nothing")
    if args.known and "map" in suite.measures:
        raise UserError(f"--known {args.known[0]}: results hold a map's points for one seed only; leave it out")
    own = args.out / f"{suite.name}.json"
    if not (args.list or args.dry_run) and own.resolve() in [path.resolve() for path in args.known or ()]:
        raise UserError(f"--known {own}: this command would write it; copy it first, or give another --out")
    if min(seeds) < 0 or max(seeds) >= 2**32 or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {' '.join(map(str, seeds))}: give different whole numbers from 0 to {2**32 - 1}")
    if args.imagenet and "classes" not in suite.measures:
        having = " and ".join(name for name, one in EVERY_SUITE.items() if "classes" in one.measures)
        raise UserError(f"--imagenet {args.imagenet}: only {having} have a column top-1; leave it out")


def _label(word: str, suite: Suite) -> str:
    """The label of a row, of which the first letters are enough where no other row has them."""
    labels = [row.label for row in suite.rows]
    found = [word] if word in labels else [label for label in labels if label.startswith(word)]
    if len(found) != 1:
        raise UserError(f"--rows {word!r}: --suite {suite.name} has {', '.join(map(repr, found or labels))}; name one of them")
    return found[0]
