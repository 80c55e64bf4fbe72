"""The one exception for a user's mistake; the command line prints its single line and exits with status 2."""

import sys
from collections.abc import Callable


class UserError(ValueError):
    """A mistake of the user: one line that names the file or option, what is wrong, and what to do."""


def check_seed(seed: int) -> None:
    """Raise UserError for a --seed that NumPy and scikit-learn do not take."""
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed}: give a whole number from 0 to {2**32 - 1}")


def exit_status(run: Callable[[], int]) -> int:
    """What a command returns: the status of `run`, or 2 after the one line of a user's mistake on standard error."""
    try:
        return run()
    except UserError as error:
        print(f"clicv2lite: {error}", file=sys.stderr)
        return 2
