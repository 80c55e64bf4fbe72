"""What a command writes: declared with its options, checked against what it reads, and locked while it runs."""

import argparse
import errno
import json
import os
import socket
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from clicv2lite.errors import UserError
from clicv2lite.files import check_output_file, hidden, make_folder, regular, remove_leftovers, shortened
from clicv2lite.torchrun import from_torchrun

PACKAGE = Path(__file__).parent
RESULTS = (".csv", ".html", ".json", ".md", ".onnx")  # what commands write into a folder that they also read
OUTPUTS: dict[tuple[int, int], str] = {}
"""The files that exist and that the running command will replace: device and inode -> option and path."""


@dataclass(frozen=True)
class Output:
    """A path that a command writes to."""

    option: str
    path: Path
    folder: bool = False
    locked: bool = True


def add_output(
    parser: "argparse._ActionsContainer",
    option: str,
    *,
    folder: bool = False,
    locked: bool = True,
    unless: str = "",
    **about: Any,
) -> None:
    """Add an option that names a file, or a folder, to write; the command line checks and locks it before the command runs.

    Args:
        option: `--json`, say.
        locked: false for a folder that several runs may share.
        unless: names of flags with which the command writes nothing, with blanks between them.
        about: as for `add_argument`.
    """
    parser.add_argument(option, type=Path, metavar=about.pop("metavar", "DIR" if folder else "F"), **about)
    dest = option.strip("-").replace("-", "_")
    parser.set_defaults(outputs=(*(parser.get_default("outputs") or ()), (option, dest, folder, locked, unless)))


def add_json(parser: "argparse._ActionsContainer") -> None:
    """Add the option `--json F`, whose value `files.put_json` takes."""
    add_output(parser, "--json", help="write the result to this file instead of the screen")


def outputs_of(args: argparse.Namespace) -> list[Output]:
    """The outputs that were asked for."""
    found = []
    for option, dest, folder, locked, unless in getattr(args, "outputs", ()):
        path = getattr(args, dest)
        if path is not None and not any(getattr(args, flag) for flag in unless.split()):
            found.append(Output(option, path, folder, locked))
    return found


def inputs_of(args: argparse.Namespace) -> list[str]:
    """Every other word of the command line: it may name something to read."""
    written = {"outputs", "command", *(dest for _, dest, *_ in getattr(args, "outputs", ()))}
    values = [value for key, value in vars(args).items() if key not in written]
    words = [word for value in values for word in (value if isinstance(value, list | tuple) else [value])]
    return [str(word) for word in words if isinstance(word, str | Path) and word != ""]


@contextmanager
def claimed(outputs: Sequence[Output], inputs: Iterable[str | Path] = (), command: str = "") -> Iterator[None]:
    """Check what is written against what is read, make the folders, and keep other processes off until the block ends.

    Args:
        inputs: files and folders that are read; other words do no harm.
        command: its own earlier results may be replaced, also in a folder that it reads.

    Raises:
        UserError: if an output cannot be written, would replace an input or another output, or another process writes it.
    """
    before = dict(OUTPUTS)
    with ExitStack() as stack:
        try:
            for output in outputs:
                if output.folder:
                    stack.callback(_remove_empty, _missing(output.path))
                    make_folder(output.path, output.option)
                else:
                    stack.callback(_remove_empty, _missing(output.path.parent))
                    check_output_file(output.path, output.option)
            files = [output for output in outputs if not output.folder]
            _check_apart(files)
            OUTPUTS.update({key: f"{o.option} {o.path}" for o in files if (key := _identity(o.path))})
            check_inputs(files, inputs, command)
            for output in outputs:
                if output.locked and not from_torchrun("RANK"):  # the ranks of torchrun share the first one's lock
                    stack.enter_context(locked(output.path, output.option, output.folder))
            yield
        finally:
            OUTPUTS.clear()
            OUTPUTS.update(before)


def check_inputs(outputs: Sequence[Output], inputs: Iterable[str | Path], command: str = "") -> None:
    """Refuse an output file that is one of the inputs, by whatever name, or that a folder among them holds to be read.

    Raises:
        UserError: as said.
    """
    standing = {key: output for output in outputs if (key := _identity(output.path))}
    for word in (*inputs, PACKAGE) if standing else ():
        try:
            about = os.stat(word)
        except (OSError, ValueError):  # no file: another word
            continue
        if (output := standing.get((about.st_dev, about.st_ino))) is not None:
            raise UserError(f"{output.option} {output.path}: this file is read by the command, and would be lost; name another")
        folder = Path(os.path.realpath(word)) if stat.S_ISDIR(about.st_mode) else None
        for output in standing.values() if folder else ():
            final = regular(output.path)
            if folder and final.is_relative_to(folder) and not _is_result(final, command):
                where = f"{output.option} {output.path}: this file is in the folder {word}"
                raise UserError(f"{where}, which is read, and would be lost; name another")


def check_is_no_output(path: str | os.PathLike[str], named_by: str) -> None:
    """Refuse a file to be read that the running command will replace: an image of a rating table, say.

    Raises:
        UserError: as said.
    """
    if OUTPUTS and (key := _identity(path)) in OUTPUTS:
        raise UserError(f"{OUTPUTS[key]}: this file is read by the command ({named_by}), and would be lost; name another")


@contextmanager
def locked(path: Path, option: str = "--out", folder: bool = False, lock: str = ".clicv2lite.lock") -> Iterator[None]:
    """Let no other process of ours write `path` until the block ends; a killed process holds it no longer.

    The lock is a hidden file: beside a file, inside a folder. Where there can be no lock (some network file systems have none),
    there is none.

    Args:
        lock: the name of that file in a folder.

    Raises:
        UserError: naming the process, if another one holds it.
    """
    place = Path(os.path.realpath(path))
    file = place / lock if folder else hidden(place, ".lock")
    with ExitStack() as stack:
        try:
            stack.enter_context(filelock.FileLock(file, timeout=0))
        except filelock.Timeout:
            advice = f"wait for it or name another {'folder' if folder else 'file'}"
            raise UserError(f"{option} {path}: {_holder(file)} is writing it; {advice}") from None
        except (OSError, NotImplementedError):
            pass
        else:
            stack.callback(_unlink, file)  # before it is released: who opened it meanwhile gets no lock on it
            about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            with suppress(OSError), file.open("r+b") as shown:
                shown.write(b" " + json.dumps(about).encode())  # Windows hides the first byte from others
                shown.truncate()
            if not folder:
                remove_leftovers(place.parent, shortened(place.name).__eq__)
        yield


def _holder(file: Path) -> str:
    try:
        with file.open("rb", buffering=0) as shown:
            shown.seek(1)
            about = json.loads(shown.read(1000))
        return f"process {about['pid']} on {about['host']}, since {about['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _unlink(file: Path) -> None:
    with suppress(OSError):  # Windows removes it when it is released
        file.unlink()


def _identity(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Device and inode, the same for every name of a file; None for anything but a file."""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return None
    return (about.st_dev, about.st_ino) if stat.S_ISREG(about.st_mode) and about.st_ino else None


def _check_apart(files: Sequence[Output]) -> None:
    seen: dict[object, Output] = {}
    for output in files:
        name = os.path.normcase(os.path.realpath(output.path))
        name = name.casefold() if sys.platform == "darwin" else name  # where A.csv and a.csv are one file
        for key in (name, _identity(output.path) or name):
            if seen.setdefault(key, output) is not output:
                raise UserError(f"{output.option} {output.path}: {seen[key].option} writes the same file; name another")


def _is_result(path: Path, command: str) -> bool:
    """Whether a file, by its ending and by the command that it names, can only be an earlier result."""
    said = f"clicv2lite {command} "
    if path.is_relative_to(PACKAGE) or path.suffix.lower() not in RESULTS:
        return False
    if path.suffix.lower() != ".json":
        return True
    try:
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    of_command = not isinstance(stored, Mapping) or str(stored.get("command", said)).startswith(said)
    return path.name != "config.json" and of_command


def _missing(path: Path) -> list[Path]:
    """The folders of a path that do not exist, the innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()] if "\0" not in str(path) else []


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return
