"""A measurement in a process of its own: what else this process holds or has warmed up does not count."""

import subprocess
import sys
from collections.abc import Mapping, Sequence

from clicv2lite.errors import UserError


def printed(words: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """What this interpreter prints when it is called with these words.

    Args:
        environment: of the process; None for that of this one.

    Raises:
        UserError: with the last line that it said, if it fails; it may have had too little memory, and have been killed.
    """
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        said = [f"it ended with status {done.returncode}", *done.stderr.strip().splitlines()][-1].removeprefix("clicv2lite: ")
        raise UserError(f"measuring in a process of its own failed ({said}); end other programs, or take a larger machine")
    return done.stdout
