"""Slurm: a script that bash and a stand-in for sbatch run, and what goes through submitit."""

import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from clicv2lite.errors import UserError
from clicv2lite.evaluate.results.plan import plan
from clicv2lite.evaluate.results.slurm import make_one, submit
from tests.evaluate.results.conftest import entry

pytestmark = pytest.mark.posix  # locks, signals, bash

TABLE = (
    entry("a", "--status 1") + entry("b") + entry("timed", "", "alone = true") + entry("c", "", 'after = ["b"]')
    + entry("d", "", 'after = ["a", "timed"]').replace("minutes = 1", "minutes = 60")
)  # fmt: skip
SBATCH = """#!/usr/bin/env bash
n=$(ls "$CALLS" | wc -l)
printf '%s\\n' "$@" > "$CALLS/$n.args"
cat > "$CALLS/$n.job"
echo "$((100 + n / 2));cluster"
"""


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """A folder with what sbatch was given; calls 0, 2, ... have the files N.args and N.job."""
    for name, text in (("sbatch", SBATCH), ("squeue", "#!/bin/sh\n")):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "calls").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def printed(repository, capsys, *words):
    assert repository.results("--slurm", "print", *words) == 0
    return capsys.readouterr().out


def test_the_script_submits_an_array_for_each_level(repository, capsys, sbatch):
    repository.table(TABLE)
    subprocess.run(["bash"], input=printed(repository, capsys), text=True, check=True)
    found = [(sbatch / f"{n}.args").read_text().splitlines() for n in (0, 2, 4)]
    assert len(list(sbatch.iterdir())) == 6
    assert ["--array=0-1" in found[0], "--array=0-0" in found[1], "--array=0-1" in found[2]] == [True] * 3
    assert [any(word.startswith("--dependency") for word in args) for args in found] == [False, False, True]
    assert "--dependency=afterany:100:101" in found[2]
    assert ["--exclusive" in args for args in found] == [False, True, False]
    assert ["--time=30" in found[0], "--time=180" in found[2]] == [True, True]


def test_a_job_of_the_script_makes_its_experiment(repository, capsys, sbatch, monkeypatch):
    repository.table(TABLE)
    subprocess.run(["bash"], input=printed(repository, capsys), text=True, check=True)
    job = (sbatch / "0.job").read_text()
    shown = job.replace(f"exec {sys.executable} -m clicv2lite", "echo")
    assert shown != job and (repository.root / "runs/results/slurm").is_dir()
    for number, name in enumerate(["a", "b"]):
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(number)}
        done = subprocess.run(["bash"], input=shown, text=True, capture_output=True, env=environment, check=True)
        assert done.stdout == f"results --only {name}\n"


def test_forced_ones_are_forced_in_their_jobs(repository, capsys):
    repository.table(entry("b"))
    assert repository.results() == 0
    assert "'--force b'" in printed(repository, capsys, "--force", "b")
    assert repository.results("--only", "--force", "b") == 0


def test_only_what_is_to_be_made_is_in_the_script(repository, capsys):
    repository.table(TABLE)
    assert repository.results("c") == 0
    capsys.readouterr()
    text = printed(repository, capsys)
    assert [line.strip() for line in text.splitlines() if line.startswith("    ")] == ["a", "timed", "d"]


def test_a_job_whose_dependency_failed_says_so(repository, capsys):
    repository.table(TABLE)
    assert repository.results("a") == 1
    assert repository.results("--only", "d") == 2
    assert "results --only d: a has to be made before (missing: no data/results/a.json)" in capsys.readouterr().err


class Executor:
    """What `submit` uses of submitit, written down."""

    calls: list

    def __init__(self, folder, cluster):
        if cluster != "slurm":
            raise RuntimeError('Could not detect "srun"')
        self.parameters = {}

    def update_parameters(self, **parameters):
        self.parameters = parameters

    def map_array(self, function, *lines):
        self.calls.append((self.parameters, function, list(zip(*lines, strict=True))))
        return [SimpleNamespace(job_id=f"{len(self.calls)}_{i}") for i in range(len(lines[0]))]


def test_submit_gives_submitit_an_array_for_each_level(repository, monkeypatch, capsys):
    module = ModuleType("submitit")
    module.AutoExecutor, Executor.calls = Executor, []
    monkeypatch.setitem(sys.modules, "submitit", module)
    repository.table(TABLE)
    assert repository.results("--slurm", "submit") == 0
    assert capsys.readouterr().out.split() == ["1_0", "1_1", "2_0", "3_0", "3_1"]
    root = str(repository.root)
    assert [(function, lines) for _, function, lines in Executor.calls] == [
        (make_one, [("a", root), ("b", root)]), (make_one, [("timed", root)]), (make_one, [("c", root), ("d", root)])
    ]  # fmt: skip
    more = [parameters["slurm_additional_parameters"] for parameters, *_ in Executor.calls]
    assert more == [{}, {"exclusive": True}, {"dependency": "afterany:1:2"}]
    assert Executor.calls[2][0]["timeout_min"] == 180


def test_without_submitit_one_line_names_the_extra(repository, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)
    repository.table(TABLE)
    assert repository.results("--slurm", "submit") == 2
    assert (
        "--slurm submit needs the package submitit, which is not installed; pip install '.[cluster]'" in capsys.readouterr().err
    )


def test_without_slurm_one_line_says_so(repository, monkeypatch, capsys):
    pytest.importorskip("submitit")
    steps = plan(repository.table(entry("b")), repository.root, ())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="--slurm submit: Could not detect"):
        submit(steps, repository.root)


def test_submitit_runs_a_job(repository, monkeypatch):
    """Its own debug executor calls the function that a node would; the job is not of the real table."""
    pytest.importorskip("submitit")
    ran, steps = [], plan(repository.table(entry("b")), repository.root, ())
    monkeypatch.setattr(subprocess, "run", lambda words, **more: ran.append((words[1:], more["cwd"])))
    (name,) = submit(steps, repository.root, cluster="debug")
    assert name.startswith("DEBUG")
    assert ran == [(["-m", "clicv2lite", "results", "--only", "b"], str(repository.root))]


def test_submitit_writes_what_slurm_understands(repository, sbatch, tmp_path, capsys):
    """The real submitit, before a stand-in for sbatch that is called with the file of an array."""
    pytest.importorskip("submitit")
    (tmp_path / "bin/sbatch").write_text(
        '#!/usr/bin/env bash\nn=$(ls "$CALLS" | wc -l)\ncp "${@: -1}" "$CALLS/$n"\necho "Submitted batch job $((100 + n))"\n'
    )
    (tmp_path / "bin/srun").symlink_to(tmp_path / "bin/squeue")
    repository.table(TABLE)
    assert repository.results("--slurm", "submit") == 0
    assert capsys.readouterr().out.split() == ["100_0", "100_1", "101", "102_0", "102_1"]
    found = [(sbatch / str(n)).read_text().splitlines() for n in range(3)]
    assert ["#SBATCH --exclusive" in lines for lines in found] == [False, True, False]
    assert "#SBATCH --dependency=afterany:100:101" in found[2] and not any("dependency" in line for line in found[0])
    assert any(line.startswith("#SBATCH --array=0-1") for line in found[0])
    assert "#SBATCH --time=180" in found[2] and "#SBATCH --cpus-per-task=1" in found[0]
    steps = [line for lines in found for line in lines if line.startswith("srun ")]
    assert len(steps) == 3 and all("--cpus-per-task=1" in line.split() for line in steps)
