"""The one exception for a user's mistake; the command line prints its single line and exits with status 2."""


class UserError(ValueError):
    """A mistake of the user: one line that names the file or option, what is wrong, and what to do."""


def check_seed(seed: int) -> None:
    """Raise UserError for a --seed that NumPy and scikit-learn do not take."""
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed}: give a whole number from 0 to {2**32 - 1}")
