"""A tiny repository with a table of its own, whose experiments are runs of one small script."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clicv2lite.cli import main
from clicv2lite.evaluate.results import command
from clicv2lite.evaluate.results.table import TABLE, read_table

PACKAGE = Path(command.__file__).parents[3]
JOB = """
import argparse, json, os, signal, subprocess, sys, time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--name", required=True)
parser.add_argument("--reads", nargs="*", default=[])  # files whose content goes into the output
parser.add_argument("--meet")  # waits until a job of this name runs, too, and has seen this one
parser.add_argument("--until", type=Path)  # waits for this file; SIGTERM saves, as `pretrain` does, and then the wait is over
parser.add_argument("--run")  # a shell command
parser.add_argument("--commit", default="0123456789ab")
parser.add_argument("--status", type=int, default=0)
args = parser.parse_args()

signs = Path("runs/signs")
signs.mkdir(parents=True, exist_ok=True)
sign = signs / args.name
sign.write_text(str(os.getpid()))
def look():
    return {path.name for path in signs.iterdir() if not path.suffix} - {args.name}

beside = look()
starts = args.out / "starts"
starts.write_text((starts.read_text() if starts.exists() else "") + "x")
saved = args.out / "saved"

def save(*_):
    saved.write_text("")
    sign.unlink()
    sys.exit(0)

signal.signal(signal.SIGTERM, save)
def wait(there):
    for _ in range(6000):
        if there():
            return
        time.sleep(0.1)
    sys.exit("nobody came")

if args.meet:
    for stage in (".came", ".saw"):  # neither leaves before both have looked
        sign.with_suffix(stage).touch()
        wait((signs / args.meet).with_suffix(stage).exists)
        beside |= look() if stage == ".came" else set()
if args.until and not saved.exists():
    wait(args.until.exists)
if args.run:
    subprocess.run(args.run, shell=True, check=True)
beside |= look()
sign.unlink()
if args.status:
    sys.exit(f"{args.name} cannot be made") if args.status == 1 else sys.exit(args.status)
content = {
    "starts": len(starts.read_text()), "beside": sorted(beside), "read": [Path(p).read_text() for p in args.reads],
    "commit": args.commit, "threads": os.environ.get("OMP_NUM_THREADS"), "data": os.environ.get("CLICV2LITE_DATA"),
}
(args.out / f"{args.name}.json").write_text(json.dumps(content))
"""


def git(root, *words):
    subprocess.run(
        ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True
    )


def wait_for(there):
    """Wait until something is so; an error, long after it should have been."""
    for _ in range(6000):
        if there():
            return
        time.sleep(0.1)
    raise AssertionError("it never came")


class Repository:
    """A checkout in a folder of its own."""

    def __init__(self, root):
        self.root = root

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def table(self, text):
        """Commit a table."""
        self.write(TABLE, text)
        self.commit()
        return read_table(self.root)

    def commit(self):
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--allow-empty", "--message", "x")

    def results(self, *words):
        return main(["results", *words])

    def process(self, *words):
        """The command in a process of its own."""
        code = (
            "import sys; from pathlib import Path; from clicv2lite import cli; from clicv2lite.evaluate.results import command;"
            "command.ROOT = Path(sys.argv[1]); sys.exit(cli.main(['results', *sys.argv[2:]]))"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code, str(self.root), *words], cwd=self.root, text=True,
            env={**os.environ, "PYTHONPATH": str(PACKAGE)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


def entry(name, words="", *more, outputs=None):
    """An entry of the table: one run of the script."""
    lines = [f"[experiment.{name}]", f"command = '''python job.py --out {{out}} --name {name} {words}'''", "minutes = 1"]
    stored = [f"data/results/{name}.json"] if outputs is None else outputs
    return "\n".join([*lines, f"outputs = {stored}", *more, ""])


@pytest.fixture
def repository(tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "--quiet")
    found = Repository(root)
    found.write(".gitignore", "runs/\n__pycache__/\n")
    found.write("job.py", JOB)
    found.write("clicv2lite/code.py", "one = 1\n")
    found.write("data/README.md", "what lies here\n")
    monkeypatch.setattr(command, "ROOT", root)
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE))
    monkeypatch.delenv("CLICV2LITE_DATA", raising=False)
    return found
