"""A chapter is executed again when something that its output depends on changes, and for nothing else."""

import ast
import json
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "book").glob("[0-9]*.ipynb"))


@pytest.fixture(scope="module")
def cache(extension) -> ModuleType:
    return extension("chapter_cache")


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write_notebook(path: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path


def reached(cache: ModuleType, root: Path, *cells: str) -> set[str]:
    """Names of the files, the lock and the outermost __init__.py apart, that a notebook of these cells depends on."""
    files = cache.chapter_files(write_notebook(root / "chapter.ipynb", *cells), root)
    names = {path.relative_to(root).as_posix() for path in files}
    return {name.removeprefix("clicv2lite/") for name in names - {"requirements.lock", "clicv2lite/__init__.py"}}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package in which a imports b, c and d are lone, and a program runs c."""
    files = {
        "requirements.lock": "torch==2",
        "clicv2lite/__init__.py": "",
        "clicv2lite/__main__.py": "from clicv2lite import cli",
        "clicv2lite/cli.py": 'import importlib\nCOMMANDS = {"run": "clicv2lite.c"}',
        "clicv2lite/a.py": "def f():\n    from clicv2lite.b import g\n    return g",
        "clicv2lite/b.py": "def g(): return 1",
        "clicv2lite/c.py": '"""Unlike clicv2lite.d"""',
        "clicv2lite/d.py": "",
        "clicv2lite/d.json": "{}",
        "clicv2lite/shared.txt": "read by any module of the folder",
        "clicv2lite/front/__init__.py": (
            "from clicv2lite.front.mask import Mask\nfrom clicv2lite.front.shift import Shift as Move\n"
            '__all__ = ["Mask", "Move"]'
        ),
        "clicv2lite/front/mask.py": "from . import base\nfrom ..b import g\nclass Mask: ...",
        "clicv2lite/front/mask.js": "1",
        "clicv2lite/front/shift.py": "class Shift: ...",
        "clicv2lite/front/base.py": "",
        "clicv2lite/front/look.css": "1",
        "clicv2lite/results.py": 'from pathlib import Path\nSTORED = Path(__file__).parents[1] / "data" / "results"',
        "data/results/lite/probe.json": "{}",
        "data/README.md": "a card",
        "clicv2lite/kinds/__init__.py": "import pkgutil\nNAMES = [m.name for m in pkgutil.iter_modules(__path__)]",
        "clicv2lite/kinds/one.py": "from clicv2lite import b",
        "clicv2lite/head.py": 'DEFAULT = ("models", "default")',
        "clicv2lite/models/default/config.json": "{}",
    }
    write(tmp_path, files)
    return tmp_path


LOOK = {"front/__init__.py", "front/look.css"}
MASK = LOOK | {"front/mask.py", "front/mask.js", "front/base.py", "b.py", "shared.txt"}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("import numpy", set()),
        ("import clicv2lite", {"shared.txt"}),
        ("from clicv2lite.b import g", {"b.py", "shared.txt"}),
        ("from clicv2lite import b", {"b.py", "shared.txt"}),
        ("import clicv2lite.b as other", {"b.py", "shared.txt"}),
        ("if True:\n    import clicv2lite.a", {"a.py", "b.py", "shared.txt"}),
        ("from clicv2lite.d import *", {"d.py", "d.json", "shared.txt"}),
        ("import os; os.system('python -m clicv2lite.c')", {"c.py", "shared.txt"}),
        ("!clicv2lite run", {"__main__.py", "cli.py", "c.py", "shared.txt"}),
        ("%timeit 1\nfrom clicv2lite import d", {"d.py", "d.json", "shared.txt"}),
        ("%%bash\npython -m clicv2lite.c", {"c.py", "shared.txt"}),
        ("from clicv2lite.front import Mask", MASK),
        ("from clicv2lite.front import Move", LOOK | {"front/shift.py", "shared.txt"}),
        ("from clicv2lite import front\nfront.Mask()", MASK),
        ("import clicv2lite.front\nclicv2lite.front.Mask()", MASK),
        ("import clicv2lite.front as f\nf.Move()", LOOK | {"front/shift.py", "shared.txt"}),
        ("from clicv2lite.front import *", MASK | {"front/shift.py"}),
        ("from clicv2lite.kinds import NAMES", {"kinds/__init__.py", "kinds/one.py", "b.py", "shared.txt"}),
        ("from clicv2lite import results", {"results.py", "shared.txt", "data/results/lite/probe.json"}),
        ("from clicv2lite import head", {"head.py", "shared.txt", "models/default/config.json"}),
        ('open("../data/" + "results")', {"data/results/lite/probe.json"}),
    ],
)
def test_notebook_depends_on_what_its_code_reaches(cache, tree, cell, expected):
    assert reached(cache, tree, "x = 1", cell) - {"shared.txt"} == expected - {"shared.txt"}
    assert ("shared.txt" in reached(cache, tree, cell)) == ("clicv2lite" in cell)


def test_a_lazy_name_is_followed_when_it_is_asked_for(cache, tree):
    lazy = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from clicv2lite.a import f as load\n"
        '__version__ = "1"\nLAZY = {"load": ("clicv2lite.a", "f")}'
    )
    write(tree, {"clicv2lite/__init__.py": lazy, "clicv2lite/c.py": "import clicv2lite\nclicv2lite.__version__"})
    assert reached(cache, tree, "from clicv2lite import c") == {"c.py", "shared.txt"}
    assert reached(cache, tree, "from clicv2lite import load") == {"a.py", "b.py", "shared.txt"}
    assert reached(cache, tree, "import clicv2lite\nclicv2lite.load()") == {"a.py", "b.py", "shared.txt"}


STYLES = ("import clicv2lite.m{0}", "from clicv2lite import m{0}", "from .m{0} import x", "def f():\n    from . import m{0}")


@given(st.data())
@settings(max_examples=10)
def test_modules_reached_are_those_of_the_transitive_closure(cache, tmp_path_factory, data):
    n, root = data.draw(st.integers(1, 7)), tmp_path_factory.mktemp("tree")
    edges = np.array(data.draw(st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=n, max_size=n)))
    lines = [[data.draw(st.sampled_from(STYLES)).format(j) for j in range(n) if edges[i, j]] for i in range(n)]
    write(root, {"clicv2lite/__init__.py": "", **{f"clicv2lite/m{i}.py": "\n".join(lines[i]) for i in range(n)}})
    want = np.eye(n, dtype=int)[0]
    for _ in range(n):
        want = np.minimum(1, want + want @ edges.astype(int))
    assert reached(cache, root, "from clicv2lite import m0") == {f"m{i}.py" for i in range(n) if want[i]}


@pytest.mark.parametrize(
    "name", ["clicv2lite/a.py", "clicv2lite/b.py", "clicv2lite/shared.txt", "requirements.lock", "data/results/lite/probe.json"]
)
def test_change_of_a_file_that_is_reached_changes_the_key(cache, tree, name):
    notebook = write_notebook(tree / "chapter.ipynb", "import clicv2lite.a, clicv2lite.results")
    before = cache.chapter_key(notebook, tree)
    text = (tree / name).read_text()
    (tree / name).write_text(text[:-1] + "#")  # same size, other content
    assert cache.chapter_key(notebook, tree) != before
    (tree / name).write_text(text)
    assert cache.chapter_key(notebook, tree) == before


@pytest.mark.parametrize(
    "name", ["clicv2lite/c.py", "clicv2lite/d.json", "clicv2lite/__pycache__/a.pyc", "clicv2lite/.hidden", "data/README.md"]
)
def test_change_of_another_file_leaves_the_key_alone(cache, tree, name):
    notebook = write_notebook(tree / "chapter.ipynb", "import clicv2lite.a, clicv2lite.results")
    before = cache.chapter_key(notebook, tree)
    write(tree, {name: "something else"})
    assert cache.chapter_key(notebook, tree) == before


def test_python_and_the_extra_data_folder_change_the_key(cache, tree, monkeypatch):
    notebook = write_notebook(tree / "chapter.ipynb", "1")
    monkeypatch.delenv("CLICV2LITE_DATA", raising=False)
    keys = [cache.chapter_key(notebook, tree)]
    monkeypatch.setenv("CLICV2LITE_DATA", "elsewhere")
    keys.append(cache.chapter_key(notebook, tree))
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    keys.append(cache.chapter_key(notebook, tree))
    assert len(set(keys)) == 3


def test_record_of_other_dependencies_is_dropped_and_its_chapter_named(cache, tree, tmp_path):
    store = get_cache(tmp_path / "store")
    chapters = {name: write_notebook(tree / f"{name}.ipynb", f"import clicv2lite.{name}") for name in "abcd"}
    for name in "abc":  # d was never executed
        data = {"execution_seconds": 1, cache.KEY: cache.chapter_key(chapters[name], tree)}
        bundle = CacheBundleIn(nbformat.read(chapters[name], as_version=4), str(chapters[name]), data=data)
        store.cache_notebook_bundle(bundle, check_validity=False)
    assert cache.outdated(store, chapters, tree) == ["d"]
    write(tree, {"clicv2lite/b.py": "def g(): return 2"})
    assert cache.outdated(store, chapters, tree) == ["a", "b", "d"]
    assert [Path(record.uri).stem for record in store.list_cache_records()] == ["c"]


def test_executed_chapter_is_kept_until_its_module_changes_and_a_failing_one_is_not(cache, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)  # what it names would be found before the package that is made here
    write(tmp_path, {"clicv2lite/__init__.py": "", "clicv2lite/tiny.py": "VALUE = 1"})
    good = write_notebook(tmp_path / "good.ipynb", "from clicv2lite.tiny import VALUE\nVALUE")  # the kernel starts here
    bad = write_notebook(tmp_path / "bad.ipynb", "1 / 0")
    store, chapters = get_cache(tmp_path / "store"), {"good": good, "bad": bad}

    def value() -> str:
        return store.merge_match_into_notebook(nbformat.read(good, as_version=4))[1].cells[0].outputs[0].data["text/plain"]

    cache.execute(store, [good, bad], 600, tmp_path)
    assert value() == "1" and cache.outdated(store, chapters, tmp_path) == ["bad"]
    # longer: of a file of the same size and second, Python would run the bytecode that it has stored
    write(tmp_path, {"clicv2lite/tiny.py": "VALUE = 22"})
    assert cache.outdated(store, chapters, tmp_path) == ["good", "bad"]
    cache.execute(store, [good], 600, tmp_path)
    assert value() == "22"


def chapters_reaching(cache: ModuleType, name: str) -> set[int]:
    return {int(path.stem[:2]) for path in NOTEBOOKS if ROOT / name in cache.chapter_files(path)}


def test_in_this_book_the_loss_reaches_the_chapters_that_train_and_not_the_first(cache):
    found = chapters_reaching(cache, "clicv2lite/method/infonce.py")
    assert {4, 6, 7} <= found and 1 not in found


def test_in_this_book_stored_results_reach_the_chapters_that_quote_them(cache):
    assert {1, 7, 8} <= chapters_reaching(cache, "data/results/measures_savoias.json")
    assert 5 not in chapters_reaching(cache, "data/results/measures_savoias.json")


WATCH = """
import importlib, json, sys
import torch, timm  # once
loaded = {}
for name, lines in json.load(sys.stdin).items():
    for module in [m for m in sys.modules if m.partition(".")[0] == "clicv2lite"]:
        del sys.modules[module]
    exec("\\n".join(lines), {})
    loaded[name] = [m for m in sys.modules if m.partition(".")[0] == "clicv2lite"]
print(json.dumps(loaded))
"""


def test_nothing_that_a_chapter_loads_is_missing(cache):
    lines = {"widgets": ["import clicv2lite.widgets"]}
    for path in NOTEBOOKS:
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        nodes = (node for cell in cells if "!" not in cell and "%" not in cell[:1] for node in ast.walk(ast.parse(cell)))
        imports = (ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
        lines[path.stem] = [line for line in imports if "clicv2lite" in line]
    out = subprocess.run([sys.executable, "-c", WATCH], input=json.dumps(lines), capture_output=True, text=True, check=True)
    loaded = json.loads(out.stdout)
    handed_on = set(loaded.pop("widgets"))  # loaded by clicv2lite.widgets for all, followed for one
    for path in NOTEBOOKS:
        files = {file.relative_to(ROOT).with_suffix("").as_posix() for file in cache.chapter_files(path)}
        known = {file.removesuffix("/__init__").replace("/", ".") for file in files}
        assert set(loaded[path.stem]) - known - handed_on == set()
