"""`clicv2lite results`: make the stored results that are missing or out of date (book chapter 11)."""

import argparse
import os
import sys
from pathlib import Path

from clicv2lite.errors import UserError
from clicv2lite.evaluate.results.checkout import ROOT, need_checkout, refuse_changes
from clicv2lite.evaluate.results.jobs import make
from clicv2lite.evaluate.results.plan import Step, need_data, plan
from clicv2lite.evaluate.results.record import adopt, read_record, state
from clicv2lite.evaluate.results.slurm import script, submit
from clicv2lite.evaluate.results.table import Table, read_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="of experiments (default: all that need not be asked for)")
    parser.add_argument("--list", action="store_true", help="print name, state, minutes and outputs of each, and make nothing")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="experiments at once, one core each (default 1)")
    parser.add_argument(
        "--force", nargs="+", action="extend", default=[], metavar="NAME", help="make these although they are fresh"
    )
    parser.add_argument("--only", action="store_true", help="not what the named ones depend on; that has to be fresh")
    parser.add_argument(
        "--adopt", nargs="+", action="extend", default=[], metavar="NAME",
        help="record what is stored as made by its command in the table, and make nothing: after a renamed option, say",
    )  # fmt: skip
    parser.add_argument("--slurm", choices=["print", "submit"], help="print a script of Slurm jobs, or submit them (submitit)")
    parser.epilog = (
        "What makes what stands in clicv2lite/evaluate/results/experiments.toml. A result is missing if an output is not there."
        " It is stale if data/results/made.json has no entry of it or names another command, if an output is not the file that"
        " was recorded, or if an output of an experiment that it depends on has changed since. Changed code makes nothing"
        " stale: use --force. Code and data must be as committed; outputs are stored whole or not at all. Commands work and log"
        " in runs/results; when this one is stopped, the next call goes on."
    )


def run(args: argparse.Namespace) -> int:
    """Make what is to be made; exit status 0, or 1 if some of it failed."""
    root = need_checkout(ROOT)
    table = read_table(root)
    if args.jobs < 1:
        raise UserError(f"--jobs {args.jobs}: give 1 or more")
    _check_together(args)
    if args.list:
        print_list(table, root, args.names)
        return 0
    if args.adopt:
        for one in table.named(args.adopt):
            adopt(one, table, root)
        return 0
    steps = plan(table, root, args.names, args.force, args.only)
    if sys.platform == "win32" and not args.slurm:
        raise UserError("results: making results needs Linux or macOS; --list works here")
    if steps:
        refuse_changes(root, table)
    need_data(steps, table)
    if args.slurm:
        print(script(steps, root) if args.slurm == "print" else "\n".join(submit(steps, root)))
        return 0
    return _make(steps, table, root, args.jobs)


def _check_together(args: argparse.Namespace) -> None:
    """Refuse what `--list` and `--adopt`, which make nothing, would ignore."""
    making = {"--force": args.force, "--only": args.only, "--slurm": args.slurm}
    ignored = making | {"--adopt": args.adopt} if args.list else making | {"NAME": args.names} if args.adopt else {}
    if given := [option for option, value in ignored.items() if value]:
        alone = "--list" if args.list else "--adopt"
        raise UserError(f"{alone} makes nothing; leave {' and '.join(given)} out")


def print_list(table: Table, root: Path, names: list[str]) -> None:
    """A line for each experiment."""
    record = read_record(root)
    chosen = table.named(names) if names else list(table.experiments.values())
    width = max((len(one.name) for one in chosen), default=0)
    for one in chosen:
        now = state(one, table, record, root)
        notes = "; ".join([*([now.why] if now.why else []), *(["only if named"] if one.asked else [])])
        line = f"{one.name:{width}}  {now.kind:7}  {one.minutes:3g} min  {_short(list(one.outputs))}"
        print(line.rstrip() + (f"  ({notes})" if notes else ""))
    if not names:
        print("\n".join(["kept by hand:", *(f"  {path}: {why}" for path, why in table.kept.items())]))


def _make(steps: list[Step], table: Table, root: Path, jobs: int) -> int:
    for step in steps:
        print(f"{step.one.name}: {step.why}")
    print(f"{len(steps)} to make, {sum(step.one.minutes for step in steps):g} min of one core", flush=True)
    try:
        failed = make(steps, table, root, jobs)
    except KeyboardInterrupt:
        print("clicv2lite: stopped; the same command goes on", file=sys.stderr)
        raise
    for name, why in failed.items():
        print(f"clicv2lite: {name}: {why}", file=sys.stderr)
    return 1 if failed else 0


def _short(paths: list[str]) -> str:
    """Paths, their common folder once."""
    folders = {os.path.dirname(path) for path in paths}
    if len(paths) < 2 or len(folders) > 1:
        return ", ".join(paths)
    return f"{folders.pop()}/{{{','.join(os.path.basename(path) for path in paths)}}}"
