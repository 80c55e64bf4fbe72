"""The key of the cache of executed chapters changes with what a cell's output depends on, and with nothing else."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def extension() -> ModuleType:
    pytest.importorskip("sphinx")
    spec = importlib.util.spec_from_file_location("offline_book", ROOT / "book" / "_ext" / "offline_book.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("clicv2lite/model.py", "clicv2lite/widgets/front.js", "data/results/a.json", "requirements.lock"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["clicv2lite/model.py", "clicv2lite/widgets/front.js", "data/results/a.json", "requirements.lock"]
)
def test_change_of_package_script_result_or_lock_changes_the_key(extension, tree, name):
    before = extension.execution_key(tree)
    (tree / name).write_text("2")  # same size, other content
    assert extension.execution_key(tree) != before


def test_new_and_renamed_files_change_the_key(extension, tree):
    keys = [extension.execution_key(tree)]
    (tree / "clicv2lite" / "new.py").write_text("")
    keys.append(extension.execution_key(tree))
    (tree / "clicv2lite" / "new.py").rename(tree / "clicv2lite" / "newer.py")
    keys.append(extension.execution_key(tree))
    assert len(set(keys)) == 3


def test_byte_code_hidden_files_and_the_book_leave_the_key_alone(extension, tree):
    before = extension.execution_key(tree)
    for name in ("clicv2lite/__pycache__/model.pyc", "data/.DS_Store", "book/intro.md"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("x")
    assert extension.execution_key(tree) == before


def test_extra_data_folder_changes_the_key(extension, tree, monkeypatch):
    monkeypatch.delenv("CLICV2LITE_DATA", raising=False)
    before = extension.execution_key(tree)
    monkeypatch.setenv("CLICV2LITE_DATA", "elsewhere")
    assert extension.execution_key(tree) != before
