"""Chapters are stored as the book promises: small cells, exercises of one form, alt texts, no numbers from nowhere."""

import ast
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager

import clicv2lite
from clicv2lite.exercises.exercise import MARK, STUB

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "book").glob("*.ipynb"))
NOTEBOOKS = [path for path in PAGES if path.stem[0].isdecimal()]  # the lessons; the other pages are manuals, without exercises
CHECKED = "nbval-check-output"  # a tag: a comment in the cell would be on the page, and copied
WIDTH = 88  # columns of code that a page shows without scrolling
LEVELS = ("Warm-up", "Practice", "Challenge", "Open")
SITTING = 45  # minutes, the longest chapter

every_chapter = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
every_page = pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)


def cells(path: Path, kind: str | None = None) -> list:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if kind in (None, cell.cell_type)]


def code_cells(path: Path) -> list:
    return cells(path, "code")


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def test_chapters_1_to_15_exist_and_have_one_file_each():
    assert [int(path.stem[:2]) for path in NOTEBOOKS] == list(range(1, 16))


@every_page
def test_notebook_is_valid_and_asks_for_the_plain_python_kernel(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


@every_page
def test_notebook_is_in_the_table_of_contents(path):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    assert f"book/{path.stem}" in files


@every_chapter
def test_first_cell_has_number_goals_prerequisites_minutes_and_modules(path):
    first = cells(path)[0].source.lstrip()
    assert first.startswith(f"# {int(path.stem[:2])}. ")
    for part in (r"\*\*You will\*\* ", r"\*\*Before this:\*\* ", r"\*\*Time:\*\* \d+ minutes", r"\*\*Modules?:\*\* "):
        assert re.search(part, first), part


@every_chapter
def test_chapter_can_be_read_in_one_sitting(path):
    minutes = int(re.search(r"\*\*Time:\*\* (\d+) minutes", cells(path)[0].source)[1])
    assert minutes <= SITTING


@every_chapter
def test_last_sections_say_what_was_seen_and_what_to_read(path):
    headings = [line for cell in cells(path, "markdown") for line in cell.source.splitlines() if line.startswith("## ")]
    assert headings[-3:] == ["## Exercises", "## What we saw", "## Further reading"]


@every_page
def test_only_checked_cells_keep_an_output_and_it_is_short_text(path):
    for cell in code_cells(path):
        if CHECKED not in tags(cell):
            assert not cell.outputs and cell.execution_count is None, cell.source
            continue
        assert cell.execution_count is not None, f"nbval would compare nothing: {cell.source}"
        assert cell.outputs, f"nothing to compare: {cell.source}"
        for output in cell.outputs:
            text = output.text if output.output_type == "stream" else output.data["text/plain"]
            assert output.output_type == "stream" or set(output.data) == {"text/plain"}
            assert len(text) <= 1000


@every_chapter
def test_two_or_three_quick_questions_stand_between_other_cells(path):
    """Their form is checked when the page is built."""
    found = [k for k, cell in enumerate(cells(path)) if ":::{question}" in cell.source]
    assert 2 <= len(found) <= 3
    assert all(later - earlier > 1 for earlier, later in itertools.pairwise(found))
    assert all("quick-question" in tags(cells(path)[k]) for k in found)


@every_page
def test_at_least_one_output_is_compared(path):
    assert any(CHECKED in tags(cell) for cell in code_cells(path))


@every_page
def test_cells_are_small(path):
    lines = [len(cell.source.splitlines()) for cell in code_cells(path)]
    assert max(lines) <= 30
    assert path not in NOTEBOOKS or median(lines) <= 8  # a lesson's rhythm; a manual's cell is a whole example


@every_page
def test_code_fits_the_page_and_holds_no_marks_of_a_tool(path):
    for cell in code_cells(path):
        assert max(map(len, cell.source.splitlines())) <= WIDTH, cell.source
        assert "NBVAL" not in cell.source, f"tag the cell {CHECKED} instead"


FOLDED = {"plot", "glue", "assert"}


def called(statement: ast.stmt) -> str:
    """Name of the function that a statement consists of calling, without the module's; else nothing."""
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return ""
    function = statement.value.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of a body, with those inside its loops and conditions in their place."""
    for statement in body:
        if isinstance(statement, ast.For | ast.With | ast.If):
            yield from statements([*statement.body, *getattr(statement, "orelse", [])])
        else:
            yield statement


def folds(cell) -> str:
    """What a cell is that crowds the story, and is folded: a figure's code, numbers for the text, a check; else nothing."""
    if "figure" in cell.metadata.get("mystnb", {}) or "plt.show()" in cell.source:
        return "plot"
    body = list(statements(ast.parse(TransformerManager().transform_cell(cell.source)).body))
    if any(isinstance(one, ast.FunctionDef | ast.ClassDef) for one in body):
        return ""
    if any(called(one) == "glue" for one in body):
        return "glue"
    claims = [one for one in body if isinstance(one, ast.Assert) or called(one).startswith("assert_")]
    others = [one for one in body if one not in claims and not isinstance(one, ast.Import | ast.ImportFrom)]
    shown = [one for one in others if isinstance(one, ast.Expr)]
    return "assert" if claims and len(others) <= 1 and not shown else ""


@every_page
def test_figures_numbers_for_the_text_and_checks_are_folded_and_say_what_they_are(path):
    for cell in code_cells(path):
        if not tags(cell) & {"exercise", "check", "solution", CHECKED}:
            kind = folds(cell)
            wanted = {kind, "hide-input"} if kind else set()
            found = tags(cell) & (FOLDED | {"hide-input"})
            assert found == wanted, f"tag with {sorted(wanted) or 'none of these'}:\n{cell.source}"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("fig, ax = plt.subplots()\nplt.show()", "plot"),
        ("for k in d:\n    glue(k, d[k], display=False)", "glue"),
        ("assert x == 1", "assert"),
        ("import numpy as np\n\ny = f(x)\nnp.testing.assert_allclose(y, 1)", "assert"),
        ("y = f(x)\nz = g(y)\nassert z == 1", ""),  # a step of the story
        ("def f(x):\n    return x\n\n\nassert f(1) == 1", ""),
        ("assert x == 1\nx.shape", ""),  # its output is the point
        ("x = 1", ""),
    ],
)
def test_what_is_folded(source, kind):
    assert folds(nbformat.v4.new_code_cell(source)) == kind


@every_chapter
def test_an_unfilled_exercise_prints_nothing_on_the_page(path):
    for cell in code_cells(path):
        assert ("check" in tags(cell)) == ("remove-output" in tags(cell)), cell.source


@every_page
def test_every_figure_has_a_text_alternative_that_says_something(path):
    for cell in code_cells(path):
        if "plt.show()" in cell.source or "figure" in cell.metadata.get("mystnb", {}):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) >= 40, f"alt text {alt!r} of:\n{cell.source}"


def exercises(path: Path) -> list[tuple[str, list]]:
    """Heading and cells of each exercise: from its heading to the next, or to the next section."""
    found: list[tuple[str, list]] = []
    inside = False
    for cell in cells(path):
        heading = re.search(r"^#{2,3} .*", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        if heading:
            inside = heading[0].startswith("### Exercise ")
            if inside:
                found.append((heading[0], []))
        if inside:
            found[-1][1].append(cell)
    return found


@every_chapter
def test_exercises_are_numbered_from_a_warm_up_to_an_open_one(path):
    number, levels = int(path.stem[:2]), []
    for k, (heading, (first, *_)) in enumerate(exercises(path), 1):
        assert re.fullmatch(rf"### Exercise {number}\.{k}: \S.*", heading), heading
        below = first.source[first.source.index(heading) + len(heading) :]
        stated = re.match(rf"\n+\*({'|'.join(LEVELS)}) · (\d+) minutes\*\n", below)
        assert stated, f"{heading}: state level and minutes below the heading, not {below[:80]!r}"
        assert 1 <= int(stated[2]) <= 90
        levels.append(LEVELS.index(stated[1]))
    assert len(levels) >= 3
    assert levels == sorted(levels) and levels[0] == 0 and levels[-1] == len(LEVELS) - 1


@every_chapter
def test_each_exercise_has_a_stub_a_check_and_a_folded_solution(path):
    for heading, (first, *rest) in exercises(path):
        code = [cell for cell in rest if cell.cell_type == "code"]
        order = ["exercise", "check", "solution"]
        kinds = [next((kind for kind in order if kind in tags(cell)), "") for cell in code]
        is_open = "*Open ·" in first.source[first.source.index(heading) :]
        assert kinds[0] == "exercise" and "solution" in kinds, heading
        assert is_open or kinds[:3] == order, f"{heading}: cells are {kinds}"
        for cell, kind in zip(code, kinds, strict=True):
            assert (kind == "solution") == ("hide-cell" in tags(cell)), f"{heading}: fold the solution, and only that"
            assert kind != "check" or re.search(r"\w+\.check\(", cell.source), heading


@every_chapter
def test_stub_and_solution_differ_only_where_the_reader_writes(path):
    for heading, group in exercises(path):
        stub = next(cell.source for cell in group if "exercise" in tags(cell))
        solution = next(cell.source for cell in group if "solution" in tags(cell))
        assert MARK in stub and MARK not in solution, heading
        assert len(STUB.findall(stub)) == stub.count(MARK), f"{heading}: `check` knows a stub by dots before each {MARK!r}"
        if any("check" in tags(cell) for cell in group):
            *lines, last = solution.rstrip().splitlines()
            assert re.match(r"assert [\w.]+\.check\(.+\)$", last), f"{heading}: the solution ends with {last!r}"
            solution = "\n".join(lines).rstrip()
        assert fills(stub, solution), f"{heading}: the solution changes more than the lines marked {MARK!r}"


def imported(code: list) -> set[str]:
    """Names that some cells import."""
    nodes = (node for cell in code for node in ast.walk(ast.parse(TransformerManager().transform_cell(cell.source))))
    return {name.asname or name.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for name in node.names}


@every_chapter
def test_a_stub_needs_no_import_of_its_solution(path):
    known = imported([cell for cell in code_cells(path) if "solution" not in tags(cell)])
    for heading, group in exercises(path):
        stub = next(cell.source for cell in group if "exercise" in tags(cell))
        read = {node.id for node in ast.walk(ast.parse(stub)) if isinstance(node, ast.Name)}
        lent = imported([cell for cell in group if "solution" in tags(cell)]) - known
        assert not read & lent, f"{heading}: a reader's function has no {read & lent} before the solution is run"


def fills(stub: str, solution: str) -> bool:
    """Whether a text is the stub with one or more lines in place of each run of marked lines."""
    pattern, marked = "", False
    for line in stub.rstrip().splitlines():
        here = line.rstrip().endswith(MARK)
        if not here:
            pattern += re.escape(line) + r"\n"
        elif not marked:
            pattern += r"(?:.*\n)+?"
        marked = here
    return bool(re.fullmatch(pattern, solution.rstrip() + "\n"))


@pytest.mark.parametrize(
    ("solution", "right"),
    [
        ("def f(x):\n    y = 2 * x\n    return y", True),
        ("def f(x):\n    y = x\n    y += x\n    return y", True),
        ("def f(x):\n    return y", False),
        ("def g(x):\n    y = 2 * x\n    return y", False),
        ("def f(x):\n    y = 2 * x\n    return y + 0", False),
    ],
)
def test_a_solution_fills_its_stub_or_does_not(solution, right):
    assert fills(f"def f(x):\n    ...  {MARK}\n    ...  {MARK}\n    return y", solution) == right


# Numbers: what a chapter's prose may say without glue.
NUMBER = re.compile(r"(?<![\w.,/])(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?![\w/]|[.,]\d)(\s?%| per ?cent\b)?")
FENCE = re.compile(r"^(`{3,})(?!\{(?:note|tip|admonition|warning|important|dropdown)).*?^\1\s*$", re.DOTALL | re.MULTILINE)
NOT_PROSE = re.compile(
    r"\$\$.*?\$\$|\$[^$]*\$"  # maths
    r"|\{glue[^}]*\}`[^`]*`|`[^`]*`|\]\([^)\s]*\)|<[^>\n]*>"  # glue, code, addresses, HTML
    r"|^#+ [^\n]*$|^\s*\d+\. |[Ss]ections? \d\.\d(?: and \d\.\d)?|[Ee]xercises? \d+\.\d+"
    r"|[^.!?]*\{cite[^}]*\}[^`\n]*`(?:[^.!?]|\.(?=\d))*",  # a sentence that names its source
    re.DOTALL | re.MULTILINE,
)


def paper_numbers() -> set[float]:
    text = (Path(clicv2lite.__file__).parent / "evaluate" / "paper_values.json").read_text()
    stored = json.loads(text)
    return values(json.dumps([stored["tables"], stored["settings"]]))


def values(text: str) -> set[float]:
    """Every number in code or JSON."""
    found = re.findall(r"(?<![\w.])(?:\d[\d_]*)?\.?\d+(?:e[-+]?\d+)?", text)
    return {float(number.replace("_", "")) for number in found}


def typed(prose: str, known: set[float], printed: set[float]) -> list[str]:
    """Numbers with a decimal point, a percent sign or a thousands separator that stand in prose and nowhere else.

    Args:
        prose: Markdown.
        known: numbers of the chapter's code and of the paper.
        printed: numbers of outputs that nbval compares; prose may round these.
    """
    found = []
    for match in NUMBER.finditer(NOT_PROSE.sub(" ", FENCE.sub(" ", prose))):
        whole, fraction, percent = match[1], match[2] or "", match[3]
        if not (fraction or percent or "," in whole) or (percent and match[0].split()[0].rstrip("%") in ("0", "100")):
            continue
        value, digits = float(whole.replace(",", "") + fraction), max(0, len(fraction) - 1)
        forms = [(value, digits)] + ([(round(value / 100, digits + 2), digits + 2)] if percent else [])
        if not any(v in known or any(round(p, d) == v for p in printed) for v, d in forms):
            found.append(match[0].strip())
    return found


@every_page
def test_numbers_in_prose_come_from_the_chapters_code_from_glue_or_from_the_paper(path):
    known, printed, offenders = paper_numbers(), set(), []
    for cell in code_cells(path):
        known |= values(cell.source)
        for output in cell.outputs:
            printed |= values(output.text if output.output_type == "stream" else output.data["text/plain"])
    for cell in cells(path, "markdown"):
        offenders += [(number, cell.id) for number in typed(cell.source, known, printed)]
    assert not offenders, "glue these, or let a cell state them"


@pytest.mark.parametrize(
    ("prose", "offenders"),
    [
        ("We measured 0.71, which is 0.71 more than nothing.", ["0.71", "0.71"]),
        ("We measured {glue:text}`pcc:.2f` at $x = 0.71$ with `x=0.71`.", []),
        ("It takes 8,070 images and 12.5 %.", ["8,070", "12.5 %"]),
        ("The paper masks 60 % and reports 0.865.", []),  # in paper_values.json, the first as 0.6
        ("The loss fell to 2.35, or 2.3 if you round.", []),  # printed: 2.3456
        ("It fell by 3.3 % at 0.25.", ["3.3 %"]),  # 0.25 stands in the code
        ("## 3.14 in a heading\n\nSee section 4.4 and [here](x-0.5.md).", []),
        ("IC9600 has 9,600 images {cite:p}`feng2022ic9600`. We use 6,720.", ["6,720"]),
        ("```python\nx = 0.33\n```\nThen 0.34.", ["0.34"]),
        ("All of it, 100 %, costs 12 minutes.", []),
    ],
)
def test_the_lint_finds_typed_numbers_and_nothing_else(prose, offenders):
    assert typed(prose, paper_numbers() - {3.3} | {0.25}, {2.3456}) == offenders
