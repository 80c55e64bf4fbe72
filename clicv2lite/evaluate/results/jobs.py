"""Make experiments: several at a time, each in a process of its own, and each stored whole or not at all.

A command writes into its folder below runs/results; when it has ended well, its outputs are moved to their places and recorded.
Beside the folder lie its log and, while an attempt is not finished, a note of what is attempted: the next call goes on in the
folder if command and code are still the same (`pretrain` has --resume for that), and empties it otherwise.
"""

import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path

from clicv2lite.errors import UserError
from clicv2lite.evaluate.results.checkout import changed, code, commit
from clicv2lite.evaluate.results.plan import DATA, Step
from clicv2lite.evaluate.results.record import inputs, keeps_are_here, read_record, state, store
from clicv2lite.evaluate.results.table import WORK, Experiment, Table
from clicv2lite.interrupts import Stop

PATIENCE = 120.0  # seconds that a stopped command has for saving
DIRTY = '+changes"'  # the end of a commit in provenance, in JSON


@dataclass
class Job:
    """A command that runs."""

    one: Experiment
    process: subprocess.Popen[bytes]
    lock: BufferedWriter
    code: str  # that it runs
    taken_in: Mapping[str, str]  # digests of what it depends on
    began: float = field(default_factory=time.monotonic)


class Failed(Exception):
    """An experiment that was not made, and why."""


def make(steps: Sequence[Step], table: Table, root: Path, jobs: int) -> dict[str, str]:
    """Make experiments, each when those that it depends on are there; a failure stops only what depends on it.

    Args:
        steps: from `plan`, in its order. jobs: how many run at once.

    Returns:
        name -> why, of those that were not made.

    Raises:
        KeyboardInterrupt: after the commands that ran were ended, each with time to save.
        UserError: on Windows, where a command can neither inherit a lock nor be asked to save.
    """
    if importlib.util.find_spec("fcntl") is None:
        raise UserError("results: stored results are made on Linux and macOS only; use WSL, or --list to see what is there")
    waiting, running = list(steps), list[Job]()
    failed: dict[str, str] = {}
    (root / WORK).mkdir(parents=True, exist_ok=True)
    with Stop() as stop:  # so that no command is lost between its start and its end
        try:
            while (waiting or running) and not stop.asked:
                for job in [job for job in running if job.process.poll() is not None]:
                    running.remove(job)
                    with _noting(job.one, failed):
                        _finish(job, table, root)
                for lost in list(waiting):  # in the order of the table, so that one pass reaches all
                    if culprit := next((name for name in lost.one.after if name in failed), None):
                        waiting.remove(lost)
                        failed[lost.one.name] = f"not started, for it needs {culprit}"
                if step := _next(waiting, running, jobs):
                    waiting.remove(step)
                    with _noting(step.one, failed):
                        running += _start(step, table, root)
                else:
                    time.sleep(0.1)
        finally:
            _end(running, stop)
        if stop.asked:
            raise KeyboardInterrupt
    return failed


@contextmanager
def _noting(one: Experiment, failed: dict[str, str]) -> Iterator[None]:
    """Turn a failure into an entry of `failed`."""
    try:
        yield
    except (Failed, UserError, OSError) as error:
        failed[one.name] = str(error)
        print(f"{one.name}: failed", flush=True)


def _next(waiting: Sequence[Step], running: Sequence[Job], jobs: int) -> Step | None:
    """The first step that can start now, if any."""
    if len(running) >= jobs or any(job.one.alone for job in running):
        return None
    ahead = {step.one.name for step in waiting} | {job.one.name for job in running}
    folders = {job.one.folder for job in running}
    for step in waiting:
        free = not ahead.intersection(step.one.after) and step.one.folder not in folders
        if free and not (step.one.alone and running):
            return step
    return None


def _start(step: Step, table: Table, root: Path) -> list[Job]:
    """Start a command, unless what it would make has become fresh meanwhile."""
    one, record = step.one, read_record(root)
    if not step.forced and state(one, table, record, root).kind == "fresh" and keeps_are_here(one, record, root):
        return []
    _need_clean(table, root)
    runs, taken_in = code(root, table), inputs(one, table, root)
    lock = _lock(root / f"{WORK}/{one.folder}.lock")
    _prepare(one, f"{runs} {one.command}\n", root)
    words, environment = _words(one)
    with (root / one.log).open("ab") as log:
        log.write(f"$ {shlex.join(one.words)}\n".encode())
        log.flush()
        process = subprocess.Popen(
            words, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, pass_fds=[lock.fileno()],
        )  # fmt: skip
    print(f"{one.name}: started, about {one.minutes:g} min, {one.log}", flush=True)
    return [Job(one, process, lock, runs, taken_in)]


def _prepare(one: Experiment, attempt: str, root: Path) -> None:
    """Make the folder, and empty it unless this attempt goes on in it."""
    note = root / f"{WORK}/{one.name}.attempt"
    if not one.shared and not (note.is_file() and note.read_text(encoding="utf-8") == attempt):
        shutil.rmtree(root / one.out, ignore_errors=True)
    (root / one.out).mkdir(parents=True, exist_ok=True)
    note.write_text(attempt, encoding="utf-8", newline="\n")


def _words(one: Experiment) -> tuple[list[str], dict[str, str]]:
    """The words of the process, and its environment."""
    environment, data = dict(os.environ), os.environ.get(DATA[1:])
    if data:  # it runs in another folder than this process
        data = environment[DATA[1:]] = os.path.abspath(data)
    if not one.alone:
        environment["OMP_NUM_THREADS"] = "1"
    words = [word.replace(DATA, data or DATA) for word in one.words]
    return [sys.executable, *(words[1:] if words[0] == "python" else ["-m", "clicv2lite", *words])], environment


def _finish(job: Job, table: Table, root: Path) -> None:
    """Store what a command made, or say why not."""
    one, folder = job.one, root / job.one.out
    job.lock.close()
    if job.process.returncode:
        raise Failed(f"exit status {job.process.returncode}: {_last_line(root / one.log)} (see {one.log})")
    if missing := [name for name in (*one.outputs.values(), *one.keeps) if not (folder / name).is_file()]:
        raise Failed(f"ended without writing {one.out}/{missing[0]} (see {one.log})")
    _need_clean(table, root)
    if code(root, table) != job.code:
        raise Failed("other code was committed while it ran; make results in a worktree of their own (git worktree add)")
    for name in one.outputs.values():
        if name.endswith((".json", ".jsonl")) and DIRTY in (folder / name).read_text(encoding="utf-8"):
            raise Failed(f"{one.out}/{name} names a commit with uncommitted changes; remove the run that it comes from")
    store(one, job.taken_in, commit(root), root)
    (root / f"{WORK}/{one.name}.attempt").unlink(missing_ok=True)
    print(f"{one.name}: stored after {(time.monotonic() - job.began) / 60:.1f} min", flush=True)


def _need_clean(table: Table, root: Path) -> None:
    if found := changed(root, table):
        raise Failed(f"{found[0]} is not as in the commit that the result would name; commit it, then go on")


def _lock(path: Path) -> BufferedWriter:
    """A lock that a command inherits: it is free when the command has ended, even if this process was killed before."""
    import fcntl  # not above: Windows has none

    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Failed("another process makes it, or one that shares its folder; wait for that") from None
    return file


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _end(running: Sequence[Job], stop: Stop) -> None:
    """End commands and what they started; those that can save do so first, unless the user asks once more."""
    began, asked = time.monotonic(), stop.asked
    for job in running:
        _signal(job, signal.SIGTERM)
    while any(job.process.poll() is None for job in running) and stop.asked == asked and time.monotonic() - began < PATIENCE:
        time.sleep(0.1)
    for job in running:
        _signal(job, signal.SIGKILL)
        job.process.wait()


def _signal(job: Job, number: signal.Signals) -> None:
    if job.process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(job.process.pid, number)
