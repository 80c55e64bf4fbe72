"""A chapter that is tested is executed for the book, too; what fails, fails in both."""

import nbformat
import pytest
from jupyter_cache import get_cache

from tests.notebooks import executed_once
from tests.notebooks.extensions import load

COUNT = "from pathlib import Path\nwith Path('{}.runs').open('a') as file:\n    print(file=file)"


class Reports:
    """The outcome of each cell."""

    def __init__(self):
        self.found, self.texts = {}, {}

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            chapter, _, cell = report.nodeid.rpartition("::")
            self.found.setdefault(chapter.rpartition("/")[2], []).append(report.outcome)
            self.texts[f"{chapter.rpartition('/')[2]} {cell}"] = report.longreprtext


def write(path, cells, stored=()):
    """Cells, and the text that some of them are to print again: number -> text."""
    notebook = nbformat.v4.new_notebook()
    for number, source in enumerate(cells):
        cell = nbformat.v4.new_code_cell(source)
        if number in stored:
            cell.metadata.tags, cell.execution_count = ["nbval-check-output"], number + 1
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=stored[number])]
        notebook.cells.append(cell)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def outcomes(folder, *chapters):
    reports = Reports()
    paths = [str(folder / name) for name in chapters]
    options = ["-q", "-c", "/dev/null", "--rootdir", str(folder), "-p", "no:cacheprovider", "-p", "no:faulthandler"]
    pytest.main([*options, *paths], plugins=[executed_once, reports])
    return reports


@pytest.mark.posix  # /dev/null
def test_each_chapter_runs_once_and_only_those_without_a_fault_are_the_books(tmp_path, monkeypatch):
    monkeypatch.setattr(executed_once, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(executed_once, "TIMEOUT", 60)
    names = ["good.ipynb", "other.ipynb", "bad.ipynb", "dies.ipynb"]
    write(tmp_path / names[0], [COUNT.format("good"), "print(1)", "1 + 1"], {1: "1\n"})
    write(tmp_path / names[1], [COUNT.format("other"), "print(1)", "print('untagged')"], {1: "2\n"})
    write(tmp_path / names[2], [COUNT.format("bad"), "1 / 0", "print(1)"], {2: "1\n"})
    write(tmp_path / names[3], [COUNT.format("dies"), "import os; os._exit(1)", "1"])

    want = {
        "good.ipynb": ["passed"] * 3,
        "other.ipynb": ["passed", "failed", "passed"],  # it prints something else than what is stored
        "bad.ipynb": ["passed", "failed", "failed"],
        "dies.ipynb": ["passed", "failed", "failed"],
    }
    assert outcomes(tmp_path, *names).found == want
    reports = outcomes(tmp_path, *names[:3])
    assert reports.found == {name: want[name] for name in names[:3]}
    assert "ZeroDivisionError" in reports.texts["bad.ipynb Cell 1"]
    assert "CellExecutionError before this cell" in reports.texts["bad.ipynb Cell 2"]
    runs = {name: len((tmp_path / name).with_suffix(".runs").read_text()) for name in names}
    assert runs == {"good.ipynb": 1, "other.ipynb": 1, "bad.ipynb": 2, "dies.ipynb": 1}
    paths = {name: tmp_path / name for name in names}
    assert load("chapter_cache").outdated(get_cache(tmp_path / "cache"), paths) == ["bad.ipynb", "dies.ipynb"]

    write(tmp_path / names[1], [COUNT.format("other"), "print(1)", "print('untagged')"], {1: "1\n"})  # the stored text, mended
    assert outcomes(tmp_path, names[1]).found == {"other.ipynb": ["passed"] * 3}
    assert len((tmp_path / "other.runs").read_text()) == 1
