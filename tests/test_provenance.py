import subprocess
import sys

import pytest
import torch

import clicv2lite
from clicv2lite.provenance import code_version, commit, hardware, provenance


def test_a_result_says_where_it_comes_from(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/clicv2lite", "score", "my image.jpg"])
    found = provenance()
    assert found["command"] == "clicv2lite score 'my image.jpg'"
    assert f"torch {torch.__version__}" in found["versions"] and f"clicv2lite {clicv2lite.__version__}" in found["versions"]
    assert found["hardware"] == hardware() and found["hardware"][0].isdigit()


@pytest.mark.parametrize("data, words, said", [
    ("/d", ["measures", "--ratings", "/d/s/r.csv"], "measures --ratings $CLICV2LITE_DATA/s/r.csv"),
    ("/d/", ["measures", "--ratings", "/d/r.csv", "--x=/d", "a@/d/w"], "measures --ratings $CLICV2LITE_DATA/r.csv"
     " --x=$CLICV2LITE_DATA a@$CLICV2LITE_DATA/w"),
    ("/d", ["probe", "/d2/r.csv", "/a/d/r.csv"], "probe /d2/r.csv /a/d/r.csv"),
    ("data", ["data", "savoias", "runs/data-a", "mydata.csv"], "data savoias runs/data-a mydata.csv"),
    ("/my d", ["score", "/my d/a b.jpg", "/my dog"], "score $CLICV2LITE_DATA'/a b.jpg' '/my dog'"),
])  # fmt: skip
def test_a_command_names_the_data_folder_by_its_variable(data, words, said, monkeypatch):
    monkeypatch.setenv("CLICV2LITE_DATA", data)
    monkeypatch.setattr(sys, "argv", ["x", *words])
    assert provenance()["command"] == f"clicv2lite {said}"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit of a package, and a function that runs git in it."""

    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    (tmp_path / "clicv2lite").mkdir()
    (tmp_path / "clicv2lite" / "__init__.py").touch()
    monkeypatch.setattr("clicv2lite.provenance.ROOT", tmp_path)
    return git


def test_the_commit_is_that_of_the_checkout_and_says_when_the_package_was_changed(checkout, tmp_path):
    assert commit() is None  # installed, no checkout
    checkout("init", "-q")
    assert commit() is None  # no commit yet
    checkout("add", ".")
    checkout("commit", "-q", "-m", "first")
    head = checkout("rev-parse", "HEAD")[:12]
    (tmp_path / "notes.txt").touch()
    assert commit() == head
    (tmp_path / "clicv2lite" / "__init__.py").write_text("changed = True\n")
    assert commit() == f"{head}+changes"


@pytest.mark.parametrize("result, said", [
    ({"commit": "1a2b+changes", "versions": "clicv2lite 0.1, torch 2"}, "commit 1a2b+changes"),
    ({"commit": None, "versions": "clicv2lite 0.1, torch 2"}, "installed 0.1"),
    ({"versions": "torch 2, python 3"}, "version not recorded"),
    ({}, "version not recorded"),
])  # fmt: skip
def test_the_code_of_a_result_is_its_commit_or_its_release(result, said):
    assert code_version(result) == said
