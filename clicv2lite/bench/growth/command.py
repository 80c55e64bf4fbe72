"""The part of `clicv2lite bench` behind `--growth`: measure point by point, print slopes, write JSON."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from clicv2lite.bench.growth.point import Point, measure_apart
from clicv2lite.bench.growth.work import TOPICS, works
from clicv2lite.extras import need
from clicv2lite.files import put_json
from clicv2lite.provenance import stamped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--growth`."""
    about = "measure how time and memory grow with the amount of work instead; some of: " + ", ".join(TOPICS)
    parser.add_argument("--growth", nargs="*", action="extend", choices=TOPICS, metavar="TOPIC", help=f"{about} (default all)")


def run(args: argparse.Namespace) -> int:
    """Measure on the processor, print the table, write JSON; exit status 0."""
    need("train", "simplejpeg", "timm")
    need("probe", "sklearn")
    began, rows = time.perf_counter(), list[dict[str, Any]]()
    print("exponents: of the time and of the memory, over all sizes, and between the last two; theory: of the time, and why")
    for topic in args.growth or TOPICS:
        for place, work in enumerate(works(topic)):
            points = [measure_apart(topic, place, size) for size in work.sizes]
            about = {"topic": topic, "name": work.name, "grows": work.grows, "theory": work.theory}
            rows.append({**about, **slopes(points), "points": [asdict(point) for point in points]})
            print(text(rows[-1]))
    if args.json:
        put_json(args.json, stamped({"growth": rows, "threads": torch.get_num_threads()}, began))
    return 0


def slopes(points: Sequence[Point]) -> dict[str, float | None]:
    """Exponents k of size**k: of seconds and of resident bytes; `_last`: from the last two points alone."""
    sizes, found = [point.size for point in points], dict[str, float | None]()
    for name, values in (("seconds", [p.seconds for p in points]), ("resident", [p.resident for p in points])):
        known = [value for value in values if value]
        whole = len(known) == len(values)
        found[name] = slope(sizes, known) if whole else None
        found[f"{name}_last"] = slope(sizes[-2:], known[-2:]) if whole else None
    return found


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The exponent k that fits values = c * size**k best, on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def text(row: dict[str, Any]) -> str:
    """A row for a terminal."""
    time_, memory = (
        ", ".join("-" if v is None else f"{v:.2f}" for v in (row[k], row[f"{k}_last"])) for k in ("seconds", "resident")
    )
    lines = [f"\n{row['name']}, by {row['grows']}: time {time_}; memory {memory}; theory {row['theory']}"]
    for point in row["points"]:
        grown = "" if point["resident"] is None else f"{point['resident'] / 1e6:12,.1f} MB"
        lines.append(f"  {point['size']:>12,} {point['seconds'] * 1e3:14,.2f} ms{grown}")
    return "\n".join(lines)
