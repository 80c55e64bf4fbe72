"""Run the tests that the changed files ask for, in a minute and a half: what `make check` does after lint and types.

`python -m tests.check --since main --jobs 2` first says in one line what it runs, why, and what it leaves out, as
tests/affected.py selects it. The nearest tests come first. None begins after the time: those that are left count as skipped.
As a plugin of pytest, this module keeps the time.
"""

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.affected import NoBase, Selection, changed, select

ROOT = Path(__file__).parents[1]
SECONDS, FOR_A_CHAPTER = 80, 35  # for the tests; of these, for each chapter
CHAPTERS = 2  # more of them would leave no time for the tests
TIME = "CLICV2LITE_CHECK_SECONDS"  # so long after a process has begun its first test, it begins no other
BEGUN = pytest.StashKey[float]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.monotonic() - item.config.stash.setdefault(BEGUN, time.monotonic()) > float(os.environ[TIME]):
        pytest.skip("the time of `make check` is over; `make unit` runs every test")


def said(base: str, since: str, paths: list[str], selection: Selection) -> str:
    """The one line."""
    if not paths:
        return (
            f"nothing differs from {since} ({base[:9]}): no test is run; make check SINCE=HEAD~1 compares with another commit"
        )
    some = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    asked = Counter(ask.why for ask in selection.tests.values())
    run = [f"{count} {why}" for why, count in asked.items()]
    left = [f"{len(selection.left)} test files", "the book and its browser tests (make test)"]
    names = ", ".join(Path(chapter).stem for chapter in selection.chapters)
    if 0 < len(selection.chapters) <= CHAPTERS:
        run.append(f"the changed chapters {names}")
    elif names:
        left.insert(1, f"the changed chapters {names} (make notebooks)")
    return f"{some} changed since {since} ({base[:9]}); test files: {', '.join(run) or 'none'}; left out: {', '.join(left)}"


def main() -> int:
    """Exit status 0 if every test that began has passed, 2 if there is nothing to compare with."""
    parser = argparse.ArgumentParser(prog="make check")
    parser.add_argument("--since", default="main", help="a revision: what differs from where it and this branch part")
    parser.add_argument("--jobs", default="2")
    args = parser.parse_args()
    try:
        base, paths = changed(ROOT, args.since)
    except NoBase as error:
        print(f"make check: SINCE={args.since}: {error}; name another revision, or run make unit", file=sys.stderr)
        return 2
    selection = select(ROOT, paths)
    print(said(base, args.since, paths, selection), flush=True)
    chapters = selection.chapters if len(selection.chapters) <= CHAPTERS else []
    environment = {**os.environ, TIME: str(SECONDS - FOR_A_CHAPTER * len(chapters))}
    in_order = ["-n", args.jobs, "--dist", "load", "--maxschedchunk", "2"]  # else a worker would begin in the middle
    runs = [["-p", "tests.check", *in_order, *selection.tests]] if selection.tests else []
    runs += [["-p", "tests.notebooks.executed_once", *chapters]] if chapters else []
    return max((subprocess.call([sys.executable, "-m", "pytest", "-q", *run], env=environment) for run in runs), default=0)


if __name__ == "__main__":
    sys.exit(main())
