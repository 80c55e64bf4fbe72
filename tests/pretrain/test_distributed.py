"""Ranks, micro-batches, kills: the same run whatever happens to it. Processes talk through gloo on the CPU."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest
import safetensors.torch

import clicv2lite
from clicv2lite.distributed import Ranks, join
from clicv2lite.errors import UserError
from clicv2lite.pretrain.log import read_log
from tests.pretrain.one_step import CHOICES, step

HANG = 300  # seconds, which only a test that hangs waits for
pytestmark = pytest.mark.posix  # locks, signals, bash

HERE, LAUNCH = Path(__file__).parent, Path(clicv2lite.__file__).parent / "launch"
IMAGES = "worlds:80:5"
SETTINGS = ["batch=16", "passes=960", "warmup=96", "save_every=5", "log_every=5"]
PRETRAIN = ["-m", "clicv2lite", "pretrain"]
RUN = ["--device", "cpu", "--recipe", "ci", "--images", IMAGES]
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # the scripts' python is this one
}


def torchrun(*arguments, restarts=0):
    """The command that starts two ranks which find each other on a free port."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return [*launcher, f"--max-restarts={restarts}", *arguments]


def run(command, **environment):
    """Run a command to its end."""
    environment = {**ENVIRONMENT, **environment}
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=HANG, env=environment)


def start(command, **environment):
    """Start a command; its output is one stream."""
    environment = {**ENVIRONMENT, **environment}
    words = [str(word) for word in command]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def wait_for(condition, process, seconds=HANG):
    """Wait until a condition holds, while a process is running."""
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(process.stdout.read()[-3000:])
        time.sleep(0.01)


def passed(out, step):
    """Whether a run has logged this step."""
    rows = read_log(out / "metrics.jsonl")
    return rows and rows[-1]["step"] >= step


def ranks_of(launcher):
    """The processes that torchrun has started, in the order of their ranks."""
    found = [(int(p.environ()["RANK"]), p) for p in psutil.Process(launcher.pid).children() if "RANK" in p.environ()]
    return [process for _, process in sorted(found, key=lambda pair: pair[0])]


@pytest.fixture(scope="module")
def two_ranks(made_once):
    """Folder with what each of two ranks found in one step of 64 images, for every choice."""

    def make(folder):
        done = run(torchrun(HERE / "one_step.py", folder, IMAGES))
        assert done.returncode == 0, done.stderr[-3000:]

    return made_once("ranks", make)


def close(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        scale = max(1.0, float(value.abs().max()))
        np.testing.assert_allclose(found[name], value, rtol=0, atol=2e-6 * scale, err_msg=name)


@cache
def undivided(choice):
    """What one rank finds in one step of the whole batch."""
    return step(choice, IMAGES, Ranks())


@pytest.mark.parametrize("choice", CHOICES)
def test_two_ranks_have_the_loss_and_gradient_of_one(two_ranks, choice):
    wanted = undivided(choice)
    assert any(name.startswith("gradient.") and value.abs().max() > 1e-3 for name, value in wanted.items())
    for rank in (0, 1):
        close(safetensors.torch.load_file(two_ranks / f"{choice}-{rank}.safetensors"), wanted)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("micro", [16, 25])
def test_micro_batches_have_the_loss_and_gradient_of_the_batch(choice, micro):
    close(step(choice, IMAGES, Ranks(), f"micro={micro}"), undivided(choice))


def test_a_batch_that_ranks_cannot_share_is_one_line():
    assert Ranks(1, 4).share(64) == 16
    with pytest.raises(UserError, match="--set batch=63: 2 ranks cannot share it equally; take a multiple of 2"):
        Ranks(0, 2).share(63)


@pytest.mark.parametrize("known", [{}, {"RANK": "0"}])
def test_ranks_that_nobody_started_are_one_line(known, monkeypatch):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"WORLD_SIZE": "2", **known}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"^WORLD_SIZE=2: .* not set; start the ranks with torchrun, or unset"), join("cpu"):
        pass


@pytest.mark.parametrize("known, line", [
    ({"WORLD_SIZE": "two"}, "WORLD_SIZE=two: not a whole number above 0; start the ranks with torchrun, or unset WORLD_SIZE"),
    ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0: not a whole number above 0; start the ranks with torchrun, or unset WORLD_SIZE"),
    ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK=-1: not a whole number; start the ranks with torchrun, or unset RANK"),
    ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK=2: there is none of WORLD_SIZE=2; start the ranks with torchrun, or unset RANK"),
    ({"RANK": "1"}, "RANK=1: there is none of WORLD_SIZE=1; start the ranks with torchrun, or unset RANK"),
])  # fmt: skip
def test_numbers_that_torchrun_would_not_give_are_one_line(known, line, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as refused, join("cpu"):
        pass
    assert str(refused.value) == line


def test_a_number_that_is_empty_is_one_that_is_not_set(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "")
    with join("cpu") as ranks:
        assert ranks.size == 1


@pytest.fixture(scope="module")
def undisturbed(made_once):
    """The run of two ranks that nothing stopped: its folder."""

    def make(folder):
        done = run([LAUNCH / "one_machine.sh", *RUN, "--out", folder / "run", "--set", *SETTINGS], PROCESSES="2")
        assert done.returncode == 0, done.stderr[-3000:]

    return made_once("undisturbed", make) / "run"


def weights(out):
    return (out / "encoder.safetensors").read_bytes()


def losses(out):
    return [(row["step"], row["total"], row["gradient_norm"]) for row in read_log(out / "metrics.jsonl")]


def test_two_ranks_write_one_run(undisturbed):
    written = {path.name for path in undisturbed.iterdir()}
    assert written == {"config.json", "metrics.jsonl", "checkpoints", "encoder.safetensors"}
    assert json.loads((undisturbed / "config.json").read_text())["ranks"] == 2
    assert [row["step"] for row in read_log(undisturbed / "metrics.jsonl")] == list(range(5, 61, 5))


def test_no_wrapped_model_outlives_the_group_of_the_ranks(tmp_path):
    """It would end the group while it holds Python's lock, and wait for a thread that waits for this lock."""
    brief = ["batch=16", "passes=32"]
    done = run(torchrun(HERE / "leaving.py", "pretrain", *RUN, "--out", tmp_path / "run", "--set", *brief))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("left") == 2 and "left behind" not in done.stdout


def test_killed_ranks_change_nothing(undisturbed, tmp_path):
    """The one that writes, then the other: torchrun starts both again, and they end in the same bytes."""
    out = tmp_path / "run"
    launcher = start(torchrun(*PRETRAIN, *RUN, "--out", out, "--set", *SETTINGS, restarts=3))
    for victim, reached in ((0, 15), (1, 35)):
        wait_for(lambda reached=reached: passed(out, reached), launcher)
        ranks_of(launcher)[victim].kill()
    said, _ = launcher.communicate(timeout=HANG)
    assert launcher.returncode == 0, said[-3000:]
    assert weights(out) == weights(undisturbed) and losses(out) == losses(undisturbed)


def test_ranks_told_to_stop_stop_after_the_same_step_and_go_on(undisturbed, tmp_path):
    out = tmp_path / "run"
    command = torchrun(*PRETRAIN, *RUN, "--out", out, "--resume", "--set", *SETTINGS)
    launcher = start(command)
    wait_for(lambda: passed(out, 10), launcher)
    launcher.send_signal(signal.SIGTERM)
    said, _ = launcher.communicate(timeout=HANG)
    assert said.count("stopped and saved; go on with") == 1, said[-3000:]
    assert not (out / "encoder.safetensors").exists() and not passed(out, 60)  # it did not run to its end
    assert run(command).returncode == 0 and weights(out) == weights(undisturbed) and losses(out) == losses(undisturbed)


def test_one_rank_learns_what_two_learn(undisturbed, tmp_path):
    """Rounding is all that the number of ranks changes."""
    out = tmp_path / "run"
    alone = run([sys.executable, *PRETRAIN, *RUN, "--out", out, "--set", *SETTINGS])
    assert alone.returncode == 0, alone.stderr[-3000:]
    for one, two in zip(losses(out), losses(undisturbed), strict=True):
        assert one[0] == two[0] and one[1:] == pytest.approx(two[1:], rel=0.01)


def test_two_machines_are_two_launchers(undisturbed, tmp_path):
    """As on two machines: each has a launcher with one rank, and they meet at an address."""
    out = tmp_path / "run"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    command = [LAUNCH / "many_machines.sh", *RUN, "--out", out, "--set", *SETTINGS]
    both = [start(command, MACHINES="2", HOST=host, PROCESSES="1") for _ in range(2)]
    said = [launcher.communicate(timeout=HANG)[0] for launcher in both]
    assert [launcher.returncode for launcher in both] == [0, 0], said[0][-2000:] + said[1][-2000:]
    assert weights(out) == weights(undisturbed)


KILL = 'for p in $(cat /proc/$1/task/$1/children); do kill -$2 "$p"; done; kill -$2 "$1"'
SLURM = {  # srun kills its step when it is told to stop; scancel signals the step's processes
    "srun": f'end() {{ {KILL}; }}; "$@" & step=$!; echo $step > "$STEP"; trap \'end $step KILL\' TERM; wait $step',
    "scancel": f'end() {{ {KILL}; }}; [ "$*" = "--signal=TERM 77" ] && end "$(cat "$STEP")" TERM',
    "scontrol": 'case "$1" in show) echo 127.0.0.1 ;; requeue) echo "$2" >> "$REQUEUED" ;; esac',
}


def test_slurm_saves_before_the_limit_goes_back_into_the_queue_and_goes_on(undisturbed, tmp_path):
    out, requeued = tmp_path / "run", tmp_path / "requeued"
    for name, body in SLURM.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    job = {"PATH": f"{tmp_path}:{ENVIRONMENT['PATH']}", "SLURM_JOB_ID": "77", "SLURM_NNODES": "1", "SLURM_JOB_NODELIST": "n1",
           "PROCESSES": "2", "REQUEUED": str(requeued), "STEP": str(tmp_path / "step")}  # fmt: skip
    command = ["bash", LAUNCH / "slurm.sbatch", *RUN, "--out", out, "--set", *SETTINGS]
    first = start(command, **job)
    wait_for(lambda: passed(out, 10), first)
    first.send_signal(signal.SIGTERM)  # what --signal=B:TERM@120 does
    said, _ = first.communicate(timeout=HANG)
    assert first.returncode == 0 and requeued.read_text() == "77\n" and "stopped and saved" in said, said[-3000:]
    assert any((out / "checkpoints").glob("step-*.safetensors"))
    second = run(command, **job)
    assert second.returncode == 0 and requeued.read_text() == "77\n", second.stderr[-3000:]
    assert weights(out) == weights(undisturbed)


def test_a_step_of_slurm_gets_the_cores_of_its_job(tmp_path):
    """Since Slurm 22.05 srun does not take over --cpus-per-task: a step would have one core."""
    for name, body in {**SLURM, "srun": f'printf "%s\\n" "$@" > {tmp_path}/step'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    job = {"PATH": f"{tmp_path}:{ENVIRONMENT['PATH']}", "SLURM_JOB_ID": "7", "SLURM_NNODES": "1", "SLURM_JOB_NODELIST": "n1"}
    for cores, first in (({"SLURM_CPUS_PER_TASK": "64"}, ["--cpus-per-task=64", "python"]), ({}, ["python", "-m"])):
        done = run(["bash", LAUNCH / "slurm.sbatch", "--recipe", "ci"], **job, **cores)
        assert done.returncode == 0, done.stderr
        words = (tmp_path / "step").read_text().splitlines()
        assert words[:2] == first and words[-2:] == ["--recipe", "ci"]


@pytest.mark.parametrize("words, line", [
    ([*RUN[:-1], "no-such-folder"], "no-such-folder: there is no such"),
    ([*RUN, "--set", "batch=15"], "--set batch=15: 2 ranks cannot share it equally"),
    ([*RUN, "--probe-every", "5"], "--probe-every 5: give it above 0 and together with"),
    ([*RUN[:-1], "worlds:4$RANK"], "--images worlds:40: ranks see from 40 to 41 images; make the data the same"),
])  # fmt: skip
def test_a_mistake_is_said_once(tmp_path, words, line):
    command = " ".join(map(str, ["exec python", *PRETRAIN, *words, "--out", tmp_path / "run"]))
    done = run(torchrun("--no-python", "bash", "-c", command))
    assert done.returncode != 0 and done.stderr.count(f"clicv2lite: {line}") == 1, done.stderr[-3000:]
    assert "clicv2lite/" not in done.stderr  # no traceback of ours
