"""The numbers that torchrun gives each process which it starts (book chapter 10). Without it there is one process."""

import os

from clicv2lite.errors import UserError

ALONE = {"WORLD_SIZE": 1, "RANK": 0, "LOCAL_WORLD_SIZE": 1, "LOCAL_RANK": 0, "TORCHELASTIC_RESTART_COUNT": 0}
"""Variable -> what holds for a process that nobody started with others."""


def from_torchrun(name: str) -> int:
    """One of the variables in `ALONE`, from the environment.

    Raises:
        UserError: if it is not a whole number, above 0 for a size.
    """
    text = os.environ.get(name) or str(ALONE[name])
    if not (text.isascii() and text.isdecimal()) or int(text) < ALONE[name]:
        what = "a whole number above 0" if ALONE[name] else "a whole number"
        raise UserError(f"{name}={text}: not {what}; start the ranks with torchrun, or unset {name}")
    return int(text)
