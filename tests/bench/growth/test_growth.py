"""`clicv2lite bench --growth`: exponents, points, what it writes and what it refuses."""

import json
import subprocess
import sys

import pytest

from clicv2lite.bench import memory
from clicv2lite.bench.growth import command, point
from clicv2lite.bench.growth.point import Point
from clicv2lite.bench.growth.work import TOPICS, works
from clicv2lite.cli import main

SMALL = {"images in a batch": 2, "patches of an image": 16, "width": 12, "images": 70, "rows": 30, "ratings": 50}


def test_the_exponent_of_a_power_is_found():
    sizes = [1, 10, 100, 1000]
    assert command.slope(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)


def test_the_last_exponent_is_that_of_the_last_two_points():
    found = command.slopes([Point(1, 1.0, 5), Point(10, 1.0, 5), Point(100, 100.0, 50)])
    assert found["seconds_last"] == pytest.approx(2) and found["resident_last"] == pytest.approx(1)
    assert found["seconds"] == pytest.approx(1) and found["resident"] == pytest.approx(0.5)


@pytest.mark.parametrize("resident", [None, 0])
def test_memory_that_no_one_knows_has_no_exponent(resident):
    found = command.slopes([Point(1, 1.0, resident), Point(10, 10.0, 100)])
    assert found["resident"] is None and found["resident_last"] is None and found["seconds"] == pytest.approx(1)


@pytest.mark.parametrize(("topic", "place"), [(topic, place) for topic in TOPICS for place in range(len(works(topic)))])
def test_each_work_is_prepared_once_and_done_again_and_again(topic, place, tmp_path, monkeypatch):
    monkeypatch.setenv("CLICV2LITE_CACHE", str(tmp_path / "before"))
    work = works(topic)[place]
    assert list(work.sizes) == sorted(set(work.sizes)) and work.theory
    operation = work.prepare(SMALL[work.grows], tmp_path)
    operation()
    operation()


def test_a_point_is_measured_in_a_process_of_its_own():
    found = point.measure_apart("rows", 0, 100)
    assert found.size == 100 and found.seconds > 0


def test_memory_is_what_the_operation_held_at_once():
    code = "from clicv2lite.bench import memory; print(memory.held_by(lambda: (b'x' * 50_000_000).count(b'y'))[2])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True).stdout.strip()
    if found == "None":
        pytest.skip("this system does not tell the peak of a process")
    assert 40e6 < int(found) < 80e6


@pytest.mark.parametrize(
    ("before", "after", "growth"),
    [
        ((100 << 20, 100 << 20), (90 << 20, 150 << 20), 50 << 20),
        ((100 << 20, 101 << 20), (100 << 20, 101 << 20), 0),
        ((100 << 20, 300 << 20), (100 << 20, 300 << 20), None),  # no reset: what is below the older peak is not seen
        ((100 << 20, 300 << 20), (100 << 20, 350 << 20), 250 << 20),
        (None, None, None),
    ],
)
def test_a_peak_of_before_is_not_the_operations(before, after, growth, monkeypatch):
    told = iter([before, after])
    monkeypatch.setattr(memory, "_held", lambda reset=False: next(told))
    assert memory.held_by(lambda: "done")[::2] == ("done", growth)


def test_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "measure_apart", lambda topic, place, size: Point(size, 1e-6 * size**2, size))
    result = tmp_path / "r.json"
    assert main(["bench", "--growth", "ratings", "--json", str(result)]) == 0
    found = json.loads(result.read_text())
    assert [row["name"] for row in found["growth"]] == [work.name for work in works("ratings")]
    assert found["growth"][0]["seconds"] == pytest.approx(2) and found["growth"][0]["resident"] == pytest.approx(1)
    assert found["threads"] >= 1 and found["hardware"] and "commit" in found
    assert "by ratings: time 2.00, 2.00; memory 1.00, 1.00" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--peers"], "--growth: it is measured apart from --peers; leave one of them out"),
        (["--device", "cuda"], "--device cuda: --growth measures on the processor; leave one of them out"),
        (["--markdown", "t.md"], "--markdown t.md: it belongs to --peers; add --peers, or leave it out"),
    ],
)
def test_what_does_not_go_together_is_one_line(words, line, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--growth", *words]) == 2
    assert capsys.readouterr().err == f"clicv2lite: {line}\n"
