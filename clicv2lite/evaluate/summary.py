"""Rows of a suite beside the paper's: mean, range and interval over seeds, and whether the direction agrees (chapter 11)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from scipy.stats import t

Verdict = Literal["agrees", "disagrees", "undecided"]
LEVEL = 0.95


def spread(values: Sequence[float]) -> dict[str, Any]:
    """What several seeds have in common.

    Args:
        values: one a seed, at least one.

    Returns:
        values, mean, range [low, high], and interval: Student's 95 % interval of the mean; None for a single seed.
    """
    x = np.asarray(values, dtype=np.float64)
    half = float(t.ppf((1 + LEVEL) / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x))) if len(x) > 1 else None
    mean = float(x.mean())
    return {
        "values": [float(v) for v in x],
        "mean": mean,
        "range": [float(x.min()), float(x.max())],
        "interval": None if half is None else [mean - half, mean + half],
    }


def above(left: Mapping[str, Any] | None, right: Mapping[str, Any] | None) -> Verdict:
    """Whether the left spread lies above the right one: it agrees or disagrees only where the intervals do not overlap."""
    if not left or not right or left["interval"] is None or right["interval"] is None:
        return "undecided"
    if left["interval"][0] > right["interval"][1]:
        return "agrees"
    return "disagrees" if left["interval"][1] < right["interval"][0] else "undecided"


def direction(paper: float, ours: Mapping[str, Any] | None, paper_reference: float, reference: Mapping[str, Any]) -> Verdict:
    """Whether a row lies on the same side of the reference row as in the paper; a tie in the paper decides nothing."""
    if paper == paper_reference:
        return "undecided"
    return above(ours, reference) if paper > paper_reference else above(reference, ours)


def numbers(result: Mapping[str, Any], metric: str) -> dict[str, float]:
    """The numbers of one report that suites compare: pcc and srcc (of `metric`'s kind), variance over categories, pcc:NAME.

    Args:
        result: of :func:`clicv2lite.probe.metrics.report`. metric: mean_pcc, over categories, or pcc, over all images.
    """
    parts = {name: entry for name, entry in result["per_category"].items() if entry["pcc"] is not None}
    ranks = [entry["srcc"] for entry in parts.values()]
    found = {
        "pcc": result[metric],
        "srcc": float(np.mean(ranks)) if metric == "mean_pcc" and ranks else result["srcc"],
        "variance": result["pcc_variance"],
        **{f"pcc:{name}": entry["pcc"] for name, entry in parts.items()},
    }
    return {key: value for key, value in found.items() if value is not None}


def over_seeds(found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The spread of every number that all seeds have."""
    keys = [key for key in found[0] if all(key in one for one in found)] if found else []
    return {key: spread([one[key] for one in found]) for key in keys}


def markdown(result: Mapping[str, Any]) -> str:
    """A suite's result as a Markdown table, with where it comes from below."""
    heads, tops = result["heads"], any("top1" in (row["ours"] or {}) for row in result["rows"])
    head = ["", "paper PCC"]
    for name in heads:
        head += [f"ours, {name} [range]", "95 % interval"]
    head += [f"direction against {result['reference']}"]
    if tops:
        head += ["paper top-1, %", "our classes, % [range]", "direction"]
    lines = [f"**{result['caption']}**", "", _line(head), _line(["---"] * len(head))]
    for row in result["rows"]:
        cells = [row["label"] + _backbone(row), _number(row["paper"].get("pcc"))]
        for name in heads:
            found = (row["ours"] or {}).get(name, {}).get("pcc")
            cells += [_spread(found), _interval(found)]
        cells += [row["missing"] or row["direction"]["pcc"] or ""]
        if tops:
            found = (row["ours"] or {}).get("top1")
            cells += [_number(row["paper"].get("top1"), 1), _spread(found, 1), row["direction"]["top1"] or ""]
        lines.append(_line(cells))
    seeds = ", ".join(map(str, result["seeds"]))
    images = f"{result['n']} rated images, {result['metric']}"
    lines += ["", f"Size {result['size']}, seeds {seeds}; {images}; commit {result['commit']}; `{result['command']}`", ""]
    return "\n".join(lines)


def _backbone(row: Mapping[str, Any]) -> str:
    """What was built or run, and what a supervised baseline was trained from."""
    about = next((run for run in row["runs"] if "backbone" in run), None)
    said = [f"here {about['backbone']}, {about['weights']}"] if about else []
    said += [row["note"]] if row.get("note") else []  # results of earlier versions have none
    return f" ({'; '.join(said)})" if said else ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _spread(found: Mapping[str, Any] | None, digits: int = 3) -> str:
    if found is None:
        return ""
    low, high = found["range"]
    return f"{_number(found['mean'], digits)} [{_number(low, digits)}, {_number(high, digits)}]"


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None or found["interval"] is None:
        return ""
    return f"{_number(found['interval'][0])} to {_number(found['interval'][1])}"
