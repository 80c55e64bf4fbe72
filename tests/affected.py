"""The tests that changed files ask for, the nearest first: `make check` runs them (tests/check.py).

Changed is what differs from where the branch left `main`, untracked files included. A changed test asks for itself. Another
file asks for the test of its name, those that mention it, those that import it (directly, or through others), those of its
room, and those of the rooms that import that room, which tests/rooms.py knows. What lies in no room asks for the tests that
read its folder.
"""

import re
import subprocess
from collections import deque
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tests import rooms

BESIDE, BROWSER = "", "browser"  # folders of tests: beside the rooms, and of the rendered book, which `make check` has not
READERS = {"data": ["evaluate", "notebooks", BESIDE], "book": ["notebooks", BESIDE]}  # folder -> the tests that read it
TWINS = {"clicv2lite": "tests", "tests": "tests", "book/_ext": "tests/notebooks"}  # a.py there -> test_a.py here


class NoBase(Exception):
    """There is nothing to compare with."""


class Ask(NamedTuple):
    """Why a test is run; the smallest of several counts, and is run first."""

    rank: int
    steps: int  # imports, or rooms, between the test and what changed
    why: str


class Selection(NamedTuple):
    """What is run, the nearest first, and what is not."""

    tests: dict[str, Ask]
    chapters: list[str]
    left: list[str]  # test files


def changed(root: Path, since: str) -> tuple[str, list[str]]:
    """The commit that is compared with, and each path that differs; of a renamed file the old one and the new one.

    Raises:
        NoBase: if this is no git repository, or ``since`` no revision that shares a commit with this one.
    """
    base = _git(root, "merge-base", "HEAD", since).strip()
    tracked = _git(root, "diff", "--name-only", "--no-renames", "--relative", "-z", base)
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z")
    return base, sorted({*tracked.split("\0"), *untracked.split("\0")} - {""})


def select(root: Path, changes: Iterable[str]) -> Selection:
    """The tests and chapters that changed paths ask for; a path may be gone."""
    paths = [PurePosixPath(path) for path in changes]
    known = rooms.modules(root / "clicv2lite")
    modules = {_module(path) for path in paths if path.parts[0] == "clicv2lite" and path.suffix == ".py"}
    every = known | dict.fromkeys(modules, root)  # with those that are gone: who imports them still?
    arrows = [arrow for name, path in known.items() for arrow in rooms.of_file(name, path, every)]
    near = _distances(modules, ((arrow.source, arrow.target) for arrow in arrows))
    far = _distances({_room(path) for path in paths if path.parts[0] == "clicv2lite"}, rooms.between(arrows))
    reading = {folder for path in paths if not _is_test(root / path) for folder in _folders(path)}
    twins = {twin for path in paths for twin in _twins(path)}
    names = {re.escape(name) for path in paths for name in _names(path)}
    mention = re.compile(rf"(?<!\w)({'|'.join(names)})(?!\w)" if names else "(?!)")

    found, left = {}, []
    for path in sorted((root / "tests").rglob("test_*.py")):
        test = path.relative_to(root).as_posix()
        folder = PurePosixPath(test).parts[1] if test.count("/") > 1 else BESIDE
        steps = [near[arrow.target] for arrow in rooms.of_file(test, path, every) if arrow.target in near]
        distances = [far[room] for room in far if folder == (BESIDE if room in (rooms.ROOT, rooms.FRONT) else room)]
        named = test in twins or mention.search(path.read_text(encoding="utf-8"))
        asks = [
            *([Ask(0, 0, "changed")] if PurePosixPath(test) in paths else []),
            *([Ask(1, 0, "with the name of a changed file")] if named else []),
            *([Ask(2, min(steps), "importing what changed")] if steps else []),
            *([Ask(2, 1, "of the folder or room")] if folder in reading or 0 in distances else []),
            *([Ask(3, min(distances), "of rooms that import the room")] if distances else []),
        ]
        if asks and folder != BROWSER:
            found[test] = min(asks)
        else:
            left.append(test)
    chapters = [str(path) for path in paths if path.suffix == ".ipynb" and (root / path).is_file()]
    return Selection(dict(sorted(found.items(), key=lambda item: (item[1][:2], item[0]))), chapters, left)


def _is_test(path: Path) -> bool:
    return path.name.startswith("test_") and path.suffix == ".py" and path.is_file()


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise NoBase(done.stderr.strip().partition("\n")[0] or "they share no commit")
    return done.stdout


def _distances(start: set[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """How many arrows lead from a source to one of ``start``; what has no way there is left out."""
    sources: dict[str, list[str]] = {}
    for source, target in edges:
        sources.setdefault(target, []).append(source)
    found, pending = dict.fromkeys(start, 0), deque(start)
    while pending:
        here = pending.popleft()
        for source in sources.get(here, []):
            if source not in found:
                found[source] = found[here] + 1
                pending.append(source)
    return found


def _module(path: PurePosixPath) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(path: PurePosixPath) -> str:
    """The room of a file of the package, Python or not."""
    if path.suffix == ".py":
        return rooms.room(_module(path))
    return path.parts[1] if len(path.parts) > 2 else rooms.ROOT


def _folders(path: PurePosixPath) -> list[str]:
    """The folders of tests that read a file outside the rooms."""
    top, *rest = path.parts
    if top == "clicv2lite":
        return []
    if top == "tests":
        return [rest[0] if len(rest) > 1 else BESIDE]
    return READERS.get(top, [BESIDE])


def _twins(path: PurePosixPath) -> Iterable[str]:
    for folder, mirror in TWINS.items():
        if path.suffix == ".py" and path.is_relative_to(folder):
            yield str(PurePosixPath(mirror) / path.relative_to(folder).with_name(f"test_{path.stem}.py"))


def _names(path: PurePosixPath) -> Iterable[str]:
    """How a test may mention a file that is no module of the package: by its name, and one of tests/ by an import."""
    if path.parts[0] != "clicv2lite" or path.suffix != ".py":
        yield path.name
    if path.parts[0] == "tests":
        folder = ".".join(path.parent.parts)
        yield from (f"{folder}.{path.stem}", f"{folder} import {path.stem}")
