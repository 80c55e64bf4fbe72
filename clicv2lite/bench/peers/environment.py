"""An environment for the peers: their pins are theirs, and none of them becomes a dependency of this package."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clicv2lite.bench.peers.row import because
from clicv2lite.data.cache import cache_dir
from clicv2lite.errors import UserError
from clicv2lite.files import write_json

TOPICS = {  # name on the command line -> what it needs beside our own packages
    "step": ("lightly", "solo-learn"),
    "loop": (),
    "loss": ("lightly", "pytorch-metric-learning"),
    "input": ("webdataset",),
    "score": ("pyiqa",),
}
NOT_COMMERCIAL = ("pyiqa",)  # by its licence: installed here only, at the user's wish
EXTRAS = ("train", "data")  # of this package: what our side of a comparison imports
PINNED = ("torch", "torchvision")  # as in this process: both sides of every comparison use them
RECORD, VENV, SOURCE = "clicv2lite-peers.json", "venv", "source"  # what is in the folder
PACKAGE = Path(__file__).parents[2]
MINUTES = 20  # for one installation
NO_NETWORK = re.compile(
    r"\bdns\b|name resolution|resolve host|tcp connect|connection|timed out|network (is|was)", re.IGNORECASE
)
WARNING = re.compile(r"\[?(warning|notice)", re.IGNORECASE)
WORKS = "import torch, torchvision, timm, simplejpeg"

Run = Callable[[Sequence[str]], tuple[int, str]]  # a command line -> its status, and what it said on stderr


def default_folder() -> Path:
    """The folder that holds everything the command makes."""
    return cache_dir() / "peers"


def python_of(folder: Path) -> Path:
    """The environment's interpreter."""
    return folder / VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def prepare(folder: Path, topics: Sequence[str], run: Run | None = None, say: Callable[[str], None] = print) -> dict[str, str]:
    """Make the environment unless it is there and works, add the peers of these topics, and put this package beside it.

    The folder's record says what is in it. It says `complete: false` during each installation: an environment that was
    interrupted is made again.

    Args:
        folder: one of this command's, an empty one, or none yet.
        run: calls a command line. say: tells the user what happens.

    Returns:
        peer -> why it does not install.

    Raises:
        UserError: if the folder holds something else, or there can be no environment at all.
    """
    run, uv, record = run or call, shutil.which("uv"), folder / RECORD
    known = recorded(folder)
    if known is None and folder.exists() and any(not file.name.startswith(".") for file in folder.iterdir()):
        raise UserError(f"--peers-dir {folder}: this folder holds other files; name an empty or a new one")
    own = requirements()
    if known is None or known["own"] != own or not known["complete"] or run([str(python_of(folder)), "-I", "-c", WORKS])[0]:
        say(f"making an environment for the peers in {folder} (up to 7 GB with a torch for GPUs); remove it when you like")
        known = {"own": own, "complete": False, "peers": {}}
        folder.mkdir(parents=True, exist_ok=True)
        write_json(record, known)
        shutil.rmtree(folder / VENV, ignore_errors=True)
        for words in (make_words(folder, uv), install_words(folder, uv, own["packages"])):
            status, said = run(words)
            if status:
                raise UserError(f"--peers: no environment in {folder}: {why(said)}")
    else:
        say(f"the peers' environment is {folder}; remove it when you like")
    for peer in dict.fromkeys(name for topic in topics for name in TOPICS[topic]):
        if known["peers"].get(peer) != "":  # what failed is tried again: a network comes back
            say(f"installing {peer}" + (", whose licence forbids commercial use" if peer in NOT_COMMERCIAL else ""))
            write_json(record, known | {"complete": False})
            status, said = run(install_words(folder, uv, [peer, *own["packages"]]))
            known["peers"][peer] = why(said) if status else ""
    write_json(record, known | {"complete": True})
    shutil.rmtree(folder / SOURCE, ignore_errors=True)
    shutil.copytree(PACKAGE, folder / SOURCE / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    return {peer: reason for peer, reason in known["peers"].items() if reason}


def recorded(folder: Path) -> dict[str, Any] | None:
    """What the record says; None without one. A record that cannot be read belongs to an environment that is not complete."""
    file = folder / RECORD
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {"own": found["own"], "complete": bool(found["complete"]), "peers": dict(found["peers"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"own": {}, "complete": False, "peers": {}}


def requirements() -> dict[str, Any]:
    """The interpreter, and what this package needs to run there, without itself.

    Raises:
        UserError: if this package runs without an installation, and so without a list of what it needs.
    """
    packages = [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in PINNED]
    try:
        lines = importlib.metadata.requires("clicv2lite") or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError("--peers: clicv2lite is not installed, so what it needs is not known; pip install -e . in it") from None
    for line in lines:
        name, _, marker = (part.strip() for part in line.partition(";"))
        wanted = not marker or any(marker.replace("'", '"') == f'extra == "{extra}"' for extra in EXTRAS)
        if wanted and re.split(r"[^\w.-]", name)[0] not in (*PINNED, "clicv2lite"):
            packages.append(name)
    return {"python": sys.version, "packages": packages}


def make_words(folder: Path, uv: str | None) -> list[str]:
    """The command line that makes an empty environment with this interpreter."""
    where = str(folder / VENV)
    return [uv, "venv", "--quiet", "--python", sys.executable, where] if uv else [sys.executable, "-I", "-m", "venv", where]


def install_words(folder: Path, uv: str | None, packages: Sequence[str]) -> list[str]:
    """The command line that installs into it."""
    python = str(python_of(folder))
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", python, *packages]
    return [python, "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]


def call(words: Sequence[str]) -> tuple[int, str]:
    """Run a command line; a program that is missing or too slow has status 1."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", timeout=60 * MINUTES
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stderr


def why(said: str) -> str:
    """The reason in what an installer said, without addresses: these may hold passwords, and are no concern of a table."""
    if NO_NETWORK.search(said):
        return "the package index cannot be reached; connect this machine to it, and run the command again"
    return last_lines(said)


def last_lines(said: str) -> str:
    """The end of what a program said, without the arrows of a tree and without addresses."""
    lines = [line.strip(" ╰─▶×│├") for line in said.splitlines() if line.strip() and not WARNING.match(line)]
    return because(re.sub(r"\S*://\S*", "(an address)", " ".join(lines[-3:]))) or "it said nothing"
