"""Each topic runs in a process of its own; one that dies leaves the rows that it has, and one that says so."""

import json
import sys
from dataclasses import asdict

import pytest

from clicv2lite.bench.peers import inside, run
from clicv2lite.bench.peers import score as a_topic
from clicv2lite.bench.peers.environment import python_of
from clicv2lite.bench.peers.row import Comparison, Row

DONE = asdict(Row("one", "lightly", "1.6.0", "", "", "", failed=None))
BROKEN = asdict(Row("two", "solo-learn", "", "", "", "", failed="ModuleNotFoundError: No module named 'solo'"))


@pytest.fixture
def interpreter(tmp_path):
    """A function that puts a program in the place of the environment's interpreter: `-m MODULE TOPIC FILE`."""

    def put(rows, then="exit 0"):
        file = python_of(tmp_path)
        file.parent.mkdir(parents=True, exist_ok=True)
        write = f"cat > \"$4\" <<'END'\n{json.dumps(rows)}\nEND\n" if rows is not None else ""
        file.write_text(f"#!/bin/sh\n{write}{then}\n")
        file.chmod(0o755)
        return tmp_path

    return put


@pytest.mark.posix
def test_rows_have_their_topic_and_the_reason_of_the_installer(interpreter):
    said = []
    rows = run.measure(interpreter([DONE, BROKEN]), ["step"], {"solo-learn": "it pins torch", "lightly": "unused"}, said.append)
    assert [(row["topic"], row["peer"], row["failed"]) for row in rows] == [
        ("step", "lightly", None), ("step", "solo-learn", "does not install: it pins torch"),
    ]  # fmt: skip
    assert said == ["measuring step"]


@pytest.mark.posix
def test_a_process_that_dies_leaves_its_rows_and_a_reason(interpreter):
    rows = run.measure_apart(interpreter([DONE], "echo 'Killed by a signal' >&2; exit 9"), "loss")
    assert [row["name"] for row in rows] == ["one", "the rest of loss"]
    assert rows[1]["failed"] == "the process ended with status 9: Killed by a signal"
    assert rows[1]["peer"] == "lightly, pytorch-metric-learning"


@pytest.mark.posix
def test_the_next_topic_is_measured_after_one_that_died(interpreter):
    rows = run.measure(interpreter(None, "exit 1"), ["loss", "input"], {}, lambda line: None)
    assert [row["name"] for row in rows] == ["the rest of loss", "the rest of input"]


@pytest.mark.posix
def test_a_process_that_hangs_is_a_row(interpreter, monkeypatch):
    monkeypatch.setattr(run, "MINUTES", 0.5 / 60)
    (row,) = run.measure_apart(interpreter(None, "exec sleep 60"), "input")
    assert "timed out" in row["failed"]


def test_no_interpreter_is_a_row(tmp_path):
    (row,) = run.measure_apart(tmp_path, "input")
    assert row["name"] == "the rest of input" and row["failed"]


@pytest.mark.posix
def test_the_process_sees_our_copy_and_as_many_threads(interpreter):
    folder = interpreter(None, 'echo "[]" > "$4"; echo "$PYTHONPATH $OMP_NUM_THREADS $3" >&2; exit 1')
    (row,) = run.measure_apart(folder, "input")
    assert row["failed"].endswith(f"{folder / 'source'} 1 input")


@pytest.mark.posix
def test_versions_are_sorted(interpreter):
    folder = interpreter(None, 'echo \'{"torch": "2", "Pillow": "12"}\'')
    assert list(run.versions(folder).items()) == [("Pillow", "12"), ("torch", "2")]


@pytest.mark.posix
def test_versions_are_those_of_the_environment_and_not_of_the_callers_path(interpreter, tmp_path, monkeypatch):
    (tmp_path / "more" / "fake-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "more" / "fake-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "more"))
    found = run.versions(interpreter(None, f'exec "{sys.executable}" "$@"'))
    assert found and "fake" not in found


def test_inside_writes_after_each_comparison(tmp_path, monkeypatch):
    file, seen = tmp_path / "rows.json", []

    def second():
        seen.extend(json.loads(file.read_text()))
        raise SystemExit(3)  # no peer's exception: the process ends

    one = Comparison("first", "timm", "", "", "", lambda: (lambda: 1, lambda: 1), counted=False)
    two = Comparison("second", "timm", "", "", "", second)
    monkeypatch.setattr(a_topic, "comparisons", lambda: [one, two])
    with pytest.raises(SystemExit):
        inside.main("score", str(file))
    assert [row["name"] for row in seen] == ["first"] and seen[0]["ratio"] > 0
