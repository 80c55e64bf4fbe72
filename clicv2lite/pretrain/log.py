"""metrics.jsonl: one JSON object per line, in a file that survives a restart (book chapter 7)."""

import json
from pathlib import Path
from typing import Any

from clicv2lite.files import write_bytes


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
    """Rows of a metrics.jsonl; [] if there is no file. An incomplete last line (the run was killed) is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
