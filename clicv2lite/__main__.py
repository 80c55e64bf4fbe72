"""The process of `clicv2lite`, also `python -m clicv2lite`."""

import signal
import sys


def start() -> int:
    """Run the command line as :func:`clicv2lite.cli.main`; before and after the command, Ctrl-C ends the process at once.

    Python would show a traceback while modules are imported, and while libraries clean up at the end.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not deaf to it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from clicv2lite.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(start())
