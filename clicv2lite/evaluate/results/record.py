"""The record of what made each stored result, data/results/made.json, and what is out of date by it.

A result is *missing* if an output is not there. It is *stale* if the record has no entry of it, if its command in the table is
not the recorded one, if an output is not the file that was recorded, or if an output of an experiment that it comes after has
changed since. Code is not watched: most commits change no number, and a day of computing is a high price for a comment.
Whoever changes what a command computes makes its results again with --force.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any, Literal

from filelock import FileLock

from clicv2lite import files
from clicv2lite.errors import UserError
from clicv2lite.evaluate.results.table import WORK, Experiment, Table

RECORD = "data/results/made.json"
Record = dict[str, dict[str, Any]]  # name -> command, commit, and path -> digest of outputs, keeps, inputs


@dataclass(frozen=True)
class State:
    """Whether a result is up to date, and why not."""

    kind: Literal["fresh", "missing", "stale"]
    why: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.why}" if self.why else self.kind


def digest(path: Path) -> str:
    """Sixteen hexadecimal digits of a file's content; "" if it is not there."""
    return files.digest(path)[:16] if path.is_file() else ""


def read_record(root: Path) -> Record:
    """The record; empty if there is none yet."""
    path = root / RECORD
    try:
        found: Record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        raise UserError(f"{RECORD}: is not JSON; restore it (git checkout {RECORD})") from None
    return found


def state(one: Experiment, table: Table, record: Record, root: Path) -> State:
    """Whether an experiment has to be made (see the module's text)."""
    for path in one.outputs:
        if not (root / path).is_file():
            return State("missing", f"no {path}")
    made = record.get(one.name)
    if made is None:
        return State("stale", "not in the record") if one.outputs else State("missing", "never made")
    if made["command"] != one.command:
        return State("stale", f"its command was `{made['command']}`")
    for path in one.outputs:
        if made["outputs"].get(path) != digest(root / path):
            return State("stale", f"{path} is not as it was made")
    now = inputs(one, table, root)
    for path in [*now, *made["inputs"]]:
        if made["inputs"].get(path) != now.get(path):
            return State("stale", f"{path} has changed since")
    return State("fresh")


def inputs(one: Experiment, table: Table, root: Path) -> dict[str, str]:
    """Path -> digest of all outputs of the experiments that one comes after, but texts for people, which no command reads."""
    paths = [path for name in one.after for path in table.experiments[name].outputs if not path.endswith(".md")]
    return {path: digest(root / path) for path in paths}


def keeps_are_here(one: Experiment, record: Record, root: Path) -> bool:
    """Whether the files that were too large to be stored are those of the recorded result."""
    kept = record.get(one.name, {}).get("keeps", {})
    return all(kept.get(file) == digest(root / one.out / file) != "" for file in one.keeps)


def store(one: Experiment, taken_in: Mapping[str, str], commit: str, root: Path) -> None:
    """Move an experiment's outputs to their places, all or none, and record them.

    The record goes first: should the machine stop in between, what is there is not as recorded, thus stale.

    Args:
        taken_in: what `inputs` returned before it ran.
    """
    made = {
        "command": one.command,
        "commit": commit,
        "outputs": {path: digest(root / one.out / file) for path, file in one.outputs.items()},
        "keeps": {file: digest(root / one.out / file) for file in one.keeps},
        "inputs": dict(taken_in),
    }
    with _changing(root) as record, ExitStack() as stack:
        for path, file in one.outputs.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            copyfile(root / one.out / file, stack.enter_context(files.atomic(root / path)))
        record[one.name] = made
        _write(record, root)


def adopt(one: Experiment, table: Table, root: Path) -> None:
    """Record what lies in the checkout as made by the experiment's command, without running it: after a renamed option, say.

    Raises:
        UserError: if an output is missing.
    """
    commits = []
    for path in one.outputs:
        if not (root / path).is_file():
            raise UserError(f"--adopt {one.name}: {path} is not there; make it with `clicv2lite results {one.name}`")
        commits += (
            re.findall(r'^  "commit": "(.+)"', (root / path).read_text("utf-8", "replace"), re.M) if ".json" in path else []
        )
    made = {"command": one.command, "commit": commits[-1] if commits else None}
    made |= {"outputs": {path: digest(root / path) for path in one.outputs}, "keeps": {}, "inputs": inputs(one, table, root)}
    with _changing(root) as record:
        record[one.name] = made | {"keeps": record.get(one.name, {}).get("keeps", {})}
        _write(record, root)


def _write(record: Record, root: Path) -> None:
    (root / RECORD).parent.mkdir(parents=True, exist_ok=True)
    files.write_json(root / RECORD, dict(sorted(record.items())))


@contextmanager
def _changing(root: Path) -> Iterator[Record]:
    """The record, while no other process changes it."""
    (root / WORK).mkdir(parents=True, exist_ok=True)
    with FileLock(root / WORK / "made.lock"):
        yield read_record(root)
