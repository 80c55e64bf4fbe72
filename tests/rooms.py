"""The rooms of the package and the arrows between them: `python -m tests.rooms` prints them, tests/test_rooms.py judges them.

A room is a folder of the package, or what lies beside the folders. It imports only rooms above it in ROOMS; an import
inside a function counts like one at the top. Sub-rooms (data/tars, pretrain/cost, ...) are part of their room.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "clicv2lite"
ROOT, FRONT = "(beside)", "(front)"
ROOMS = (
    ROOT, "method", "data", "encoders", "heads", "learners", "recipes", "models", "probe", "pretrain", "baselines", "score",
    "bench", "evaluate", "exercises", "widgets", "launch", FRONT,
)  # fmt: skip
"""From the first that a newcomer reads to the last; `launch` holds scripts only."""
FRONT_DOOR = ("clicv2lite", "clicv2lite.__main__", "clicv2lite.cli")  # they name every room, and no room names them


class Arrow(NamedTuple):
    """An import."""

    source: str  # module that imports
    target: str  # module that is imported
    name: str  # what of it; "" for the module itself
    line: int


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Dotted name -> file, of every module of the package."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def arrows(package: Path = PACKAGE) -> list[Arrow]:
    """Every import of the package by itself, those inside functions and those for types only included."""
    known = modules(package)
    return [arrow for name, path in known.items() for arrow in of_file(name, path, known)]


def of_file(name: str, path: Path, known: dict[str, Path]) -> Iterator[Arrow]:
    """The imports in one file, which is called ``name``, of those modules that are ``known``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    local: dict[str, str] = {}  # name in the file -> the module of ours that it stands for
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "clicv2lite":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in known:
                    local[alias.asname or alias.name] = full
                    yield Arrow(name, full, "", node.lineno)
                elif (node.module, alias.name) != ("clicv2lite", "__version__"):  # a number, and no door into a room
                    yield Arrow(name, node.module, alias.name, node.lineno)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in known and alias.name != name:
                    local[alias.asname or alias.name] = alias.name
                    yield Arrow(name, alias.name, "", node.lineno)
    for node in ast.walk(tree):
        of_module = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in local
        if of_module and node.attr.startswith("_") and node.attr[:2] != "__":  # module._name
            yield Arrow(name, local[node.value.id], node.attr, node.lineno)


def room(module: str) -> str:
    """The room that a module lies in."""
    if module in FRONT_DOOR:
        return FRONT
    parts = module.split(".")
    return parts[1] if len(parts) > 2 or parts[1] in ROOMS else ROOT


def between(found: list[Arrow]) -> Counter[tuple[str, str]]:
    """How many imports lead from one room into another."""
    pairs = ((room(arrow.source), room(arrow.target)) for arrow in found)
    return Counter((source, target) for source, target in pairs if source != target)


def upward(found: list[Arrow]) -> list[Arrow]:
    """Imports of a room by one that stands above it."""
    return [arrow for arrow in found if ROOMS.index(room(arrow.target)) > ROOMS.index(room(arrow.source))]


def cycle(edges: list[tuple[str, str]]) -> list[str]:
    """One cycle of the graph, or [] if it has none."""
    graph: dict[str, set[str]] = {}
    for source, target in edges:
        graph.setdefault(source, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def private(found: list[Arrow]) -> list[Arrow]:
    """Private names that one room takes from another."""
    apart = (arrow for arrow in found if room(arrow.source) != room(arrow.target))
    return [arrow for arrow in apart if any(part.startswith("_") and part[:2] != "__" for part in arrow.name.split("."))]


def main() -> int:
    """Print rooms, arrows, upward arrows and cycles; exit status 1 if a rule is broken."""
    found = arrows()
    counts, lines = between(found), Counter(room(module) for module in modules())
    for here in ROOMS:
        targets = ", ".join(f"{target} {count}" for (source, target), count in sorted(counts.items()) if source == here)
        print(f"{here:10s} {lines[here]:3d} modules  -> {targets or '-'}")
    broken = [*upward(found), *private(found)]
    for arrow in broken:
        print(f"{arrow.source} line {arrow.line}: {arrow.target} {arrow.name}")
    of_rooms = cycle(list(counts))
    of_modules = cycle([(arrow.source, arrow.target) for arrow in found if arrow.source != arrow.target])
    print(f"{len(set(map(room, modules())))} rooms, {len(counts)} arrows, {len(upward(found))} upward, ", end="")
    print(f"{len(private(found))} private, {len(of_rooms) > 0:d} cycles of rooms, {len(of_modules) > 0:d} of modules")
    return 1 if broken or of_rooms or of_modules else 0


if __name__ == "__main__":
    sys.exit(main())
