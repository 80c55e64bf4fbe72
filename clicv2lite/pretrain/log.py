"""metrics.jsonl: one JSON object per line, in a file that survives a restart (book, running pretraining)."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le

from clicv2lite.files import write_bytes
from clicv2lite.json_object import read_object
from clicv2lite.ranges import WholeNumber, misfit

SECONDS = Annotated[float, Ge(0), Le(1e12)]


class Log:
    """A file with one JSON object per line. On resume, lines after the checkpoint are removed: the run writes them again.

    Attributes:
        seconds: time that earlier parts of the run took, up to the last line that was kept.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = [row for row in read_log(path) if row["step"] <= step]
        write_bytes(path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        self.seconds: float = kept[-1].get("seconds", 0.0) if kept else 0.0
        self.file = path.open("a", encoding="utf-8", newline="\n")

    def write(self, row: dict[str, Any]) -> None:
        """Append a row and flush."""
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics.jsonl, each with a whole number "step"; [] if there is no file.

    An incomplete last line (the run was killed) is left out. Any other line that is no row is named on standard error, and left
    out with all lines after it.
    """
    rows: list[dict[str, Any]] = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            row = read_object(line)
        except ValueError:
            row = {}
        if misfit(row.get("step"), WholeNumber) or misfit(row.get("seconds", 0.0), SECONDS):
            if number < len(lines):
                print(f"clicv2lite: {path} line {number}: not a row of a log; read up to here", file=sys.stderr)
            break
        rows.append(row)
    return rows
