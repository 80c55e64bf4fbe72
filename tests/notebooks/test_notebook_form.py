"""Chapters are stored as the book promises: small cells, no outputs except those that nbval compares."""

from pathlib import Path
from statistics import median

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
CHECKED = "NBVAL_CHECK_OUTPUT"

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def code_cells(path: Path) -> list:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_notebook_is_valid_and_asks_for_the_plain_python_kernel(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


def test_notebook_is_in_the_table_of_contents(path):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    assert f"book/{path.stem}" in files


def test_title_starts_with_the_number_of_the_file(path):
    first = nbformat.read(path, as_version=4).cells[0].source.lstrip()
    assert first.startswith(f"# {int(path.stem[:2])}. ")


def test_only_checked_cells_keep_an_output_and_it_is_short_text(path):
    for cell in code_cells(path):
        if CHECKED not in cell.source:
            assert not cell.outputs and cell.execution_count is None, cell.source
            continue
        assert cell.execution_count is not None, f"nbval would compare nothing: {cell.source}"
        assert cell.outputs, f"nothing to compare: {cell.source}"
        for output in cell.outputs:
            text = output.text if output.output_type == "stream" else output.data["text/plain"]
            assert output.output_type == "stream" or set(output.data) == {"text/plain"}
            assert len(text) <= 1000


def test_at_least_one_output_is_compared(path):
    assert any(CHECKED in cell.source for cell in code_cells(path))


def test_cells_are_small(path):
    lines = [len(cell.source.splitlines()) for cell in code_cells(path)]
    assert max(lines) <= 30
    assert median(lines) <= 8
