"""What a suite would take: the numbers of `pretrain --dry-run`, each run counted once, and what is missing."""

import json

import pytest

from clicv2lite.cli import main
from clicv2lite.evaluate import forecast as module
from clicv2lite.evaluate.forecast import missing_packages
from clicv2lite.evaluate.keys import run_key
from clicv2lite.evaluate.sizes import SIZES, find_data
from clicv2lite.evaluate.suites import SUITES
from clicv2lite.pretrain.cost.budget import hours, memory
from clicv2lite.pretrain.cost.hardware import machine
from clicv2lite.pretrain.cost.plan import UTILISATION


def evaluate(out, suite, *more):
    return main(["evaluate", "--suite", suite, "--size", "full", "--out", str(out), "--dry-run", *more])


def test_table1_at_full_size_has_the_hours_and_memory_of_every_run(tmp_path, capsys):
    on = machine("8 x H100")
    assert evaluate(tmp_path, "table1", "--on", "8 x H100", "--json", str(tmp_path / "f.json")) == 0
    found, total, runs = json.loads((tmp_path / "f.json").read_text()), 0.0, 0
    for row, got in zip(SUITES["table1"].rows, found["rows"], strict=True):
        assert got["label"] == row.label
        if row.baseline or not row.trained:
            assert got["runs"] == 0 and got["hours"] is None and (got["note"] or got["problem"])
            continue
        recipe = SIZES["full"].recipe(row, 0)
        each = hours(recipe, on, UTILISATION, recipe.checkpointing)
        micro = min(recipe.micro or recipe.batch // 8, recipe.batch // 8)
        assert got["hours"] == pytest.approx(each) and got["micro"] == micro and got["problem"] is None
        assert got["gpu_bytes"] == sum(memory(recipe, 8, micro, recipe.checkpointing).values())
        total, runs = total + 3 * each, runs + 3
    assert (found["runs"], found["hours"]) == (runs, pytest.approx(total)) and found["gpu_hours"] == pytest.approx(8 * total)
    said = capsys.readouterr().out
    assert f"in all: {runs} runs" in said and "on 8 x H100 SXM 80 GB" in said
    assert "missing: --images: --size full needs it" in said and "missing: --ratings: --size full needs it" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.json"]


def test_a_run_that_rows_share_is_counted_once(tmp_path, capsys):
    assert evaluate(tmp_path, "shift", "--on", "8 x A100", "--seeds", "0", "--json", str(tmp_path / "f.json")) == 0
    rows = {row["label"]: row for row in json.loads((tmp_path / "f.json").read_text())["rows"]}
    assert rows["shift to p/4, zeros"]["runs"] == 1
    twin = SUITES["table2"].rows[:2]
    found = module.forecast(SUITES["table2"], (*twin, *twin), SIZES["full"], (0, 1), None, module.torch.device("cpu"))
    assert [row["runs"] for row in found["rows"]] == [2, 2, 0, 0]
    assert found["rows"][2]["note"] == f"the runs of {twin[0].label}"


def test_finished_runs_are_not_counted(tmp_path, capsys):
    table = find_data("ci", None, None, None, tmp_path).ratings
    key = run_key(SIZES["full"].recipe(SUITES["table4"].rows[1], 0), ["worlds:40"])
    (tmp_path / "runs" / key).mkdir(parents=True)
    (tmp_path / "runs" / key / "encoder.safetensors").touch()
    more = ["--images", "worlds:40", "--ratings", str(table), "--on", "8 x H100"]
    assert evaluate(tmp_path, "table4", *more) == 0
    said = capsys.readouterr().out
    assert "in all: 5 runs" in said and "1 finished" in said and "missing: --" not in said


def test_what_does_not_fit_or_has_no_known_cost_says_so_in_its_row(tmp_path, capsys, monkeypatch):
    assert evaluate(tmp_path, "table4", "--on", "8 x 100 TFLOP/s 1 GB") == 0
    assert "does not fit: vit-b32 in micro-batches of 256 needs" in capsys.readouterr().out

    def unknown(*args, **more):
        raise ValueError("backbone=other: its cost is not known")

    monkeypatch.setattr(module, "plan", unknown)
    assert evaluate(tmp_path, "table4", "--on", "8 x H100") == 0
    assert "backbone=other: its cost is not known" in capsys.readouterr().out


def test_packages_that_are_missing_are_named_with_what_installs_them(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name in ("timm", "coral_pytorch") else object())
    assert missing_packages(SUITES["table4"].rows) == ["timm: pip install '.[train]'"]
    assert missing_packages(SUITES["table1"].rows)[1:] == ["coral-pytorch: pip install '.[supervised]'"]


def test_on_is_for_a_dry_run(tmp_path, capsys):
    assert main(["evaluate", "--suite", "table4", "--size", "ci", "--out", str(tmp_path), "--on", "8 x H100"]) == 2
    assert "--on 8 x H100: works only with --dry-run" in capsys.readouterr().err
    assert evaluate(tmp_path, "table4", "--on", "8 x nothing") == 2
    assert "--on 8 x nothing: write it as" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "labels"),
    [(["(f)"], ["(a) none", "(f) SP + PwIN + MEM"]), (["(b) SP", "unt"], ["(a) none", "(b) SP", "untrained ViT"])],
)
def test_the_first_letters_of_a_label_are_enough(tmp_path, words, labels):
    options = ["--suite", "table2", "--size", "ci", "--dry-run", "--json", str(tmp_path / "f.json"), "--out", str(tmp_path)]
    assert main(["evaluate", *options, "--rows", *words]) == 0
    assert [row["label"] for row in json.loads((tmp_path / "f.json").read_text())["rows"]] == labels


def test_ci_writes_nothing_and_needs_nothing(tmp_path, capsys):
    words = ["evaluate", "--suite", "table4", "--size", "ci", "--out", str(tmp_path / "out"), "--dry-run"]
    assert main(words) == 0
    assert "in all: 4 runs" in capsys.readouterr().out and not (tmp_path / "out").exists()


def test_ci_counts_finished_runs_and_reads_what_is_known(tmp_path, capsys):
    words = ["evaluate", "--suite", "table4", "--size", "ci", "--out", str(tmp_path), "--dry-run"]
    for row in SUITES["table4"].rows:
        for seed in SIZES["ci"].seeds:
            folder = tmp_path / "runs" / run_key(SIZES["ci"].recipe(row, seed), ["worlds:40"])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "encoder.safetensors").touch()
    assert main(words) == 0
    assert "in all: 0 runs" in capsys.readouterr().out
    assert main([*words, "--known", str(tmp_path / "none.json")]) == 0
    assert f"missing: --known {tmp_path / 'none.json'}" in capsys.readouterr().out
