"""The reference pages say who computes, tests and uses what: on a small made-up book, and on this one."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = {
    "clicv2lite/__init__.py": "",
    "clicv2lite/loss.py": '''
        """Losses (CLICv2, figure 4; book chapter 3)."""

        def dense(q):
            """The loss (equations 2, 3 and 5 to 7)."""

        def spread(q):
            """As in SimSiam, figure 2."""

        class Model:
            """All of it."""

            def forward(self, x):
                """The sum (equation 12)."""
                return self.part(x)

            def part(self, x):
                """One term (equation 11)."""

            def other(self, x):
                """Nothing."""
    ''',
    "clicv2lite/shown/__init__.py": "from clicv2lite.shown.inner import Explorer\n",
    "clicv2lite/shown/inner.py": 'class Explorer:\n    """Figure 3, to play with."""\n',
    "tests/test_loss.py": """
        from clicv2lite import loss
        from clicv2lite.loss import Model, dense

        CONSTANT = dense(0)

        def helper():
            return Model()

        def test_by_name():
            assert dense(1)

        def test_by_module():
            assert loss.spread(1)

        def test_by_helper():
            assert helper()(1)

        def test_by_constant():
            assert CONSTANT
    """,
    "tests/shown/test_shown.py": "from clicv2lite.shown import Explorer\n\ndef test_it():\n    assert Explorer()\n",
}
CHAPTER = {
    "cells": [
        {"cell_type": "markdown", "source": ["# 3. Loss\n", "The paper's equation 2, or its equations 8 and\n", "10."]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import clicv2lite.loss as l\n", "l.dense(1)"]},
    ]
}


@pytest.fixture(scope="module")
def references():
    return load("cross_references")


def load(name):
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


@pytest.fixture
def tree(tmp_path):
    for name, text in PACKAGE.items():
        lines = text.removeprefix("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("\n".join(line[indent:] for line in lines))
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "03_loss.ipynb").write_text(json.dumps(CHAPTER))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the mean (equation 3)", {("equation", "3")}),
        ("Equations 2, 3; chapter 4", {("equation", "2"), ("equation", "3")}),
        ("(CLICv2, section 3.1, figure 3; book chapter 3)", {("section", "3.1"), ("figure", "3")}),
        ("figures 5 to 7, and table 1", {("figure", "5"), ("figure", "6"), ("figure", "7"), ("table", "1")}),
        ("sections 4.1 to 4.3 and 5", {("section", number) for number in ("4.1", "4.2", "4.3", "5")}),
        ("the paper's table 5", {("table", "5")}),
        ("(SimSiam, figure 2)", set()),
        ("Liu et al. 2024, table 3", set()),
        ("a suitable 7 and predictable 3", set()),
    ],
)
def test_mentions_of_the_paper_are_found_and_those_of_other_works_are_not(references, text, found):
    assert {(place.kind, place.number) for place in references.mentions(text)} == found


def test_tests_are_found_by_name_module_helper_constant_and_reexport(references, tree):
    things, checks = references.documented(tree), references.tests(tree)

    def reaching(name):
        return {test for (_, test), scope in checks.items() if references.touches(scope, things[f"clicv2lite.{name}"])}

    assert reaching("loss.dense") == {"test_by_name", "test_by_constant"}
    assert reaching("loss.spread") == {"test_by_module"}
    assert reaching("loss.Model") == {"test_by_helper"}
    assert reaching("loss.Model.part") == {"test_by_helper"}  # by way of forward
    assert reaching("loss.Model.other") == set()
    assert reaching("shown.inner.Explorer") == {"test_it"}
    assert reaching("loss") == {"test_by_name", "test_by_module", "test_by_helper", "test_by_constant"}


def test_rows_join_code_tests_and_chapters(references, tree):
    pages = load_pages()
    found = pages.collect(tree)
    rows = {(row.place.kind, row.place.number): row for row in found.rows}

    def code(kind, number):
        return [thing.name.removeprefix("clicv2lite.") for thing in rows[kind, number].code]

    assert code("equation", "2") == code("equation", "6") == ["loss.dense"]
    assert rows["equation", "2"].chapters == rows["equation", "8"].chapters == rows["equation", "10"].chapters == [3]
    assert rows["equation", "2"].tests["clicv2lite.loss.dense"] == [
        ("test_loss.py", "test_by_name"),
        ("test_loss.py", "test_by_constant"),
    ]
    assert code("equation", "11") == ["loss.Model.part"] and code("equation", "12") == ["loss.Model.forward"]
    assert code("equation", "8") == code("figure", "2") == []
    assert code("figure", "3") == ["shown.inner.Explorer"]
    assert code("figure", "4") == ["loss"]
    assert found.used_in["clicv2lite.loss.dense"] == [3] and found.used_in["clicv2lite.loss.spread"] == []


def load_pages():
    pytest.importorskip("sphinx")
    return load("reference_pages")


@pytest.fixture(scope="module")
def book():
    return load_pages().collect(ROOT)


def test_every_numbered_equation_has_a_row_in_order(book):
    assert [row.place.number for row in book.rows if row.place.kind == "equation"] == [str(n) for n in range(1, 13)]


def test_every_equation_has_a_function_or_a_reason_and_never_both(book):
    reasons = load_pages().NO_FUNCTION
    for row in book.rows:
        if row.place.kind == "equation" or row.place in reasons:
            assert bool(row.code) != (row.place in reasons), row.place
            assert row.code or row.place.kind != "equation" or row.chapters, f"no chapter examines {row.place}"


def test_every_function_of_a_row_has_a_test(book):
    untested = {name for row in book.rows for name, found in row.tests.items() if not found}
    assert untested == set()


def test_no_docstring_names_an_equation_that_the_paper_has_not(book, references):
    places = {row.place for row in book.rows if row.place.kind != "section"}
    for name, thing in book.objects.items():
        wrong = {p for p in references.mentions(thing.doc) if p.kind != "section"} - places
        assert not wrong, name


def test_every_chapter_links_to_the_modules_that_it_explains(book):
    for stem in book.stems.values():
        first = "".join(json.loads((ROOT / "book" / f"{stem}.ipynb").read_text())["cells"][0]["source"])
        names = re.findall(r"\{py:mod\}`(?:[\w. ]+ <)?([\w.]+)>?`", first)
        assert names, f"{stem}: name the modules as {{py:mod}}`clicv2lite.method.patches`"
        assert all(name in book.objects and book.objects[name].kind == "module" for name in names), stem


def test_names_in_the_notation_exist_in_the_package():
    source = "\n".join(path.read_text() for path in sorted((ROOT / "clicv2lite").rglob("*.py")))
    for row in re.findall(r"^\|.*\|$", (ROOT / "book" / "notation.md").read_text(), re.MULTILINE):
        for code in re.findall(r"`([^`]+)`", row.split("|")[3]):
            names = set(re.findall(r"[A-Za-z_]\w*", code)) - {"len", "j"}
            assert all(re.search(rf"\b{name}\b", source) for name in names), row


def test_every_glossary_entry_leads_to_a_chapter_or_a_manual_and_most_to_code(book):
    text = (ROOT / "book" / "glossary.md").read_text()
    entries = re.findall(r"^(\S.*)\n((?:  .+\n)+)", text.split("```{glossary}\n")[1], re.MULTILINE)
    terms = [term for term, _ in entries]
    assert len(entries) >= 30 and terms == sorted(terms, key=str.lower)
    for term, definition in entries:
        page = r"\]\((?:\d\d_\w+|cluster_manual|running_pretraining)\.ipynb\)"
        assert re.search(page + r"|\{term\}`patch-wise InfoNCE`", definition), term
        for name in re.findall(r"\{py:\w+\}`~?([\w.]+)`", definition):
            assert name in book.objects, f"{term}: {name}"
        for other in re.findall(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`", definition):
            assert other in terms, f"{term}: {other}"
