"""Where a number comes from: command, commit, hardware; stored beside every result."""

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import torch

import clicv2lite


def hardware(device: torch.device | None = None) -> str:
    """The processor or GPU in words, for example "2 x Intel Xeon"."""
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        found = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = found[0] if found else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} x {name}"


def commit() -> str | None:
    """The commit of the package's own checkout, with "+changes" if it differs; None for an installed package."""
    root = Path(clicv2lite.__file__).parents[1]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "clicv2lite")
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def provenance(device: torch.device | None = None, program: str = "clicv2lite") -> dict[str, str | None]:
    """Command, commit, hardware and versions of this process."""
    command = f"{program} {shlex.join(sys.argv[1:])}"
    data = os.environ.get("CLICV2LITE_DATA")
    return {
        # whoever repeats it has the data elsewhere
        "command": command.replace(data, "$CLICV2LITE_DATA") if data else command,
        "commit": commit(),
        "hardware": hardware(device),
        "versions": f"clicv2lite {clicv2lite.__version__}, torch {torch.__version__}, python {platform.python_version()}",
    }
