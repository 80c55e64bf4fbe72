"""`clicv2lite evaluate`: a table or figure of the paper at a chosen size, the paper's values beside ours (book chapter 11)."""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clicv2lite.device import add_device, choose_device
from clicv2lite.errors import UserError
from clicv2lite.evaluate.figures import draw
from clicv2lite.evaluate.missing import missing_commands, missing_probes
from clicv2lite.evaluate.pairing import as_json, paired_rows
from clicv2lite.evaluate.runs import (
    RatedImages,
    about_run,
    check_measures,
    classes_in,
    run_key,
    supervised,
    top1,
    train,
    untrained,
)
from clicv2lite.evaluate.sizes import SIZES, find_data
from clicv2lite.evaluate.suites import SUITES, Suite, SuiteRow
from clicv2lite.evaluate.summary import direction, markdown, numbers, over_seeds
from clicv2lite.extras import need
from clicv2lite.files import put_json, write_bytes, write_json
from clicv2lite.outputs import add_output
from clicv2lite.probe.task import add_score_range
from clicv2lite.provenance import provenance
from clicv2lite.recipes.recipe import Recipe


@dataclass(frozen=True)
class Plan:
    """What is run and measured for each row."""

    suite: str
    runs: Path  # folder of the runs
    seeds: tuple[int, ...]
    heads: tuple[str, ...]  # the first one decides
    measures: tuple[str, ...]  # beside the heads
    imagenet: Path | None = None  # for the column top-1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the contract."""
    parser.add_argument("--suite", required=True, choices=list(SUITES), help="which table or figure")
    parser.add_argument("--size", choices=list(SIZES), default="lite", help="ci (seconds), lite (hours), full (the paper's)")
    parser.add_argument("--images", nargs="+", metavar="SRC", help="to pretrain on, as for `pretrain`")
    parser.add_argument("--ratings", type=Path, metavar="CSV", help="table image,score[,category][,split] to measure on")
    parser.add_argument("--test", type=Path, metavar="CSV", help="table to test on; then --ratings is for fitting only")
    add_score_range(parser)
    add_device(parser)
    add_output(
        parser, "--out", folder=True, unless="list", default=Path("runs/evaluate"), help="of runs and results (runs/evaluate)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="of the runs (default: the size's)")
    parser.add_argument("--heads", nargs="+", choices=["ridge", "icnet"], help="the first one decides (default: the size's)")
    parser.add_argument("--rows", nargs="+", metavar="LABEL", help="only these rows, and the one they are compared with")
    add_output(parser, "--json", help="write the result here, too")
    imagenet_help = (
        "folder of train/CLASS/ and val/CLASS/, for our top-1 in table3 and table5 (default: what is measured already)"
    )
    parser.add_argument("--imagenet", type=Path, metavar="DIR", help=imagenet_help)
    parser.add_argument("--list", action="store_true", help="print the commands of the missing runs, and start none")
    parser.epilog = (
        "A stopped suite goes on when the command is given again; suites in one DIR share their runs. `full` pretrains nothing"
        " itself: it prints the torchrun commands of the runs that are missing, and reports once they are there."
    )


def run(args: argparse.Namespace) -> int:
    """Train what is missing, measure, compare; exit status 0, or 1 at the full size while runs are missing."""
    began = time.perf_counter()
    suite, size = SUITES[args.suite], SIZES[args.size]
    seeds, heads = tuple(args.seeds or size.seeds), tuple(args.heads or size.heads)
    device = choose_device(args.device)
    need("evaluate", "matplotlib")  # refused before the long part
    need("train", "simplejpeg", "timm")
    _check(args, suite, seeds)
    data = find_data(args.size, args.images, args.ratings, args.test, args.out)
    rated = RatedImages(data, size, args.score_range, device)
    check_measures(rated, suite.measures, suite.name)
    if args.imagenet:
        classes_in(args.imagenet)  # refuses what cannot be used before the long part
    chosen = [row for row in suite.rows if not args.rows or row.label in (*args.rows, suite.reference)]
    if args.list or size.name == "full":
        lines = missing_commands(chosen, size, data, args.out, seeds)
        probes = [] if args.imagenet or size.name != "full" else missing_probes(suite, chosen, size, data, args.out, seeds)
        if args.list or lines:
            print("".join(f"{line}\n" for line in (*lines, *probes)), end="")
        if args.list:
            return 0
        if lines:
            print(f"clicv2lite: {len(lines)} runs are missing; start them, then evaluate again", file=sys.stderr)
            return 1
        if probes:
            print("".join(f"{line}\n" for line in probes), end="", file=sys.stderr)
            print("clicv2lite: no top-1 on ImageNet: start these, or give --imagenet DIR, and evaluate again", file=sys.stderr)
    plan = Plan(suite.name, args.out / "runs", seeds, heads, suite.measures, args.imagenet)
    rows = [_row(row, rated, plan) for row in chosen]
    result: dict[str, Any] = {
        "suite": suite.name,
        "size": args.size,
        "caption": suite.caption,
        "metric": size.metric,
        "heads": list(heads),
        "seeds": list(seeds),
        "reference": suite.reference,
        "n": len(rated.task.paths) if rated.task.test is None else int(rated.task.test.sum()),
        "rows": rows,
        "rated": take_rated(rows),
        "seconds": round(time.perf_counter() - began, 1),  # of this call; each row has those of its runs
        **provenance(device),
    }
    compare(result)
    write_json(args.out / f"{suite.name}.json", result)
    if args.json:
        put_json(args.json, result)
    table = markdown(result)
    write_bytes(args.out / f"{suite.name}.md", table.encode())
    draw(result, args.out / suite.name)
    print(table)
    return 0


PRINTED = {"pcc": "pcc", "top1": "top1", "category_accuracy": "top1"}
"""Number of ours that is compared with the reference row's -> the paper's number beside it."""


def compare(result: dict[str, Any]) -> None:
    """Enter each row's paired difference from the reference row, and whether it lies on the side that the paper prints."""
    reference = result["reference"]
    (base,) = [row for row in result["rows"] if row["label"] == reference]
    for row in result["rows"]:
        row["difference"], row["direction"] = dict.fromkeys(PRINTED), dict.fromkeys(PRINTED)
        for key, printed in PRINTED.items() if row is not base else ():
            pair = paired_rows(result, row["label"], reference, key)
            row["difference"][key] = pair and as_json(pair)
            if pair and printed in row["paper"] and printed in base["paper"]:
                row["direction"][key] = direction(row["paper"][printed] - base["paper"][printed], pair)


def take_rated(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Take out of the rows' predictions what all of them share: digest of images -> their scores and categories."""
    kept = [one for row in rows for seeds in row["predictions"].values() for one in seeds]
    return {one["images"]: one.pop("rated") for one in kept}


def _row(row: SuiteRow, rated: RatedImages, plan: Plan) -> dict[str, Any]:
    """Run and measure one row for every seed."""
    out: dict[str, Any] = {"label": row.label, "paper": dict(row.paper), "settings": list(row.settings), "ours": None}
    out |= {"note": row.note, "missing": row.missing, "runs": [], "predictions": {}}
    found: list[dict[str, dict[str, Any]]] = []
    try:
        for seed in () if row.missing else plan.seeds:
            about, one = _one(row, rated, plan, seed)
            found.append(one)
            out["runs"].append({"seed": seed, **about})
    except UserError as error:
        if not row.baseline:
            raise
        out["missing"] = str(error)  # a package or weights that one baseline needs
    if found:
        heads = [head for head in plan.heads if head in found[0]]
        ours = {head: over_seeds([numbers(one[head], rated.size.metric) for one in found]) for head in heads}
        if "classes" in found[0]:
            ours |= over_seeds([{"category_accuracy": 100 * one["classes"]["accuracy"]} for one in found])
        if all("imagenet" in one for one in found):
            ours |= over_seeds([{"top1": 100 * one["imagenet"]["top1"]} for one in found])
        if "map" in found[0]:
            keys = ("class_agreement", "score_r2")
            ours |= over_seeds([{key: one["map"][key] for key in keys} for one in found])
            out["map"] = {key: found[0]["map"][key] for key in ("points", "categories", "scores")}
        out["ours"] = ours
        kinds = [kind for kind in found[0] if all("predictions" in one.get(kind, {}) for one in found)]
        out["predictions"] = {kind: [one[kind]["predictions"] for one in found] for kind in kinds}
    return out


def _one(row: SuiteRow, rated: RatedImages, plan: Plan, seed: int) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """One seed of a row: about its run, and its measurements."""
    images, kinds = rated.data.images, (*plan.heads, *plan.measures)
    if row.baseline:
        found = supervised(row.baseline, rated, plan.runs / "supervised", seed)
        about = {key: found[key] for key in ("weights", "seconds", "commits", "hardware")}
        return {"backbone": found["settings"]["backbone"], **about}, {kinds[0]: found}
    recipe = rated.size.recipe(row, seed)
    if not row.trained:
        shape = [str(value) for value in (recipe.encoder, recipe.pool)]
        folder = plan.runs / "untrained" / run_key(recipe, images)
        return {"shape": shape}, rated.measure(folder, untrained(recipe), kinds, seed) | _top1(
            plan, folder, recipe, seed, rated.device
        )
    folder = plan.runs / run_key(recipe, images)
    print(f"{plan.suite}: {row.label}, seed {seed}, {folder}", file=sys.stderr)
    train(recipe, images, folder, str(rated.device))
    return {"key": folder.name, **about_run(folder)}, rated.measure(folder, None, kinds, seed) | _top1(
        plan, folder, None, seed, rated.device
    )


def _top1(plan: Plan, folder: Path, recipe: Recipe | None, seed: int, device: torch.device) -> dict[str, dict[str, Any]]:
    """The linear classifier on ImageNet, if the suite compares it and it is there or can be made; a recipe: untrained."""
    if "classes" not in plan.measures:
        return {}
    found = top1(folder, plan.imagenet, untrained(recipe) if recipe else None, seed, device)
    return {"imagenet": found} if found else {}


def _check(args: argparse.Namespace, suite: Suite, seeds: tuple[int, ...]) -> None:
    if min(seeds) < 0 or max(seeds) >= 2**32 or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {' '.join(map(str, seeds))}: give different whole numbers from 0 to {2**32 - 1}")
    if args.imagenet and "classes" not in suite.measures:
        having = " and ".join(name for name, one in SUITES.items() if "classes" in one.measures)
        raise UserError(f"--imagenet {args.imagenet}: only {having} have a column top-1; leave it out")
    labels = [row.label for row in suite.rows]
    for label in args.rows or ():
        if label not in labels:
            raise UserError(f"--rows {label!r}: --suite {suite.name} has {', '.join(map(repr, labels))}")
