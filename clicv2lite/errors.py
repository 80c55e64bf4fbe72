"""The one exception for a user's mistake; the command line prints its single line and exits with status 2."""

import math
import re

LONGEST = 400  # letters of a word in a message: few paths are longer, and nobody reads a value of 5,000 digits


class UserError(ValueError):
    """A mistake of the user: one line that names the file or option, what is wrong, and what to do.

    It is one line that can be printed, and not an endless one, whatever stands in the names and values that it repeats.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(re.sub(rf"\S{{{LONGEST},}}", _shortened, message)))


def one_line(text: str) -> str:
    r"""`text` on one line that can be printed: a line break, or a byte of a name that is not valid UTF-8, becomes its escape.

    >>> one_line("two\nlines.png")
    'two\\nlines.png'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _shortened(word: re.Match[str]) -> str:
    return f"{word[0][: LONGEST // 2]}...{word[0][-LONGEST // 4 :]}"


def check_counts(**options: int | None) -> None:
    """Raise UserError for an option whose value is below 1; None stands for an option that was not given."""
    for name, value in options.items():
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} {value}: give 1 or more")


def check_positive(**options: float | None) -> None:
    """Raise UserError for an option whose value is not above 0 and finite; None stands for an option that was not given."""
    for name, value in options.items():
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"--{name.replace('_', '-')} {value}: give a number above 0")


def check_seed(seed: int) -> None:
    """Raise UserError for a --seed that NumPy and scikit-learn do not take."""
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed}: give a whole number from 0 to {2**32 - 1}")
