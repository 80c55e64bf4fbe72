"""What has to be made, why, and in which order."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clicv2lite.errors import UserError
from clicv2lite.evaluate.results.record import Record, keeps_are_here, read_record, state
from clicv2lite.evaluate.results.table import Experiment, Table

DATA = "$CLICV2LITE_DATA"


@dataclass(frozen=True)
class Step:
    """An experiment that has to be made."""

    one: Experiment
    why: str
    forced: bool = False


def plan(table: Table, root: Path, names: Sequence[str], force: Sequence[str] = (), only: bool = False) -> list[Step]:
    """The experiments to make, each after those that it depends on.

    Args:
        names: of experiments or entries; none means everything that need not be asked for, or what is forced.
        force: of these, what is made although it is fresh.
        only: not what they depend on.

    Raises:
        UserError: for a name that is none; with `only`, if something that they depend on is out of date.
    """
    forced = {one.name for one in table.named(force)}
    asked = table.named([*names, *force]) if names or force else [one for one in table.experiments.values() if not one.asked]
    record = read_record(root)
    wanted = {one.name for one in asked} if only else _with_dependencies(asked, table)
    steps: dict[str, Step] = {}
    while True:  # until nothing is added
        before = len(steps)
        for name, one in table.experiments.items():
            if name in wanted and name not in steps and (why := _why(one, table, record, root, steps, name in forced)):
                steps[name] = Step(one, why, name in forced)
        for step in list(steps.values()):
            for other in _dependencies(step.one, table) if not only else ():
                if other.name not in steps and not keeps_are_here(other, record, root):
                    steps[other.name] = Step(other, f"{step.one.name} needs its {other.keeps[0]}")
        if len(steps) == before:
            break
    if only:
        _check_only(steps, table, record, root)
    return [steps[name] for name in table.experiments if name in steps]


def need_data(steps: Sequence[Step], table: Table) -> None:
    """UserError if the data that some steps read are not there; those that read none need none."""
    for step in steps:
        for name in step.one.inputs:
            path = table.inputs[name]
            if path.startswith(DATA) and not os.environ.get(DATA[1:]):
                raise UserError(f"{DATA[1:]}: not set, and {step.one.name} reads {path}; set it to the folder of the data")
            whole = Path(os.path.expandvars(path))
            if not (Path(str(whole).partition("{")[0]).parent if "{" in whole.name else whole).exists():
                raise UserError(f"{whole}: not there, and {step.one.name} reads it; see data/README.md")


def levels(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps in groups: all of a group can run at once when those before it are done."""
    level: dict[str, int] = {}
    folder: dict[str, int] = {}  # of a shared folder, the level of the last that writes to it
    found: list[list[Step]] = []
    for step in steps:
        one = step.one
        here = 1 + max([level.get(name, -1) for name in one.after] + [folder.get(one.folder, -1)], default=-1)
        level[one.name] = folder[one.folder] = here
        found += [[]] if here == len(found) else []
        found[here].append(step)
    return found


def _with_dependencies(asked: Sequence[Experiment], table: Table) -> set[str]:
    """Names of experiments and of all that they depend on, but for what must be asked for by something that is asked for."""
    found: set[str] = set()
    waiting = list(asked)
    while waiting:
        one = waiting.pop()
        found.add(one.name)
        waiting += [other for other in _dependencies(one, table) if other.name not in found]
    return found


def _dependencies(one: Experiment, table: Table) -> list[Experiment]:
    """What has to be made before an experiment; not what must be asked for, unless the experiment itself must."""
    return [table.experiments[name] for name in one.after if one.asked or not table.experiments[name].asked]


def _why(one: Experiment, table: Table, record: Record, root: Path, steps: Mapping[str, Step], forced: bool) -> str:
    """Why an experiment has to be made; "" if it need not."""
    if forced:
        return "--force"
    now = state(one, table, record, root)
    if now.kind != "fresh":
        return str(now)
    again = [name for name in one.after if name in steps]
    return f"{again[0]} is made again" if again else ""


def _check_only(steps: Mapping[str, Step], table: Table, record: Record, root: Path) -> None:
    for step in steps.values():
        for other in _dependencies(step.one, table):
            now = state(other, table, record, root)
            if now.kind != "fresh" or not keeps_are_here(other, record, root):
                why = now if now.kind != "fresh" else f"its {other.keeps[0]} is not here"
                raise UserError(f"results --only {step.one.name}: {other.name} has to be made before ({why})")
