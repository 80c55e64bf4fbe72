"""`clicv2lite bench --peers`: what it writes, and what it refuses."""

import json

import pytest

from clicv2lite.bench.peers import command, environment
from clicv2lite.cli import main

from .test_table import FAILED, MEASURED


@pytest.fixture
def measured(monkeypatch):
    """Topics that were asked for, and the folder; nothing is installed or measured."""
    asked = []

    def prepare(folder, topics):
        asked.append((folder, list(topics)))
        return {}

    monkeypatch.setattr(command, "prepare", prepare)
    monkeypatch.setattr(
        command, "measure", lambda folder, topics, refused: [{"topic": "step", **r} for r in (MEASURED, FAILED)]
    )
    monkeypatch.setattr(command, "versions", lambda folder: {"lightly": "1.6.0"})
    return asked


def test_json_and_markdown(measured, tmp_path, capsys):
    table, result = tmp_path / "t.md", tmp_path / "r.json"
    words = ["--peers", "step", "--peers-dir", str(tmp_path / "here"), "--markdown", str(table), "--json", str(result)]
    assert main(["bench", *words]) == 0
    assert measured == [(tmp_path / "here", ["step"])]
    assert "2.00 (1.90 to 2.25)" in table.read_text() and "not measured: does not install" in table.read_text()
    found = json.loads(result.read_text())
    assert [row["ratio"] for row in found["peers"]] == [2.0, None] and found["installed"] == {"lightly": "1.6.0"}
    assert found["threads"] >= 1 and found["hardware"] and found["command"].startswith("clicv2lite") and "commit" in found
    assert "solo-learn" in capsys.readouterr().out


def test_all_topics_in_the_cache_by_default(measured, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CLICV2LITE_CACHE", str(tmp_path / "cache"))
    assert main(["bench", "--peers"]) == 0
    assert measured == [(tmp_path / "cache" / "peers", list(environment.TOPICS))]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--markdown", "t.md"], "--markdown t.md: it belongs to --peers; add --peers, or leave it out"),
        (["--peers-dir", "here"], "--peers-dir here: it belongs to --peers; add --peers, or leave it out"),
        (["--peers", "--device", "cuda"], "--device cuda: --peers measures on the processor; leave one of them out"),
    ],
)
def test_what_does_not_go_together_is_one_line(words, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *words]) == 2
    assert capsys.readouterr().err == f"clicv2lite: {line}\n"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_topic_is_one_line(capsys):
    assert main(["bench", "--peers", "training"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "training" in said and "step" in said


def test_two_runs_do_not_share_the_folder(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CLICV2LITE_CACHE", str(tmp_path))

    def second(folder, topics):
        assert main(["bench", "--peers"]) == 2
        return {}

    monkeypatch.setattr(command, "prepare", second)
    monkeypatch.setattr(command, "measure", lambda folder, topics, refused: [])
    monkeypatch.setattr(command, "versions", lambda folder: {})
    assert main(["bench", "--peers"]) == 0
    assert "is writing it; wait for it or name another folder" in capsys.readouterr().err
