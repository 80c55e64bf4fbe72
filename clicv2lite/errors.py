"""The one exception for a user's mistake; the command line prints its single line and exits with status 2."""


class UserError(ValueError):
    """A mistake of the user: one line that names the file or option, what is wrong, and what to do."""


def check_counts(**options: int | None) -> None:
    """Raise UserError for an option whose value is below 1; None stands for an option that was not given."""
    for name, value in options.items():
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} {value}: give 1 or more")


def check_positive(**options: float | None) -> None:
    """Raise UserError for an option whose value is not above 0; None stands for an option that was not given."""
    for name, value in options.items():
        if value is not None and not value > 0:
            raise UserError(f"--{name.replace('_', '-')} {value}: give a number above 0")


def check_seed(seed: int) -> None:
    """Raise UserError for a --seed that NumPy and scikit-learn do not take."""
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed}: give a whole number from 0 to {2**32 - 1}")
