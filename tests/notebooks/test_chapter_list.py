"""The list of chapters repeats what the chapters say of themselves."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def chapter_list():
    pytest.importorskip("sphinx")
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        return import_module("chapter_list")
    finally:
        sys.path.pop(0)


def write(path, *cells):
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": [text]} for text in cells]}))
    return path


def test_title_minutes_and_exercises_are_read(chapter_list, tmp_path):
    first = "# 3. Shifted patchify\n\n**Before this:** nothing. **Time:** 35 minutes."
    path = write(tmp_path / "03_shift.ipynb", first, "### Exercise 3.1: One", "text\n### Exercise 3.2: Two")
    assert chapter_list.read_chapter(path) == chapter_list.Chapter("03_shift.ipynb", "Shifted patchify", 35, 2)


def test_chapter_without_minutes_is_refused(chapter_list, tmp_path):
    with pytest.raises(ValueError, match=r"03_shift\.ipynb"):
        chapter_list.read_chapter(write(tmp_path / "03_shift.ipynb", "# 3. Shifted patchify"))


def test_a_path_adds_up_the_minutes_and_the_table_has_every_chapter(chapter_list):
    found = {n: chapter_list.Chapter(f"{n:02}_x.ipynb", f"T{n}", 40, n) for n in (1, 2, 3)}
    (line,) = chapter_list.lines(found, [3, 1, 2])
    assert line == "Chapters [3](03_x.ipynb) → [1](01_x.ipynb) → [2](02_x.ipynb), about 2 hours."
    assert chapter_list.lines(found, [])[2:] == [f"| [{n}. T{n}](0{n}_x.ipynb) | 40 | {n} |" for n in (1, 2, 3)]
