"""`clicv2lite bench --peers`: topic by topic, each in a process of its own in the peers' environment."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from clicv2lite.bench.peers.environment import SOURCE, TOPICS, last_lines, python_of
from clicv2lite.bench.peers.row import Row, because

MINUTES = 30  # for one topic


def measure(
    folder: Path, topics: Sequence[str], refused: Mapping[str, str], say: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """The rows of these topics. A process that dies or hangs leaves a row that says so.

    Args:
        folder: of the environment.
        refused: peer -> why it does not install; the reason replaces that of its import.
    """
    found = []
    for topic in topics:
        say(f"measuring {topic}")
        for row in measure_apart(folder, topic):
            if row["failed"] and row["peer"] in refused:
                row |= {"failed": f"does not install: {refused[row['peer']]}"}
            found.append({"topic": topic, **row})
    return found


def measure_apart(folder: Path, topic: str) -> list[dict[str, Any]]:
    """The rows of a topic, measured by the environment's interpreter with as many threads as this process has."""
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "rows.json"
        words = [str(python_of(folder)), "-m", "clicv2lite.bench.peers.inside", topic, str(file)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        kept |= {
            "PYTHONPATH": str(folder / SOURCE),
            "PYTHONSAFEPATH": "1",  # what lies in the working directory is not imported instead
            "CLICV2LITE_CACHE": temporary,  # indexes of tars that are gone afterwards
            "OMP_NUM_THREADS": str(torch.get_num_threads()),
            "CUDA_VISIBLE_DEVICES": "",
            "LIGHTLY_DID_VERSION_CHECK": "True",  # lightly asks its server otherwise
        }
        try:
            done = subprocess.run(
                words, env=kept, capture_output=True, encoding="utf-8", errors="replace", timeout=60 * MINUTES
            )
            reason = f"the process ended with status {done.returncode}: {last_lines(done.stderr)}" if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = because(str(error))
        rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return [*rows, failed_topic(topic, reason)] if reason else rows


def failed_topic(topic: str, reason: str) -> dict[str, Any]:
    """The row for what a topic did not get to."""
    return asdict(Row(f"the rest of {topic}", ", ".join(TOPICS[topic]), "", "", "", "", failed=reason))


def versions(folder: Path) -> dict[str, str]:
    """What is installed in the environment: name -> version."""
    listing = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    done = subprocess.run([str(python_of(folder)), "-I", "-c", listing], capture_output=True, encoding="utf-8", check=False)
    found: dict[str, str] = json.loads(done.stdout) if done.returncode == 0 else {}
    return {name: found[name] for name in sorted(found, key=str.lower)}
