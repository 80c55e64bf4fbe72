"""Rows of a suite beside the paper's: mean and range over seeds, and the paired difference from the reference (chapter 15)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clicv2lite.extras import extra

with extra("evaluate"):
    from scipy.stats import t

from clicv2lite.evaluate.cells import difference_cells, ends, line, number
from clicv2lite.evaluate.paired import LEVEL, MEANINGS, RATE, Paired, Verdict
from clicv2lite.provenance import code_version

ANY = (-math.inf, math.inf)
LIMITS = {"pcc": (-1.0, 1.0), "srcc": (-1.0, 1.0), "variance": (0.0, 1.0), "class_agreement": (0.0, 1.0)}
LIMITS |= {"top1": (0.0, 100.0), "category_accuracy": (0.0, 100.0)}
"""Name of a number -> where its mean can lie; `score_r2` has no lower limit."""
CLASSIFIERS = {"top1": "ours, top-1 on ImageNet", "category_accuracy": "ours, category probe"}
"""Numbers of ours that lie beside the paper's top-1 -> their columns; the second is about other classes, and fewer."""


def spread(values: Sequence[float], limits: tuple[float, float] = ANY) -> dict[str, Any]:
    """What several seeds have in common.

    Args:
        values: one a seed, at least one.
        limits: the mean cannot lie outside, such as -1 and 1 for a correlation.

    Returns:
        values, mean, range [low, high], and interval: Student's 95 % interval of the mean, without its part beyond the limits;
        None for a single seed. The true mean lies within the limits, so the part cut off never held it, and the interval still
        holds it in 95 % of cases. (Fisher's z would move the centre away from the mean, and is infinite at 1.)
    """
    x = np.asarray(values, dtype=np.float64)
    half = float(t.ppf((1 + LEVEL) / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x))) if len(x) > 1 else None
    mean = float(x.mean())
    return {
        "values": [float(v) for v in x],
        "mean": mean,
        "range": [float(x.min()), float(x.max())],
        "interval": None if half is None else [max(limits[0], mean - half), min(limits[1], mean + half)],
    }


def direction(paper: float, pair: Paired) -> Verdict:
    """Whether a paired difference has the sign of the paper's, if both intervals leave out zero."""
    if paper == 0 or pair.p is None or pair.p > RATE:
        return "undecided"
    return "agrees" if paper * pair.mean > 0 else "disagrees"


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
    return {key: spread([one[key] for one in found], LIMITS.get(key.partition(":")[0], ANY)) for key in keys}


def markdown(result: Mapping[str, Any]) -> str:
    """A suite's result as a Markdown table, with where it comes from below."""
    heads, rows = result["heads"], result["rows"]
    named = [key for key in CLASSIFIERS if any(key in (row["ours"] or {}) for row in rows)]
    counts = result.get("only_finished", False)  # then each row says how many seeds it has
    paired = ["minus reference", "95 % over seeds", "95 % over images", "direction"]
    head = ["", *(["seeds"] if counts else []), "paper PCC"]
    for name in heads:
        head += [f"ours, {name} [range]", "95 % interval", *paired]
    head += ["paper top-1 on ImageNet, %"] if named else []
    for key in named:
        head += [f"{CLASSIFIERS[key]}, % [range]", *paired]
    lines = [f"**{result['caption']}**", "", line(head), line(["---"] * len(head))]
    for row in rows:
        cells = [row["label"] + _backbone(row), *([f"{len(row['runs'])}"] if counts else []), number(row["paper"].get("pcc"))]
        for name in heads:
            found, one = (row["ours"] or {}).get(name, {}).get("pcc"), of_head(row, name, heads)
            measured = "missing" if name in row.get("lacks", ()) else _spread(found)
            cells += [measured, _interval(found), *difference_cells(one["difference"]), _verdict(row, one["direction"], found)]
        cells += [number(row["paper"].get("top1"), 1)] if named else []
        for key in named:
            cells += [_spread((row["ours"] or {}).get(key), 1), *difference_cells(row["difference"][key], 1)]
            cells += [row["direction"][key] or ""]
        lines.append(line(cells))
    lines += ["", f"Reference: {result['reference']}. Differences are paired: same seeds, images and folds."]
    if any(row["paper"] for row in rows):
        words = "; ".join(f"*{word}*: {meaning}" for word, meaning in MEANINGS.items())
        lines[-1] += (
            f" Directions are of each row by itself ({words}), not corrected for their number; `clicv2lite claims` corrects."
        )
    seeds = ", ".join(map(str, result["seeds"]))
    images = f"{result['n']} rated images, {result['metric']}"
    lines += ["", f"Size {result['size']}, seeds {seeds}; {images}; {code_version(result)}; `{result['command']}`", ""]
    return "\n".join(lines)


def of_head(row: Mapping[str, Any], head: str, heads: Sequence[str]) -> Mapping[str, Any]:
    """The difference of a row's PCC from the reference row's, and its direction, as a head reads both."""
    if head == heads[0]:
        return {key: row.get(key, {}).get("pcc") for key in ("difference", "direction")}
    none: Mapping[str, Any] = {"difference": None, "direction": None}
    return row.get("by_head", {}).get(head, none)


def _verdict(row: Mapping[str, Any], direction: str | None, found: Mapping[str, Any] | None) -> str:
    if row["missing"]:
        return f"not run: {row['missing']}"
    return direction or ("" if found else "not run")


def _backbone(row: Mapping[str, Any]) -> str:
    """What was built or run, and what a supervised baseline was trained from."""
    about = next((run for run in row["runs"] if "backbone" in run), None)
    said = [f"here {', '.join(filter(None, (about['backbone'], about['weights'])))}"] if about else []
    said += [row["note"]] if row.get("note") else []  # results of earlier versions have none
    return f" ({'; '.join(said)})" if said else ""


def _spread(found: Mapping[str, Any] | None, digits: int = 3) -> str:
    if found is None:
        return ""
    low, high = found["range"]
    return f"{number(found['mean'], digits)} [{number(low, digits)}, {number(high, digits)}]"


def _interval(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else ends(found["interval"])
