"""The command `clicv2lite`, also `python -m clicv2lite`: each subcommand is a module with add_arguments and run."""

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise

import clicv2lite
from clicv2lite.data.tars.braces import expand_braces
from clicv2lite.errors import UserError, one_line
from clicv2lite.extras import MissingPackage
from clicv2lite.files import reason
from clicv2lite.interrupts import interruptible
from clicv2lite.outputs import claimed, inputs_of, outputs_of

FIRST = {
    "score": ("clicv2lite.score.command", "score the complexity of images"),
    "pretrain": ("clicv2lite.pretrain.command", "learn an encoder from unlabelled images"),
    "probe": ("clicv2lite.probe.command", "measure a frozen encoder on human ratings, and fit a head"),
    "evaluate": ("clicv2lite.evaluate.command", "run a table or figure of the paper again, beside its values"),
    "data": ("clicv2lite.data.command", "fetch or convert a data set"),
    "bench": ("clicv2lite.bench.command", "measure this machine"),
}
CLOSER = {
    "measures": ("clicv2lite.baselines.measures.agreement", "correlate each hand-crafted measure with human ratings"),
    "handcrafted": ("clicv2lite.baselines.measures.handcrafted", "fit ridge on all hand-crafted measures at once"),
    "supervised": ("clicv2lite.baselines.supervised.command", "train a supervised baseline on human ratings"),
    "imagenet-features": ("clicv2lite.baselines.supervised.imagenet", "fit ridge on the features of EfficientNet-lite0"),
    "leaderboard": ("clicv2lite.evaluate.leaderboard", "compare encoders on your own ratings"),
    "pairs": ("clicv2lite.evaluate.pair_bias", "measure how far two views of an image differ"),
    "invariance": ("clicv2lite.probe.invariance", "measure what an encoder knows of content"),
    "label-curve": ("clicv2lite.probe.label_curve", "measure how many ratings a head of one's own needs"),
    "results": ("clicv2lite.evaluate.results.command", "make the stored results that are missing or out of date"),
    "claims": ("clicv2lite.evaluate.claims", "judge the paper's claims by our stored results"),
    "onnx": ("clicv2lite.models.to_onnx", "write a model as one ONNX file"),
    "norms": ("clicv2lite.score.norms", "make the percentiles and intervals of a model's scores"),
    "release": ("clicv2lite.evaluate.release", "make the default model out of a pretraining"),
    "bench-memory": ("clicv2lite.bench.memory", "measure the peak memory of the loss"),
    "bench-score": ("clicv2lite.bench.score_speed", "measure how fast images are scored"),
}
COMMANDS = FIRST | CLOSER
"""Name -> its module, and one line for `--help`."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0, 1 if some images failed, 2 for a mistake or too little memory, 130 when interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    _open_streams()
    try:
        with interruptible():
            status = _run(words)
        sys.stdout.flush()  # now, where a full disk is still one line
        return status
    except MissingPackage as error:
        print(f"clicv2lite: {error.needed_by(words[0])}", file=sys.stderr)
        return 2
    except UserError as error:
        print(f"clicv2lite: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output (head, say) has gone
        _forget_output()
        return 0
    except OSError as error:  # a file that a command reads or writes, and no fault of ours
        print(f"clicv2lite: {_what(error)}; correct that and run the command again", file=sys.stderr)
        return 2


def _run(words: list[str]) -> int:
    try:
        os.getcwd()
    except FileNotFoundError:  # torch cannot even be loaded there
        raise UserError("the folder that you are in was deleted; change to another (cd), and run the command again") from None
    _refuse_empty(words)
    parser = _Parser(
        prog="clicv2lite",
        description="Image complexity learned without labels (CLICv2).",
        epilog=f"{_listed('commands', FIRST)}\n\n{_listed('commands to look closer', CLOSER)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"clicv2lite {clicv2lite.__version__}")
    about = "one of those below; clicv2lite COMMAND --help lists its options"
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, help=about)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, description=text)
        if words and words[0] == name:  # import only what is used: a start-up of torch costs seconds
            importlib.import_module(module).add_arguments(command)
    args = parser.parse_args(words)
    try:
        with claimed(outputs_of(args), _read_by(args), args.command):
            status: int = importlib.import_module(COMMANDS[args.command][0]).run(args)
    except (MemoryError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
        raise UserError(f"not enough memory; {_advice(args)}") from None
    return status


def _refuse_empty(words: Sequence[str]) -> None:
    """A word without a letter, as a shell makes of "$RATINGS" that is not set: Path("") would be the folder that one is in."""
    for before, word in pairwise(["", *words]):
        cut = word.startswith("--") and word.endswith("=")  # --option=
        if cut or not word:
            option = word.removesuffix("=") if cut else before
            where = f"{option} ''" if option.startswith("--") else "''"
            raise UserError(f"{where}: this is empty; name what is meant (is a variable of the shell not set?)")


def _read_by(args: argparse.Namespace) -> Iterator[str]:
    """Whatever the command line names to be read, the files of its patterns, too."""
    for word in inputs_of(args):
        yield word
        if "{" in word:
            with suppress(UserError):  # too many files: the command says so
                yield from expand_braces(word)


def _open_streams() -> None:
    """Standard streams that can be used: one that is closed is empty, and no letter of a name is too much for the others."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8", newline="\n"))  # noqa: SIM115 (it stays open as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _what(error: OSError) -> str:
    """The file and what is wrong with it; what is full and has no name is the standard output."""
    if error.filename is not None:
        return f"{one_line(os.fsdecode(error.filename))}: {reason(error)}"
    if error.errno == errno.ENOSPC:  # every file that we write is named
        _forget_output()
        return f"standard output: {reason(error)}"
    return one_line(reason(error))


def _lacks_memory(error: Exception) -> bool:
    """Whether Python, a GPU or, in torch's words, the processor had no room; torch is not imported here: it takes seconds."""
    kinds, text = {kind.__name__ for kind in type(error).__mro__}, str(error).lower()
    said = ("tried to allocate", "out of memory", "status_alloc_failed")  # by the processor, by Apple's and by CUDA's libraries
    return bool(kinds & {"MemoryError", "OutOfMemoryError"}) or any(words in text for words in said)


def _advice(args: argparse.Namespace) -> str:
    """How a command takes less memory, by the options that it has."""
    options = [f"--{name.replace('_', '-')}" for name in ("batch_size", "jobs") if name in vars(args)]
    options = ["--set micro=..."] if args.command == "pretrain" else options
    return f"lower {' or '.join(options)}" if options else "end other programs, or take a machine with more of it"


def _forget_output() -> None:
    """What could not be written is not tried again at the end of the process."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _listed(title: str, commands: Mapping[str, tuple[str, str]]) -> str:
    return "\n".join([f"{title}:", *(f"  {name:<17}  {text}" for name, (_, text) in commands.items())])
