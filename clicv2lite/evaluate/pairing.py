"""Two rows of a suite's result as a paired comparison: what is stored of them, and whether it belongs together (chapter 15)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clicv2lite.evaluate.paired import Paired, paired_difference
from clicv2lite.probe.predictions import unpack, unpack_names

PREDICTED = {"top1": "imagenet", "category_accuracy": "classes"}
"""Number beside the heads -> whose predictions are its own."""
OF_A_MAP = ("class_agreement", "score_r2")  # numbers of a whole t-SNE map: no bootstrap over images


def spreads(row: Mapping[str, Any], head: str) -> dict[str, Any]:
    """Every number of a row, metric -> spread: those of one head, and those beside the heads (of classifiers, of a map)."""
    ours = row["ours"] or {}
    return {key: value for key, value in ours.items() if "values" in value} | ours.get(head, {})


def paired_rows(
    result: Mapping[str, Any], left: str, right: str, metric: str = "pcc", head: str | None = None
) -> Paired | None:
    """Compare two rows of a suite's result by the seeds that both have.

    Args:
        result: as `evaluate` writes it. left, right: labels of rows.
        metric: pcc, variance, pcc:NAME, top1, category_accuracy, class_agreement or score_r2.
        head: None is the first one.

    Returns:
        Left minus right; without a bootstrap, and with the reason, where predictions are not stored or do not belong together.
        None where one of the two was not measured, or they have no seed in common.
    """
    rows, head = {row["label"]: row for row in result["rows"]}, head or result["heads"][0]
    if left not in rows or right not in rows:
        return None
    pair = rows[left], rows[right]
    values = [spreads(row, head).get(metric, {}).get("values") for row in pair]
    if not values[0] or not values[1]:
        return None
    seeds = [[run["seed"] for run in row["runs"]] for row in pair]
    places = [[one.index(seed) for seed in seeds[0] if seed in seeds[1]] for one in seeds]
    if not places[0]:
        return None
    a, b = (np.array(of)[at] for of, at in zip(values, places, strict=True))
    difference = tuple((a - b).tolist())
    if metric in OF_A_MAP:
        return Paired(difference)
    kept = [row.get("predictions", {}).get(PREDICTED.get(metric, head)) for row in pair]
    if not kept[0] or not kept[1]:
        return Paired(difference, lack="no predictions stored: no interval over images")
    kept = [[of[place] for place in at] for of, at in zip(kept, places, strict=True)]
    images, folds = {one["images"] for seeds in kept for one in seeds}, [[one["folds"] for one in seeds] for seeds in kept]
    if len(images) > 1 or folds[0] != folds[1]:
        return Paired(difference, lack="other images or folds: no interval over images")
    rated = result["rated"][images.pop()]
    a, b = (np.stack([unpack(one["values"]) for one in seeds]) for seeds in kept)
    statistic = result["metric"] if metric == "pcc" else metric
    found = paired_difference(a, b, unpack(rated["scores"]), unpack_names(rated["categories"]), statistic)
    return Paired(difference, found.resampled)


def as_json(pair: Paired) -> dict[str, Any]:
    """A comparison for a result: values by seed, mean, both 95 % intervals, two-sided p-value; None where there is none."""
    return {
        "values": list(pair.values),
        "mean": pair.mean,
        "over_seeds": pair.over_seeds,
        "over_images": pair.over_images,
        "p": pair.p,
    }
