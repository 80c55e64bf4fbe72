"""What is said on stderr while a bar runs there: every line of ours begins at the left edge, in a log file too."""

import sys
import threading
from typing import Any

from tqdm import tqdm

QUIET = 30.0  # seconds before, and between, the lines of progress where stderr is not a terminal


def say(text: str) -> None:
    """One line `clicv2lite: text` on stderr, beside the bars; from any thread."""
    tqdm.write(f"clicv2lite: {text}", file=sys.stderr)


class Notes:
    """Say the first few lines of a kind, and at the end how many more there were; from any thread.

    Args:
        most: how many are said.
    """

    def __init__(self, most: int = 10) -> None:
        self.most, self.count = most, 0
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        """Say or count it."""
        with self._lock:
            self.count += 1
            shown = self.count <= self.most
        if shown:
            say(text)

    def close(self) -> None:
        """Say how many were not said."""
        if self.count > self.most:
            say(f"{self.count - self.most} more such lines are left out")


def progress(total: int, label: str, unit: str = "img", **options: Any) -> "tqdm[Any]":
    """A bar of tqdm on stderr; where that is no terminal, a line every QUIET seconds.

    Args:
        options: others of tqdm's.
    """
    if sys.stderr.isatty():
        return tqdm(total=total, desc=label, unit=unit, file=sys.stderr, **options)
    return tqdm(total=total, desc=f"clicv2lite: {label}", unit=unit, file=_Log(), delay=QUIET, mininterval=QUIET, **options)


class _Log:
    """Where tqdm writes to when nothing can be overwritten: each state of a bar is a line of its own."""

    def write(self, text: str) -> None:
        if line := text.strip("\r\n "):
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        sys.stderr.flush()
