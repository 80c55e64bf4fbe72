"""One row of a suite: each seed trained if it may be and is not there, then measured, and what all seeds say (chapter 15)."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError
from clicv2lite.evaluate.keys import is_finished, run_key, untrained_key
from clicv2lite.evaluate.known import TOP1, Kept, One, baseline_run
from clicv2lite.evaluate.pairing import OF_A_MAP
from clicv2lite.evaluate.runs import RatedImages, about_run, supervised, supervised_key, top1, train, untrained
from clicv2lite.evaluate.suites import SuiteRow
from clicv2lite.evaluate.summary import numbers, over_seeds, spread
from clicv2lite.recipes.recipe import Recipe


@dataclass(frozen=True)
class Plan:
    """What is run and measured for each row."""

    suite: str
    kept: Kept  # the runs that are there
    seeds: tuple[int, ...]
    heads: tuple[str, ...]  # the first one decides
    measures: tuple[str, ...]  # beside the heads
    imagenet: Path | None = None  # for the column top-1
    only_finished: bool = False  # train nothing, and leave out the seeds that are not there


def take_rated(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Take out of the rows' predictions what all of them share: digest of images -> their scores and categories."""
    kept = [one for row in rows for seeds in row["predictions"].values() for one in seeds]
    rated = {one["images"]: one["rated"] for one in kept}
    for one in kept:
        one.pop("rated", None)  # two rows may hold the same known run
    return rated


def measured_row(row: SuiteRow, rated: RatedImages, plan: Plan) -> dict[str, Any]:
    """Run and measure one row for every seed, or for those that are there.

    Returns:
        label, paper, settings, note; missing: why it cannot be run here; runs: one a seed; ours: head -> number -> spread over
        these seeds, and numbers beside the heads, None if nothing was measured; lacks: head -> why it cannot read this row's
        encoder; predictions: head or measure -> one a seed.
    """
    out: dict[str, Any] = {"label": row.label, "paper": dict(row.paper), "settings": list(row.settings), "ours": None}
    out |= {"note": row.note, "missing": None, "runs": [], "lacks": {}, "predictions": {}}
    found: list[dict[str, dict[str, Any]]] = []
    try:
        for seed in plan.seeds:
            if plan.only_finished and not _finished(row, rated, plan, seed):
                continue
            about, one = _one(row, rated, plan, seed)
            found.append(one)
            out["runs"].append({"seed": seed, **about})
    except UserError as error:
        if not row.baseline:
            raise
        out["missing"] = str(error)  # a package or weights that one baseline needs
    if found:
        out["lacks"] = {head: one["missing"] for head, one in found[0].items() if "missing" in one}
        heads = [head for head in plan.heads if head in found[0] and head not in out["lacks"]]
        out["ours"] = _ours(found, heads)
        if "map" in found[0]:
            out["map"] = found[0]["map"]["map"]
        if "offsets" in found[0]:
            out["offsets"] = _offsets([one["offsets"]["offsets"] for one in found])
        kinds = [kind for kind in found[0] if all("predictions" in one.get(kind, {}) for one in found)]
        out["predictions"] = {kind: [one[kind]["predictions"] for one in found] for kind in kinds}
    return out


def _ours(found: list[dict[str, dict[str, Any]]], heads: list[str]) -> dict[str, Any]:
    """Spreads over seeds of every number of the heads, and of those beside them."""
    ours: dict[str, Any] = {head: over_seeds([one[head]["numbers"] for one in found]) for head in heads}
    for kind in ("classes", TOP1, "map"):
        if all(kind in one for one in found):
            ours |= over_seeds([one[kind]["numbers"] for one in found])
    return ours


def _numbered(kind: str, found: dict[str, Any], metric: str) -> dict[str, Any]:
    """What a row keeps of a measurement: its numbers, its predictions, and the points of a map or what offsets say."""
    if "missing" in found:
        return found
    one: dict[str, Any] = {"predictions": found["predictions"]} if "predictions" in found else {}
    if kind == "classes":
        return one | {"numbers": {"category_accuracy": 100 * found["accuracy"]}}
    if kind == TOP1:
        return one | {"numbers": {"top1": 100 * found["top1"]}}
    if kind == "map":
        points = {key: found[key] for key in ("points", "categories", "scores")}
        return one | {"numbers": {key: found[key] for key in OF_A_MAP}, "map": points}
    if kind == "offsets":
        return one | {"numbers": {}, "offsets": {key: found[key] for key in ("limit", "r2")}}
    return one | {"numbers": numbers(found, metric)}


def _offsets(found: list[dict[str, Any]]) -> dict[str, Any]:
    """R^2 of the reader of offsets: fill -> one spread over seeds a block."""
    fills = found[0]["r2"]
    r2 = {fill: [spread(values) for values in zip(*(one["r2"][fill] for one in found), strict=True)] for fill in fills}
    return {"limit": found[0]["limit"], "r2": r2}


def _finished(row: SuiteRow, rated: RatedImages, plan: Plan, seed: int) -> bool:
    """Whether a seed can be reported without training: an untrained ViT always can, a supervised baseline if it is known."""
    if row.baseline:
        return supervised_key(row.baseline, rated, seed) in plan.kept.known
    if not row.trained:
        return True
    return plan.kept.has(rated.size.recipe(row, seed))


def _one(row: SuiteRow, rated: RatedImages, plan: Plan, seed: int) -> One:
    """One seed of a row, trained and measured, or as a known result has it."""
    kinds, metric = (*plan.heads, *plan.measures), rated.size.metric
    if row.baseline:
        key, work = supervised_key(row.baseline, rated, seed), plan.kept.runs / "supervised"
        return plan.kept.known.get(key) or baseline_run(supervised(row.baseline, rated, work, seed), kinds, metric)
    recipe = rated.size.recipe(row, seed)
    if row.trained:
        folder, encoder = plan.kept.folder(recipe), None
        print(f"{plan.suite}: {row.label}, seed {seed}, {folder}", file=sys.stderr)
        if folder.name in plan.kept.known:
            about, known = plan.kept.known[folder.name]
            return about, known | ({} if TOP1 in known else _later(row, plan, recipe, seed, rated))
        train(recipe, plan.kept.images, folder, str(rated.device))
        about = {"key": folder.name, **about_run(folder)}
    else:
        folder, encoder = plan.kept.runs / "untrained" / run_key(recipe, plan.kept.images), untrained(recipe)
        about = {"shape": [str(value) for value in (recipe.encoder, recipe.pool)]}
        if there := plan.kept.known.get(untrained_key(about["shape"], seed)):
            about, known = there
            return about, known | ({} if TOP1 in known else _top1(plan, folder, encoder, seed, rated))
    measured = {kind: _numbered(kind, one, metric) for kind, one in rated.measure(folder, encoder, kinds, seed).items()}
    return about, measured | _top1(plan, folder, encoder, seed, rated)


def _later(row: SuiteRow, plan: Plan, recipe: Recipe, seed: int, rated: RatedImages) -> dict[str, dict[str, Any]]:
    """The top-1 of a run that a result knows without one: measured here if the encoder is here, else it is said."""
    folder = plan.kept.folder(recipe)
    if is_finished(folder):
        return _top1(plan, folder, None, seed, rated)
    if plan.imagenet:
        print(f"clicv2lite: {row.label}, seed {seed}: known without top-1, and its encoder is not here", file=sys.stderr)
    return {}


def _top1(plan: Plan, folder: Path, encoder: FrozenEncoder | None, seed: int, rated: RatedImages) -> dict[str, dict[str, Any]]:
    """The linear classifier on ImageNet, if the suite compares it and it is there or can be made; no encoder: the folder's."""
    if "classes" not in plan.measures:
        return {}
    found = top1(folder, plan.imagenet, encoder, seed, rated.device)
    return {TOP1: _numbered(TOP1, found, rated.size.metric)} if found else {}
