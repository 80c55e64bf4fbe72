"""Experiments as data: which command makes which stored result, from what, and for which seeds (book chapter 11).

The table is ``experiments.toml`` beside this file; its head says what an entry holds.
"""

import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any

from clicv2lite.errors import UserError

TABLE = "clicv2lite/evaluate/results/experiments.toml"  # of the checkout, as all paths here
WORK = "runs/results"
MODELS = tuple(f"clicv2lite/models/{name}/" for name in ("default", "lite", "plus"))
PLACES = ("data/results/", "data/claims.json", *MODELS)  # nowhere else
NEEDED = ("command", "outputs", "minutes")
KEYS = (*NEEDED, "each", "inputs", "after", "keeps", "folder", "alone", "asked")


@dataclass(frozen=True)
class Experiment:
    """One command whose outputs are stored."""

    name: str
    entry: str  # the name without the values of `each`
    command: str  # {out} and {work} still in it, so that it says the same wherever it ran
    inputs: tuple[str, ...]
    after: tuple[str, ...]  # names of experiments
    outputs: Mapping[str, str]  # path in the checkout -> name in the folder
    keeps: tuple[str, ...]
    folder: str  # below WORK
    shared: bool
    alone: bool
    asked: str | None
    minutes: float

    @property
    def out(self) -> str:
        """The folder that its command writes to."""
        return f"{WORK}/{self.folder}"

    @property
    def log(self) -> str:
        """What its command prints."""
        return f"{WORK}/{self.name}.log"

    @property
    def words(self) -> list[str]:
        """The words of its command."""
        return shlex.split(self.command.replace("{out}", self.out).replace("{work}", WORK))


@dataclass(frozen=True)
class Table:
    """All experiments, in an order in which they can be made."""

    experiments: Mapping[str, Experiment]
    inputs: Mapping[str, str]  # name -> path
    kept: Mapping[str, str]  # path of what no experiment makes -> why

    @property
    def scripts(self) -> list[str]:
        """Scripts of the checkout that are run instead of a command."""
        return sorted({one.words[1] for one in self.experiments.values() if one.words[0] == "python"})

    @property
    def outputs(self) -> dict[str, str]:
        """Path of an output -> name of its experiment."""
        return {path: one.name for one in self.experiments.values() for path in one.outputs}

    def named(self, names: Sequence[str]) -> list[Experiment]:
        """The experiments that some words name: NAME, or the entry of several; UserError if one names nothing."""
        found: dict[str, Experiment] = {}
        for word in names:
            here = {name: one for name, one in self.experiments.items() if word in (name, one.entry)}
            if not here:
                near = get_close_matches(word, {*self.experiments, *(one.entry for one in self.experiments.values())}, 1)
                raise UserError(f"results {word}: no experiment; {f'{near[0]} is one, ' if near else ''}--list names all")
            found |= here
        return [one for name, one in self.experiments.items() if name in found]


def read_table(root: Path) -> Table:
    """The table of a checkout.

    Raises:
        UserError: for an entry that lacks something, or names an input, an experiment or a place that is not there.
    """
    try:
        raw = tomllib.loads((root / TABLE).read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{TABLE}: {error}") from None
    inputs, kept, entries = (raw.get(part, {}) for part in ("inputs", "kept", "experiment"))
    found: dict[str, Experiment] = {}
    for entry, body in entries.items():
        try:
            for one in _expand(entry, body, inputs):
                found[one.name] = _resolve(one, found)
        except KeyError as error:
            raise UserError(f"{TABLE}: {entry}: {{{error.args[0]}}} is neither of its `each` nor of its `inputs`") from None
        except ValueError as error:
            raise UserError(f"{TABLE}: {entry}: {error}") from None
    _check_paths(found, kept)
    return Table(found, inputs, kept)


def _expand(entry: str, body: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[Experiment]:
    """An experiment for each combination of the values of `each`."""
    if wrong := [key for key in body if key not in KEYS] or [key for key in NEEDED if key not in body]:
        raise ValueError(f"`{wrong[0]}` is {'no key' if wrong[0] in body else 'missing'}; its keys are {', '.join(KEYS)}")
    if wrong := [name for name in body.get("inputs", ()) if name not in known]:
        raise ValueError(f"input {wrong[0]} is not in [inputs]")
    inputs, each = {name: known[name] for name in body.get("inputs", ())}, body.get("each", {})
    outputs = body["outputs"]
    names = outputs if isinstance(outputs, dict) else {path: Path(path).name for path in outputs}
    for values in product(*each.values()):
        loop = dict(zip(each, values, strict=True))
        name = "-".join(map(str, (entry, *values)))
        text = " ".join(body["command"].split())
        yield Experiment(
            name, entry, text.format_map({**loop, **inputs, "out": "{out}", "work": "{work}"}), tuple(inputs),
            tuple(word.format_map(loop) for word in body.get("after", ())),
            {path.format_map(loop): file.format_map(loop) for path, file in names.items()}, tuple(body.get("keeps", ())),
            body.get("folder", name), "folder" in body, body.get("alone", False), body.get("asked"), body["minutes"],
        )  # fmt: skip


def _resolve(one: Experiment, above: Mapping[str, Experiment]) -> Experiment:
    """The same experiment, with the names of single ones in `after`."""
    if one.name in above:
        raise ValueError(f"{one.name} is there already")
    after: list[str] = []
    for word in one.after:
        here = [name for name, other in above.items() if word in (name, other.entry)]
        if not here:
            raise ValueError(f"after {word}: no entry above has this name")
        after += here
    return Experiment(**{**vars(one), "after": tuple(after)})


def _check_paths(found: Mapping[str, Experiment], kept: Mapping[str, str]) -> None:
    """Every output has one experiment, and a place that this command may write to."""
    owner = dict.fromkeys(kept, "[kept]")
    for one in found.values():
        for path in one.outputs:
            if not path.startswith(PLACES) or ".." in Path(path).parts:
                raise UserError(f"{TABLE}: {one.name}: output {path} is outside of {', '.join(PLACES)}")
            if path in owner:
                raise UserError(f"{TABLE}: {one.name}: output {path} belongs to {owner[path]} already")
            owner[path] = one.name
