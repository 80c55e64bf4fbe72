"""Where a number comes from: command, commit, hardware. This is stored beside every result."""

import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from clicv2lite import __version__
from clicv2lite.device import cores

ROOT = Path(__file__).parents[1]  # root of the checkout, if the package runs from one


def hardware(device: torch.device | None = None) -> str:
    """The processor or GPU in words, for example "2 x Intel Xeon"."""
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device is not None and device.type == "mps":
        return f"GPU of {platform.processor() or platform.machine()} (mps)"
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        found = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
        name = found[0] if found else name
    return f"{cores()} x {name}"


def commit() -> str | None:
    """The commit of the package's checkout, with "+changes" if its files differ from it; None for an installed package."""
    if not (ROOT / ".git").exists():
        return None

    def git(*words: str) -> str:
        call = ["git", "-C", str(ROOT), *words]
        return subprocess.run(call, capture_output=True, encoding="utf-8", check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "clicv2lite")
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def provenance(device: torch.device | None = None) -> dict[str, str | None]:
    """Command, commit, hardware and versions of this process."""
    words = [*map(shlex.quote, sys.argv[1:2]), *map(_word, sys.argv[2:])]  # the first is the name of the command
    return {
        "command": f"clicv2lite {' '.join(words)}",
        "commit": commit(),
        "hardware": hardware(device),
        "versions": f"clicv2lite {__version__}, torch {torch.__version__}, python {platform.python_version()}",
    }


def _word(word: str) -> str:
    """A word of a command, for a shell: who repeats it has the data in another folder."""
    data = os.environ.get("CLICV2LITE_DATA", "").rstrip("/")
    # at its beginning, or after --option= or timm:NAME@, and all of its folders
    found = re.fullmatch(rf"(|.*[=@]){re.escape(data)}(|/.*)", word, re.S) if data else None
    if found is None:
        return shlex.quote(word)
    before, after = (part and shlex.quote(part) for part in found.groups())
    return f"{before}$CLICV2LITE_DATA{after}"


def code_version(result: Mapping[str, Any]) -> str:
    """Which code made a stored result, in words: its commit, or the release that was installed."""
    if result.get("commit"):
        return f"commit {result['commit']}"
    package, _, release = str(result.get("versions", "")).partition(",")[0].partition(" ")
    return f"installed {release}" if package == "clicv2lite" else "version not recorded"


def stamped(result: Mapping[str, Any], began: float, device: torch.device | None = None) -> dict[str, Any]:
    """A command's result with the seconds since `began` (of `time.perf_counter`) and with its provenance."""
    return {**result, "seconds": round(time.perf_counter() - began, 1), **provenance(device)}
