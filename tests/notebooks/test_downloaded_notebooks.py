"""A chapter downloaded alone runs with what `pip install clicv2lite[notebooks]` brings: the wheel carries all that it opens."""

import ast
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
QUICK = ("03_shifted_patchify", "05_masked_entropy")  # executed to their end; of the others, what they import


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """A folder with the contents of the wheel, as pip would unpack it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site-packages")
    return folder / "site-packages"


@pytest.fixture
def env(installed, monkeypatch) -> dict[str, str]:
    """The wheel's package comes before the checkout's; no extra data."""
    monkeypatch.delenv("CLICV2LITE_DATA", raising=False)
    return {**os.environ, "PYTHONPATH": str(installed)}


def code(path: Path) -> Iterator[ast.Module]:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and not cell.source.startswith(("!", "%")):
            yield ast.parse(cell.source)


def imports(path: Path) -> list[str]:
    nodes = (node for tree in code(path) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return [ast.unparse(node) for node in nodes]


def test_wheel_carries_every_file_of_the_package_and_the_stored_results(installed):
    for source, target in ((ROOT / "clicv2lite", "clicv2lite"), (ROOT / "data" / "results", "clicv2lite/_results")):
        files = [path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert len(files) > 5
        for path in files:
            assert (installed / target / path.relative_to(source)).read_bytes() == path.read_bytes()


def test_every_import_of_every_chapter_works_in_an_empty_folder(installed, env, tmp_path):
    lines = [line for path in NOTEBOOKS for line in imports(path)]
    use = "from clicv2lite.evaluate.stored import *; print(stored_results()); read_results(stored_results())"
    script = "\n".join([*lines, use])
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(installed / "clicv2lite" / "_results")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapter_names_no_file_of_the_repository(path):
    strings = [node.value for tree in code(path) for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    texts = [text for text in strings if isinstance(text, str)]
    assert [text for text in texts if "../" in text or text.startswith(("data/", "book/", "tests/", "_static"))] == []


@pytest.mark.parametrize("stem", QUICK)
def test_chapter_runs_alone_in_an_empty_folder(stem, installed, env, tmp_path):
    shutil.copy(ROOT / "book" / f"{stem}.ipynb", tmp_path)
    notebook = nbformat.read(tmp_path / f"{stem}.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("import clicv2lite; print(clicv2lite.__file__)"))
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=env)
    assert notebook.cells[-1].outputs[0].text.strip() == str(installed / "clicv2lite" / "__init__.py")


def test_the_notebooks_extra_names_what_the_chapters_import():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted, lines = ["notebooks"], list(project["dependencies"])
    while wanted:  # an extra may bring others
        lines += extras[extra := wanted.pop()]
        wanted += [
            name for line in extras[extra] if Requirement(line).name == "clicv2lite" for name in Requirement(line).extras
        ]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    owners = importlib.metadata.packages_distributions()
    for path in NOTEBOOKS:
        modules = {line.split()[1].partition(".")[0] for line in imports(path)} - set(sys.stdlib_module_names)
        for module in modules:
            assert declared & {canonicalize_name(name) for name in owners.get(module, [module])}, f"{path.stem}: {module}"
