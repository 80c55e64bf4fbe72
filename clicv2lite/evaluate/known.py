"""Which runs of a suite need not be made: those in its folder, and those that an earlier result has measured (chapter 15).

A result of `evaluate` holds, for every run, its key, its numbers and its predictions; one of `supervised` is one run. With
`--known` they are taken from there, so that seeds made on several machines, or at several times, become one table without any
of their encoders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clicv2lite.errors import UserError
from clicv2lite.evaluate.keys import baseline_key, is_finished, run_key, untrained_key
from clicv2lite.evaluate.pairing import PREDICTED
from clicv2lite.evaluate.sizes import SIZES
from clicv2lite.evaluate.stored import read_json
from clicv2lite.evaluate.summary import numbers
from clicv2lite.probe.imagenet import RESULT
from clicv2lite.recipes.recipe import Recipe

if TYPE_CHECKING:  # which need torch and scikit-learn
    from clicv2lite.evaluate.runs import RatedImages

TOP1 = "imagenet"
"""Kind of measurement that a run may have beside those that its suite asks for."""
One = tuple[dict[str, Any], dict[str, dict[str, Any]]]
"""One seed of a row: about its run; kind of measurement -> numbers, and predictions where it has some, as a row keeps them."""


@dataclass(frozen=True)
class Kept:
    """The runs that are there."""

    runs: Path  # folder of the runs
    images: tuple[str, ...]  # what they are pretrained on
    known: Mapping[str, One] = field(default_factory=dict)  # key -> what a result has measured

    def folder(self, recipe: Recipe) -> Path:
        """Where a run lies, or would."""
        return self.runs / run_key(recipe, self.images)

    def lacks_top1(self, recipe: Recipe) -> bool:
        """Whether the linear classifier on ImageNet can be made for a run, and neither the run nor a result has one."""
        folder = self.folder(recipe)
        here = folder.name not in self.known or (TOP1 not in self.known[folder.name][1] and is_finished(folder))
        return here and not (folder / RESULT).is_file()

    def has(self, recipe: Recipe) -> bool:
        """Whether a run need not be made."""
        folder = self.folder(recipe)
        return folder.name in self.known or is_finished(folder)


def baseline_run(found: Mapping[str, Any], kinds: Sequence[str], metric: str) -> One:
    """One seed of a supervised baseline: its predictions stand where those of the first head do, and no other head reads it.

    Args:
        found: of :func:`clicv2lite.baselines.supervised.folds.measure`, with provenance. kinds, metric: as for a row.
    """
    about = {"key": baseline_key(found["model"], found["settings"], found["seed"]), "backbone": found["settings"]["backbone"]}
    about |= {key: found[key] for key in ("weights", "seconds", "commits", "hardware")}
    own = {"numbers": numbers(found, metric), "predictions": found["predictions"]}
    return about, {kinds[0]: own, **{kind: {"missing": "it is trained with a head of its own"} for kind in kinds[1:]}}


def read_known(paths: Sequence[Path], size: str, kinds: Sequence[str], rated: "RatedImages | None" = None) -> dict[str, One]:
    """What results of `evaluate` and of `supervised` have measured: key of a run -> about it, and its measurements.

    Args:
        paths: of results; of two that hold one run, the first counts. size: that they must be of.
        kinds: of measurements; a run that lacks one is left out. rated: None checks nothing.

    Raises:
        UserError: if a file is no such result, is of another size, or was measured on other images, ratings or folds than
            `rated`.
    """
    found: dict[str, One] = {}
    for path in paths:
        try:
            result = read_json(path)
            alone = "model" in result and "rows" not in result  # of `supervised`
            if "predictions" not in result if alone else any("lacks" not in row for row in result["rows"]):
                raise UserError(f"{path}: is of an earlier version, which kept no predictions; run its command again")
            if result["size"] != size:
                raise UserError(f"{path}: is of --size {result['size']}; give one of --size {size}")
            runs = _baseline(result, kinds) if alone else _runs(result, kinds)
            if rated and not _same_ratings(result, runs, rated):
                raise UserError(
                    f"{path}: was measured on other images, ratings or folds than {rated.data.ratings}; leave it out"
                )
        except UserError as error:
            raise UserError(f"--known {str(error).partition('; make it')[0]}") from None
        except (KeyError, IndexError, TypeError, AttributeError):
            raise UserError(
                f"--known {path}: is no result of `clicv2lite evaluate` or `supervised`; give a file that one of them wrote"
            ) from None
        found = runs | found
    return found


def _same_ratings(result: Mapping[str, Any], runs: Mapping[str, One], rated: "RatedImages") -> bool:
    """Whether a result is about these ratings: by the digest of the table, or of what was predicted if it has none."""
    if "ratings" in result:
        return bool(result["ratings"] == rated.digest)
    kept = [
        (one["predictions"], about["seed"])
        for about, measured in runs.values()
        for kind, one in measured.items()
        if "predictions" in one and kind != TOP1
    ]
    return all((one["images"], one["folds"]) == rated.pairing(seed) for one, seed in kept)


def _baseline(result: Mapping[str, Any], kinds: Sequence[str]) -> dict[str, One]:
    """The one run of a result of `supervised`."""
    about, measured = baseline_run(result, kinds, SIZES[result["size"]].metric)
    return {about["key"]: ({"seed": result["seed"], **about}, measured)}


def _runs(result: Mapping[str, Any], kinds: Sequence[str]) -> dict[str, One]:
    """The runs of a result that have all kinds of measurements."""
    found = {}
    for row in result["rows"]:
        for place, about in enumerate(row["runs"]):
            measured = {kind: _measured(result, row, kind, place) for kind in (*kinds, TOP1)}
            key = about.get("key") or untrained_key(about["shape"], about["seed"])
            if all(measured[kind] for kind in kinds):
                found[key] = about, {kind: one for kind, one in measured.items() if one}
    return found


def _measured(result: Mapping[str, Any], row: Mapping[str, Any], kind: str, place: int) -> dict[str, Any]:
    """One kind of measurement of one run; {} if the result does not hold it."""
    if kind in row["lacks"]:
        return {"missing": row["lacks"][kind]}
    if kind == "offsets":
        return _offsets(row["offsets"], place) if "offsets" in row else {}
    beside = [name for name, of in PREDICTED.items() if of == kind]
    spreads = row["ours"].get(kind) or {name: row["ours"][name] for name in beside if name in row["ours"]}
    if not spreads:
        return {}
    found: dict[str, Any] = {"numbers": {name: one["values"][place] for name, one in spreads.items()}}
    if kind in row["predictions"]:
        one = row["predictions"][kind][place]
        found["predictions"] = one | {"rated": result["rated"][one["images"]]}
    return found


def _offsets(about: Mapping[str, Any], place: int) -> dict[str, Any]:
    r2 = {fill: [block["values"][place] for block in blocks] for fill, blocks in about["r2"].items()}
    return {"numbers": {}, "offsets": {"limit": about["limit"], "r2": r2}}
