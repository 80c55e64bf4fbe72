"""Run in the peers' environment: `python -m clicv2lite.bench.peers.inside TOPIC F` measures one topic and writes its rows."""

import importlib
import sys
from dataclasses import asdict
from pathlib import Path

from clicv2lite.bench.peers.row import row_of
from clicv2lite.files import write_json


def main(topic: str, file: str) -> None:
    """Write the rows so far after each comparison: one that ends the process leaves those before it."""
    found = []
    for comparison in importlib.import_module(f"clicv2lite.bench.peers.{topic}").comparisons():
        found.append(asdict(row_of(comparison)))
        write_json(Path(file), found)


if __name__ == "__main__":
    main(*sys.argv[1:])
