"""Runs of a plain `pretrain --out X` become a suite's: which are taken, and that nothing happens to them."""

import json
import shutil

import pytest

from clicv2lite.cli import main
from clicv2lite.evaluate.adopt import adopt
from clicv2lite.evaluate.keys import run_key, stored_key
from clicv2lite.evaluate.sizes import SIZES
from clicv2lite.evaluate.suites import SUITES
from clicv2lite.outputs import locked

IMAGES = ["worlds:12"]
SETTINGS = ["passes=96", "batch=8", "compare=image", "seed=0"]  # the row "image-wise" of table 4 at ci


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs that were named by hand, in one folder."""
    folder = tmp_path_factory.mktemp("by_hand")
    for name, settings in (("first", SETTINGS), ("other", [*SETTINGS, "temperature=0.3"])):
        words = ["pretrain", "--recipe", "ci", "--images", *IMAGES, "--out", str(folder / name), "--set", *settings]
        assert main(words) == 0
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def key():
    return run_key(SIZES["ci"].recipe(SUITES["table4"].rows[0], 0), IMAGES)


def test_a_run_by_hand_has_the_key_of_its_row(runs):
    assert stored_key(runs / "first") == key() != stored_key(runs / "other")


@pytest.mark.parametrize("place", [".", "first"])
def test_what_a_row_lacks_is_copied_whether_the_run_or_its_folder_is_named(runs, tmp_path, place):
    before = contents(runs)
    assert adopt([runs / place], tmp_path, {key()}) == [runs / place / "first" if place == "." else runs / "first"]
    assert contents(runs) == before
    (made,) = tmp_path.iterdir()
    assert made.name == key()
    for name in ("config.json", "metrics.jsonl", "encoder.safetensors"):
        assert (made / name).read_bytes() == (runs / "first" / name).read_bytes()
    assert adopt([runs], tmp_path, {key()}) == []  # it is there now


def test_what_no_row_lacks_or_is_not_finished_or_not_readable_stays(runs, tmp_path, capsys):
    for name in ("working", "stopped", "hostile", "none"):
        shutil.copytree(runs / "first", tmp_path / "in" / name)
    (tmp_path / "in" / "stopped" / "encoder.safetensors").unlink()
    (tmp_path / "in" / "hostile" / "config.json").write_text('{"recipe": 3}')
    (tmp_path / "in" / "none" / "config.json").unlink()
    with locked(tmp_path / "in" / "working", folder=True):
        assert adopt([tmp_path / "in"], tmp_path / "out", {key()}) == []
    said = capsys.readouterr().err.splitlines()
    assert [line.rpartition("/")[2].partition(":")[0] for line in said[:-1]] == ["hostile", "none", "working"]
    assert said[-1] == "clicv2lite: 0 runs adopted of 1 that were missing"
    assert adopt([runs], tmp_path / "out", set()) == [] and not (tmp_path / "out").exists()


def test_evaluate_trains_nothing_that_it_could_adopt(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("clicv2lite.evaluate.runs.pretrain", None)
    words = ["evaluate", "--suite", "table4", "--size", "ci", "--images", *IMAGES, "--out", str(tmp_path), "--seeds", "0"]
    assert main([*words, "--rows", "image-wise", "--adopt", str(runs)]) == 0
    (row,) = json.loads((tmp_path / "table4.json").read_text())["rows"]
    assert row["runs"][0]["key"] == key() and row["ours"]["ridge"]


def test_a_folder_that_is_not_there_is_one_line(runs, tmp_path, capsys):
    words = ["evaluate", "--suite", "table4", "--size", "ci", "--out", str(tmp_path), "--adopt", str(tmp_path / "typo")]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "typo: there is no such folder" in error and error.count("\n") == 1
    assert main([*words[:-1], str(runs), "--list"]) == 2
    assert "--list writes nothing" in capsys.readouterr().err
