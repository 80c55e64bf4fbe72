"""The one exception for a user's mistake; the command line prints its single line and exits with status 2."""


class UserError(ValueError):
    """A mistake of the user: one line that names the file or option, what is wrong, and what to do."""
