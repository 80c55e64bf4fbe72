"""`clicv2lite bench`: how fast this machine is, as ratios measured in one run (book chapters 7 and 10)."""

import argparse
import time
from dataclasses import asdict
from typing import Any

import torch

from clicv2lite.bench.growth import command as growth
from clicv2lite.bench.measure import Timing, print_table
from clicv2lite.bench.peers import command as peers
from clicv2lite.device import add_device, choose_device
from clicv2lite.errors import UserError
from clicv2lite.extras import need
from clicv2lite.files import put_json
from clicv2lite.outputs import add_output
from clicv2lite.provenance import provenance, stamped
from clicv2lite.recipes.library import get_recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench`."""
    add_output(parser, "--json", help="write the result to this file")
    peers.add_arguments(parser)
    growth.add_arguments(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print tables, write JSON."""
    from clicv2lite.bench import inputs, loss, memory, operators, parts, step

    peers.check(args)
    if args.peers is not None or args.growth is not None:
        return _other(args)
    device = choose_device(args.device)
    need("train", "simplejpeg", "timm")  # refused before the long part
    began = time.perf_counter()
    about = provenance()
    print(f"{about['hardware']}, {torch.get_num_threads()} threads; {about['versions']}")
    print("x: time of the reference over ours, median over rounds; over the floor: our time over that of what every way needs")
    found: dict[str, list[Timing]] = {}
    for section, measure in (
        ("timings", lambda: [parts.bench_shift(), parts.bench_entropy(), loss.bench_small()]),
        ("loss", loss.bench_large),
        ("step", lambda: step.bench_step(device)),
        ("input", inputs.bench_inputs),
    ):
        found[section] = measure()
        print_table(found[section])
    shares = operators.operators(get_recipe("lite", step.SETTINGS))
    operators.print_table(shares)
    peaks = memory.bench_memory()
    memory.print_table(peaks)
    if args.json:
        result: dict[str, Any] = {section: [asdict(timing) for timing in timings] for section, timings in found.items()}
        result |= {"operators": shares, "memory": [asdict(peak) for peak in peaks], "threads": torch.get_num_threads()}
        put_json(args.json, stamped(result, began))
    return 0


def _other(args: argparse.Namespace) -> int:
    """What --peers or --growth measures instead."""
    if args.peers is not None and args.growth is not None:
        raise UserError("--growth: it is measured apart from --peers; leave one of them out")
    name, way = ("--peers", peers.run) if args.peers is not None else ("--growth", growth.run)
    if args.device not in ("auto", "cpu"):
        raise UserError(f"--device {args.device}: {name} measures on the processor; leave one of them out")
    return way(args)
