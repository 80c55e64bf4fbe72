"""Results kept beside the book: small files under data/results, each with the command that made it (chapters 1, 7 and 8)."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clicv2lite.errors import UserError
from clicv2lite.json_object import read_object
from clicv2lite.pretrain.log import read_log
from clicv2lite.provenance import code_version

CARRIED = Path(__file__).parents[1] / "_results"  # where a wheel puts data/results (pyproject.toml)
CHECKOUT = Path(__file__).parents[2] / "data" / "results"


@dataclass(frozen=True)
class Run:
    """One pretraining and the probe of its encoder."""

    seed: int
    config: dict[str, Any]  # config.json: the recipe, the number of images, command, commit, hardware, versions
    log: list[dict[str, Any]]  # the rows of metrics.jsonl
    probe: dict[str, Any]  # what `clicv2lite probe --json` wrote


@dataclass(frozen=True)
class Results:
    """What the chapters quote."""

    runs: list[Run]  # of the recipe lite, one per seed
    random: list[dict[str, Any]]  # the same probe on the same architecture, untrained, one per seed
    measures: dict[str, dict[str, Any]]  # hand-crafted measure -> its report on the same images


def stored_results() -> Path:
    """The folder of the stored results: carried by the installed package, or data/results of the checkout it runs from.

    Raises:
        UserError: if there is neither.
    """
    for folder in (CARRIED, CHECKOUT):
        if folder.is_dir():
            return folder
    raise UserError(f"{CARRIED}: no stored results; install clicv2lite from its wheel or its repository, with data/results")


def read_results(folder: Path) -> Results:
    """Read the layout that data/README.md describes.

    Args:
        folder: holds lite/seed*/{config.json,metrics.jsonl,probe.json}, random/seed*.json and measures_savoias.json.

    Returns:
        The results, runs in the order of their folders' names.

    Raises:
        UserError: if a part is missing, empty or no JSON.
    """
    runs = [_run(path) for path in sorted(folder.glob("lite/seed*"))]
    untrained = [read_json(path) for path in sorted(folder.glob("random/seed*.json"))]
    if not runs or not untrained:
        raise UserError(f"{folder}: holds no lite/seed*/ or no random/seed*.json; make them with `make results`")
    return Results(runs, untrained, read_json(folder / "measures_savoias.json")["measures"])


def read_json(path: Path) -> dict[str, Any]:
    """One stored result; UserError if the file is missing or no JSON object."""
    try:
        return read_object(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); make it with `make results`") from None
    except ValueError as error:
        raise UserError(f"{path}: holds no JSON object ({error}); make it again with `make results`") from None


def layouts_tried() -> tuple[int, int]:
    """How many tries the search for the model's reading had, readings.csv, and how many layouts the one after it.

    The second is nearest.csv, where likeness comes from the first, three rows choose among others, and untrained
    networks are for comparison.
    """
    found = []
    for log in ("readings.csv", "nearest.csv"):
        with (stored_results() / log).open(encoding="utf-8", newline="") as file:
            found.append([row["name"] for row in csv.DictReader(file)])
    first, second = found
    no_layout = re.compile("likeness|.*chosen by inner folds|.*untrained")
    return len(first), len({name for name in second if not no_layout.fullmatch(name)})


def origin(result: Mapping[str, Any]) -> str:
    """Where a stored result comes from, in three lines: command; commit and seconds if known; hardware and versions."""
    commit = code_version(result)
    if "seconds" in result:
        commit += f", {result['seconds']:.0f} s"
    return "\n".join([result["command"], commit, f"{result['hardware']}; {result['versions']}"])


def _run(folder: Path) -> Run:
    config, log = read_json(folder / "config.json"), read_log(folder / "metrics.jsonl")
    if not log:
        raise UserError(f"{folder / 'metrics.jsonl'}: missing or empty; make it with `make results`")
    return Run(config["recipe"]["seed"], config | {"seconds": log[-1]["seconds"]}, log, read_json(folder / "probe.json"))
