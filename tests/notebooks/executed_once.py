"""Plugin of pytest: the chapters as tests, each executed once, for these tests and for the book.

`make notebooks` loads it. A chapter without a record in the book's cache is executed as the book would do it, and leaves one
there if it runs to its end (book/_ext/chapter_cache.py says when a record is out of date). nbval then compares each cell as
with a kernel of its own: it gets the outputs of that run played back. A cell that failed fails here, and so does each one
after it.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_cache import get_cache
from nbval.plugin import IPyNbFile

from tests.notebooks.extensions import ROOT, load

CACHE = ROOT / "_build" / ".jupyter_cache"  # where `make book` looks
TIMEOUT = 600  # s for a cell, as in _config.yml


class Playback:
    """What nbval asks of a kernel, answered by the outputs that a run has left."""

    def __init__(self, cells: list[Any], error: Exception | None) -> None:
        """``cells`` in the order of the notebook; ``error`` is what stopped the run, None if it came to its end."""
        begun = [number for number, cell in enumerate(cells) if cell.execution_count is not None]
        self.cells: Iterator[tuple[int, Any]] = iter(enumerate(cells))
        self.last = max(begun, default=-1) if error else len(cells)
        self.error = error
        self.messages: deque[tuple[str, dict]] = deque()

    def is_alive(self) -> bool:
        return True

    def execute_cell_input(self, source: str, allow_stdin: bool | None = None) -> str:
        number, cell = next(self.cells)
        assert cell.source == source
        if number > self.last:
            pytest.fail(f"not run: {type(self.error).__name__} before this cell", pytrace=False)
        if number == self.last and all(output.output_type != "error" for output in cell.outputs):
            pytest.fail(str(self.error), pytrace=False)  # a timeout, or the kernel died
        self.messages.extend((output.output_type, output) for output in cell.outputs)
        self.messages.append(("status", {"execution_state": "idle"}))
        return "this cell"

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        kind, content = self.messages.popleft()
        return {"msg_type": kind, "content": content, "parent_header": {"msg_id": "this cell"}}

    def await_reply(self, message: str, timeout: float | None = None) -> None:
        """It is there."""

    def await_idle(self, message: str, timeout: float) -> None:
        self.messages.clear()

    def stop(self) -> None:
        """Nothing runs."""


class Chapter(IPyNbFile):
    """A notebook whose cells are tests; without a tag, a cell has only to run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.compare_outputs = False

    def setup(self) -> None:
        failed = self.config.stash[FAILED].get(self.path)
        notebook = failed.nb if failed else self.config.stash[STORE].merge_match_into_notebook(_read(self.path))[1]
        self.kernel = Playback([cell for cell in notebook.cells if cell.cell_type == "code"], failed and failed.err)


FAILED = pytest.StashKey[dict[Path, Any]]()  # path -> its run, of the chapters that did not come to their end
STORE = pytest.StashKey[Any]()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Chapter | None:
    return Chapter.from_parent(parent, path=file_path) if file_path.suffix == ".ipynb" else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Execute what is out of date, before the first test."""
    if session.config.option.collectonly:
        return
    chapters = {item.path.stem: item.path for item in session.items if isinstance(item.parent, Chapter)}
    extension, store = load("chapter_cache"), get_cache(CACHE)
    wanted = extension.outdated(store, chapters)
    print(f"{len(chapters)} chapters, {len(chapters) - len(wanted)} of them as executed before", end="")
    print(f"; executing {', '.join(wanted)}" if wanted else "", flush=True)
    session.config.stash[STORE] = store
    session.config.stash[FAILED] = extension.execute(store, [chapters[name] for name in wanted], TIMEOUT)


def _read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)
