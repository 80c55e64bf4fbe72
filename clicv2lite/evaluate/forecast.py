"""What a suite would take on a machine, without starting it: hours and memory of every run, the total, what is missing."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch

from clicv2lite.errors import UserError
from clicv2lite.evaluate.keys import learned
from clicv2lite.evaluate.known import Kept
from clicv2lite.evaluate.sizes import SuiteSize
from clicv2lite.evaluate.suites import Suite, SuiteRow
from clicv2lite.extras import DISTRIBUTIONS, install
from clicv2lite.pretrain.cost.hardware import Machine
from clicv2lite.pretrain.cost.plan import Plan, plan, refusal

PACKAGES = {"evaluate": ("matplotlib", "scipy", "skimage"), "train": ("simplejpeg", "timm", "torchvision")}
OF_BASELINES = {"supervised": ("coral_pytorch", "torchvision")}
"""Extra -> packages that a suite imports; the second only for a row that is a supervised baseline."""


def forecast(
    suite: Suite,
    rows: Sequence[SuiteRow],
    size: SuiteSize,
    seeds: Sequence[int],
    kept: Kept | None,
    device: torch.device,
    asked: Machine | None = None,
) -> dict[str, Any]:
    """Count what is missing.

    Args:
        rows: of the suite. kept: the runs that are there; None if data are missing, then no run counts as finished.
        device: of this machine. asked: another one.

    Returns:
        machine; rows, one a row: label, recipe, runs (how many are still to be made), hours and gpu_bytes of one of them, micro
        (images per forward pass), problem (why it cannot be made or does not fit, or None), note (why it needs no run here);
        runs, hours, gpu_hours: of all that is missing, a run that rows share counted once.
    """
    ranks = torch.cuda.device_count() if device.type == "cuda" and device.index is None else 1
    counted: dict[str, str] = {}  # what a run learns -> the row that it was first counted for
    found = [_row(row, size, seeds, kept, (device, ranks, asked), counted) for row in rows]
    total = sum(one["runs"] * (one["hours"] or 0.0) for one in found)
    gpus, name = (asked.gpus, f"{asked.gpus} x {asked.gpu.name}") if asked else (ranks, "this machine")
    about = {"suite": suite.name, "size": size.name, "seeds": list(seeds), "machine": name, "rows": found}
    return about | {"runs": sum(one["runs"] for one in found), "hours": total, "gpu_hours": total * gpus}


def missing_packages(rows: Sequence[SuiteRow]) -> list[str]:
    """Packages that the rows need and that are not installed, each with what installs it."""
    wanted = PACKAGES | (OF_BASELINES if any(row.baseline for row in rows) else {})
    lacking = [(name, of) for of, names in wanted.items() for name in names if find_spec(name) is None]
    return [f"{DISTRIBUTIONS.get(name, name)}: {install(of)}" for name, of in lacking]


def lines(found: dict[str, Any], missing: Sequence[str]) -> list[str]:
    """A forecast as lines of text.

    Args:
        missing: of data and packages, one line each.
    """
    wide = max(len(one["label"]) for one in found["rows"])
    out = [f"{found['suite']} at --size {found['size']} on {found['machine']}, seeds {' '.join(map(str, found['seeds']))}", ""]
    out.append(f"{'row':{wide}s}  {'recipe':14s}{'runs':>6s}{'hours each':>12s}{'GB a GPU':>10s}{'micro-batch':>13s}")
    for one in found["rows"]:
        costs = ""
        if one["hours"] is not None:
            memory, hours = one["gpu_bytes"] / 1e9, one["hours"]
            costs = f"{one['recipe']:14s}{one['runs']:6d}{_hours(hours):>12s}{memory:10.1f}{one['micro']:13,d}"
        said = "; ".join(filter(None, (one["note"], one["problem"])))
        out.append(f"{one['label']:{wide}s}  {costs}{'  ' * bool(costs and said)}{said}".rstrip())
    out += ["", f"in all: {found['runs']} runs, {_hours(found['hours'])} hours one after the other"]
    out[-1] += f" ({_hours(found['gpu_hours'])} GPU hours); measuring the encoders comes on top"
    return out + [f"missing: {one}" for one in missing]


def _row(
    row: SuiteRow,
    size: SuiteSize,
    seeds: Sequence[int],
    kept: Kept | None,
    where: tuple[torch.device, int, Machine | None],
    counted: dict[str, str],
) -> dict[str, Any]:
    one: dict[str, Any] = {"label": row.label, "recipe": None, "runs": 0, "hours": None, "gpu_bytes": None, "micro": None}
    one |= {"problem": None, "note": None}
    if row.baseline or not row.trained:
        no_run = "trained fold by fold when it is measured: not counted" if row.baseline else "needs no run"
        return one | {"note": no_run}
    recipes = [size.recipe(row, seed) for seed in seeds]
    try:
        cost = plan(recipes[0], where[0], where[1], where[2], others={})
    except (UserError, ValueError) as error:  # a backbone whose cost nobody has stated
        return one | {"recipe": recipes[0].name, "problem": str(error)}
    keys = [str(learned(recipe)) for recipe in recipes]
    shared = {counted[key] for key in keys if key in counted}
    fresh = [recipe for recipe, key in zip(recipes, keys, strict=True) if key not in counted]
    counted |= {key: row.label for key in keys if key not in counted}
    there = [recipe for recipe in fresh if kept and kept.has(recipe)]
    notes = [f"the runs of {', '.join(sorted(shared))}"] if shared else []
    notes += [f"{len(there)} finished"] if there else []
    first = cost.outlooks[0]
    one |= {"recipe": recipes[0].name, "runs": len(fresh) - len(there), "hours": first.hours, "gpu_bytes": first.needed}
    return one | {"micro": first.micro, "problem": _problem(cost), "note": ", ".join(notes) or None}


def _problem(cost: Plan) -> str | None:
    reason = refusal(cost)
    return reason and f"does not fit: {reason}"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}"
