import json

import pytest

from clicv2lite.errors import UserError
from clicv2lite.evaluate import stored as results
from clicv2lite.evaluate.stored import origin, read_results, stored_results

ABOUT = {"command": "clicv2lite pretrain", "commit": "abc", "hardware": "1 x thing", "versions": "torch"}


@pytest.fixture
def folder(tmp_path):
    """Two runs, two random encoders and one measure, as data/results holds them."""
    for seed in (1, 0):
        run = tmp_path / "lite" / f"seed{seed}"
        run.mkdir(parents=True)
        (run / "config.json").write_text(json.dumps({"recipe": {"seed": seed}, "images": 5, **ABOUT}))
        rows = [{"step": step, "seconds": 2.0 * step} for step in (1, 2)]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (run / "probe.json").write_text(json.dumps({"mean_pcc": 0.5 + seed, "seed": seed}))
    (tmp_path / "random").mkdir()
    for seed in (0, 1):
        (tmp_path / "random" / f"seed{seed}.json").write_text(json.dumps({"mean_pcc": 0.1}))
    (tmp_path / "measures_savoias.json").write_text(json.dumps({"measures": {"jpeg_size": {"mean_pcc": 0.6}}}))
    return tmp_path


def test_runs_come_in_the_order_of_their_seeds_with_their_parts(folder):
    got = read_results(folder)
    assert [run.seed for run in got.runs] == [0, 1] and [run.probe["mean_pcc"] for run in got.runs] == [0.5, 1.5]
    assert [row["step"] for row in got.runs[0].log] == [1, 2] and got.runs[0].config["images"] == 5
    assert len(got.random) == 2 and got.measures == {"jpeg_size": {"mean_pcc": 0.6}}


def test_a_run_takes_as_long_as_its_log_says(folder):
    assert read_results(folder).runs[0].config["seconds"] == 4.0


def test_origin_names_command_commit_seconds_and_hardware(folder):
    assert origin(read_results(folder).runs[0].config) == "clicv2lite pretrain\ncommit abc, 4 s\n1 x thing; torch"
    assert "version not recorded" in origin({**ABOUT, "commit": None, "versions": ""})
    assert "installed 0.1.0\n" in origin({**ABOUT, "commit": None, "versions": "clicv2lite 0.1.0, torch"})


@pytest.mark.parametrize(
    "part", ["lite/seed0/config.json", "lite/seed0/metrics.jsonl", "lite/seed1/probe.json", "measures_savoias.json"]
)
def test_a_part_that_is_missing_is_named(folder, part):
    (folder / part).unlink()
    with pytest.raises(UserError, match=part.split("/")[-1]):
        read_results(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_damaged_part_is_named(folder, text):
    (folder / "lite/seed0/probe.json").write_text(text)
    with pytest.raises(UserError, match=r"probe\.json"):
        read_results(folder)


def test_a_folder_without_runs_is_an_error(tmp_path):
    with pytest.raises(UserError, match="make results"):
        read_results(tmp_path)


def test_stored_results_are_those_of_the_wheel_or_else_of_the_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "CHECKOUT", tmp_path / "data")
    monkeypatch.setattr(results, "CARRIED", tmp_path / "_results")
    with pytest.raises(UserError, match="no stored results"):
        stored_results()
    (tmp_path / "data").mkdir()
    assert stored_results() == tmp_path / "data"
    (tmp_path / "_results").mkdir()
    assert stored_results() == tmp_path / "_results"


def test_the_checkout_holds_results_that_can_be_read():
    assert len(read_results(stored_results()).runs) == 3
