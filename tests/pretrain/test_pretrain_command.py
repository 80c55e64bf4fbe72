import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import clicv2lite
from clicv2lite.cli import main
from clicv2lite.data.embedded import photographs
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.models.by_name import load_encoder
from clicv2lite.pretrain import engine
from clicv2lite.pretrain import folder as run_folder
from clicv2lite.pretrain.engine import train_step
from clicv2lite.pretrain.log import Log, read_log

SETTINGS = ["--set", "save_every=2", "log_every=3", "seed=5"]


def words(images, out, *more):
    return ["pretrain", "--recipe", "ci", "--images", str(images), "--out", str(out), "--device", "cpu", *SETTINGS, *more]


@pytest.fixture(scope="module")
def weights(photos, tmp_path_factory):
    """The encoder of a run that nothing stopped."""
    out = tmp_path_factory.mktemp("run")
    assert main(words(photos, out)) == 0
    return (out / "encoder.safetensors").read_bytes()


def test_the_ci_recipe_learns_from_the_embedded_photographs(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["pretrain", "--recipe", "ci", "--images", "embedded", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'encoder.safetensors'}\n"
    assert {path.name for path in out.iterdir()} == {"config.json", "metrics.jsonl", "checkpoints", "encoder.safetensors"}
    rows = read_log(out / "metrics.jsonl")
    assert rows[-1]["step"] == 40 and rows[-1]["entropy"] < rows[0]["entropy"]
    assert load_encoder(str(out)).size == 32 and len(photographs()) >= 15


def test_a_recipe_file_stays_with_its_run_and_resumes_it(photos, tmp_path, capsys):
    file, out = tmp_path / "short.toml", tmp_path / "run"
    file.write_text('base = "ci"\npasses = 64\nnegatives = "same-image"\n', encoding="utf-8")
    command = ["pretrain", "--images", str(photos), "--out", str(out), "--device", "cpu", "--recipe"]
    assert main([*command, str(file), "--set", "seed=3"]) == 0
    kept = out / "recipe.toml"
    stored = json.loads((out / "config.json").read_text(encoding="utf-8"))["recipe"]
    assert kept.read_bytes() == file.read_bytes()
    assert (stored["name"], stored["passes"], stored["negatives"], stored["seed"]) == ("short", 64, "same-image", 3)
    (out / "encoder.safetensors").unlink()
    before = kept.read_bytes()
    assert main([*command, str(kept), "--set", "seed=3", "--resume"]) == 0 and (out / "encoder.safetensors").is_file()
    assert kept.read_bytes() == before
    capsys.readouterr()
    assert main([*command, str(tmp_path / "none.toml")]) == 2
    assert capsys.readouterr().err.startswith(f"clicv2lite: --recipe {tmp_path / 'none.toml'}: cannot be read (")


KILLED = """
import os, signal, sys
from clicv2lite import cli
from clicv2lite.pretrain import engine

def killed(model, optimizer, batch, *others, train_step=engine.train_step):
    if batch.step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_step(model, optimizer, batch, *others)

engine.train_step = killed
cli.main(sys.argv[1:])
"""


@pytest.mark.posix
def test_a_killed_process_is_resumed_to_the_same_bytes(photos, weights, tmp_path):
    out = tmp_path / "run"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *words(photos, out)],
        cwd=Path(clicv2lite.__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # one thread, as this process
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL and not (out / "encoder.safetensors").exists()
    assert (out / "checkpoints" / "step-000000006.safetensors").is_file()
    assert main(words(photos, out, "--resume")) == 0
    assert (out / "encoder.safetensors").read_bytes() == weights
    assert [row["step"] for row in read_log(out / "metrics.jsonl")] == [*range(3, 40, 3), 40]


@pytest.mark.posix
def test_sigterm_saves_and_exits_with_status_0(photos, weights, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"

    def terminated(model, optimizer, batch, *others):
        if batch.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return train_step(model, optimizer, batch, *others)

    with monkeypatch.context() as patched:
        patched.setattr(engine, "train_step", terminated)
        assert main(words(photos, out)) == 0
    printed = capsys.readouterr().out
    assert "stopped and saved" in printed and "--resume" in printed and not (out / "encoder.safetensors").exists()
    assert (out / "checkpoints" / "step-000000007.safetensors").is_file()
    assert main(words(photos, out, "--resume")) == 0
    assert (out / "encoder.safetensors").read_bytes() == weights


def one_line(capsys):
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("clicv2lite: ")]
    assert len(err) == 1
    return err[0]


def test_mistakes_about_a_run_are_one_line_and_status_2(photos, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(words(photos, out, "passes=16")) == 0
    capsys.readouterr()
    assert main(words(photos, out, "passes=16")) == 2 and "add --resume" in one_line(capsys)
    assert main(words(photos, out, "passes=32", "--resume")) == 2 and "passes 16 -> 32" in one_line(capsys)
    assert main(words(photos, out, "passes=16", "--resume")) == 0


def test_a_run_that_failed_before_its_first_row_can_be_corrected(photos, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(words(photos, out, "passes=16", "--probe-every", "5")) == 2 and "--probe-every 5" in one_line(capsys)
    assert not out.exists(), "it is refused before the images are opened"
    probes = ("--probe-every", "5", "--probe-ratings", "no.csv")
    assert main(words(photos, out, "passes=16", *probes)) == 2 and "no.csv" in one_line(capsys)
    assert main(words(photos, out, "passes=16", "batch=8")) == 0 and (out / "encoder.safetensors").is_file()


def full(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "owner, method", [(FrozenEncoder, "save"), (Log, "write"), (engine.checkpoint, "write_bytes"), (run_folder, "write_json")]
)
def test_a_full_disk_is_one_line_and_status_2(photos, tmp_path, capsys, monkeypatch, owner, method):
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(owner, method, full)
        assert main(words(photos, out, "passes=64")) == 2
    assert re.search(r"the disk is full\)?; .*make room there", one_line(capsys))
    assert main(words(photos, out, "passes=64", "--resume")) == 0 and (out / "encoder.safetensors").is_file()
