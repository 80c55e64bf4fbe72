"""Make experiments on a cluster with Slurm: an array of jobs for each level of dependencies, over one shared checkout.

Each job is `clicv2lite results --only NAME`, on one core. A level waits until the one before it has ended, well or not: a job
whose dependency failed says so, and the others go on.
"""

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clicv2lite.errors import UserError
from clicv2lite.evaluate.results.plan import Step, levels
from clicv2lite.evaluate.results.table import WORK
from clicv2lite.extras import extra

LOGS = f"{WORK}/slurm"
CORES = 1  # of a job
SLACK = 3  # times the minutes of the table, for slower cores


class Array(NamedTuple):
    """Jobs that are submitted together."""

    level: int  # from 1
    alone: bool  # each on a machine of its own
    steps: list[Step]

    @property
    def lines(self) -> list[str]:
        """What follows `results --only` in each job."""
        return [f"--force {step.one.name}" if step.forced else step.one.name for step in self.steps]

    @property
    def minutes(self) -> int:
        """The time limit of a job."""
        return round(max(SLACK * max(step.one.minutes for step in self.steps), 30))


def arrays(steps: Sequence[Step]) -> Iterator[Array]:
    """One or two arrays a level: of what may share a machine, and of what may not."""
    for number, level in enumerate(levels(steps), 1):
        for alone in (False, True):
            if found := [step for step in level if step.one.alone == alone]:
                yield Array(number, alone, found)


def script(steps: Sequence[Step], root: Path) -> str:
    """A shell script that submits everything with sbatch."""
    lines = [
        "#!/usr/bin/env bash",
        "# Written by `clicv2lite results --slurm print`; start it with bash where sbatch is. Partition and account come from",
        "# SBATCH_PARTITION and SBATCH_ACCOUNT; the jobs have this environment, CLICV2LITE_DATA with it.",
        "set -euo pipefail",
        f"cd {shlex.quote(str(root))}",
        f"mkdir -p {LOGS}",
    ]
    ids: dict[int, list[str]] = {}
    for number, array in enumerate(arrays(steps), 1):
        before = "".join(f":${{{name}%%;*}}" for name in ids.get(array.level - 1, ()))  # sbatch may say ID;CLUSTER
        options = [
            f"--job-name=results-{number}", f"--array=0-{len(array.steps) - 1}", f"--cpus-per-task={CORES}",
            f"--time={array.minutes}", "--signal=B:TERM@120", f"--output={LOGS}/%A_%a.log",
            *(["--exclusive"] if array.alone else []), *([f'--dependency="afterany{before}"'] if before else []),
        ]  # fmt: skip
        ids.setdefault(array.level, []).append(f"array{number}")
        lines += ["", f"array{number}=$(sbatch --parsable {' '.join(options)} <<'JOB'", "#!/usr/bin/env bash", "names=("]
        lines += [f"    {shlex.quote(line)}" for line in array.lines]
        # not in quotes: a line may be two words
        lines += [")", f"exec {shlex.quote(sys.executable)} -m clicv2lite results --only ${{names[$SLURM_ARRAY_TASK_ID]}}"]
        lines += ["JOB", ")"]
    return "\n".join([*lines, "squeue --me", ""])


def submit(steps: Sequence[Step], root: Path, cluster: str = "slurm") -> list[str]:
    """Submit everything through submitit.

    Args:
        cluster: what submitit submits to; `debug` runs the jobs in this process, one by one.

    Returns:
        The ids of the jobs.

    Raises:
        UserError: if submitit is not installed, or finds no Slurm.
    """
    with extra("cluster", "--slurm submit"):
        import submitit
    ids: dict[int, list[str]] = {}
    for array in arrays(steps):
        more: dict[str, Any] = {"exclusive": True} if array.alone else {}
        if before := ids.get(array.level - 1):
            more["dependency"] = ":".join(["afterany", *sorted({name.partition("_")[0] for name in before})])
        try:
            executor = submitit.AutoExecutor(folder=root / LOGS, cluster=cluster)
        except RuntimeError as error:  # "Could not detect "srun", are you indeed on a slurm cluster?"
            raise UserError(f"--slurm submit: {error}") from None
        executor.update_parameters(
            name="results", timeout_min=array.minutes, slurm_cpus_per_task=CORES, slurm_additional_parameters=more,
            slurm_srun_args=[f"--cpus-per-task={CORES}"],  # srun does not take it over from the job (since Slurm 22.05)
        )  # fmt: skip
        jobs = executor.map_array(make_one, array.lines, [str(root)] * len(array.lines))
        ids.setdefault(array.level, []).extend(job.job_id for job in jobs)
        if cluster == "debug":  # which starts a job when its result is asked for
            for job in jobs:
                job.exception()
    return [name for level in ids.values() for name in level]


def make_one(line: str, root: str) -> None:
    """What each of submitit's jobs does; CalledProcessError if it fails."""
    subprocess.run([sys.executable, "-m", "clicv2lite", "results", "--only", *line.split()], cwd=root, check=True)
