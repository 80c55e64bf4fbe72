"""The command `clicv2lite`, also `python -m clicv2lite`: each subcommand is a module with add_arguments and run."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

import clicv2lite
from clicv2lite.errors import UserError

COMMANDS = {
    "score": ("clicv2lite.score.command", "score the complexity of images"),
    "pretrain": ("clicv2lite.pretrain.command", "learn an encoder from unlabelled images"),
    "probe": ("clicv2lite.probe.command", "measure a frozen encoder on human ratings, and fit a head"),
    "evaluate": ("clicv2lite.evaluate.command", "run a table or figure of the paper again, its values beside ours"),
    "results": ("clicv2lite.evaluate.results.command", "make the stored results that are missing or out of date"),
    "data": ("clicv2lite.data.command", "fetch or convert a data set"),
    "bench": ("clicv2lite.bench", "measure this machine"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0, 1 when some images failed, 2 for a user's mistake, 130 when interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except UserError as error:
        print(f"clicv2lite: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output (head, say) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(words: list[str]) -> int:
    parser = _Parser(prog="clicv2lite", description="Image complexity learned without labels (CLICv2).")
    parser.add_argument("--version", action="version", version=f"clicv2lite {clicv2lite.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if words and words[0] == name:  # import only what is used: a start-up of torch costs seconds
            importlib.import_module(module).add_arguments(command)
    args = parser.parse_args(words)
    status: int = importlib.import_module(COMMANDS[args.command][0]).run(args)
    return status
