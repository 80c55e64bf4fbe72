"""Write a file whole or not at all: a temporary file in the same folder, then a rename."""

import csv
import errno
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clicv2lite.errors import UserError

PATIENCE = 2.0  # seconds to wait for a program that has the old file open, which only Windows minds
LEFTOVER = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")  # a temporary file of `atomic`, and the name that it would have got
LONGEST = 200  # bytes of a name that has to leave room for more; file systems end at 255
SPECIAL = ("/dev", "/dev/fd")  # and all of /proc; /dev/shm is an ordinary folder


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; renamed to `path` when the block ends, removed if the block fails.

    A link is followed: the file that it leads to is replaced. A new file has the permissions that the umask gives, a replaced
    one keeps its own.

    Raises:
        UserError: if `path` is a device, a pipe, or anything else that a rename would replace by a file.
        OSError: naming `path`, if it cannot be written.
    """
    final = regular(path)
    temporary = final.with_name(f".{shortened(final.name)}.{uuid.uuid4().hex[:8]}.tmp")  # of this thread alone
    try:
        yield temporary
        with temporary.open("r+b") as file:  # Windows flushes only what is open for writing
            os.fsync(file.fileno())  # the rename must not reach the disk before the content
        if os.path.exists(final):
            shutil.copymode(final, temporary)
        _replace(temporary, final)
    except OSError as error:
        if error.errno and error.filename in (None, str(temporary)):  # a failed write names no file
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):  # the folder has gone, or the name was too long to begin with
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data`, atomically and flushed to the disk."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_table(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file in UTF-8, atomically; `rows` may be made one by one."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically.

    Raises:
        ValueError: if it holds a nan or an infinity, which JSON does not know.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode("utf-8", "backslashreplace"))  # a byte of a name that is not UTF-8: JSON's own escape


def put_json(path: Path | None, value: Any, option: str = "--json") -> None:
    """Write the result of a command with `write_json`, or print it if there is no file to write to; ValueError as there.

    Raises:
        UserError: if it cannot be written. The result is then printed, so that hours of work are not lost.
    """
    if path is not None:
        try:
            write_json(path, value)
            return
        except OSError as error:
            print(json.dumps(value, indent=2, allow_nan=False), flush=True)
            raise UserError(f"{option} {path}: cannot be written ({reason(error)}); the result was printed instead") from None
    print(json.dumps(value, indent=2, allow_nan=False))


def is_full(error: OSError) -> bool:
    """Whether there was no room on the disk, or none left of what this user may take."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def reason(error: OSError) -> str:
    """Why it failed, in a few words."""
    if is_full(error):
        return "the disk is full"
    return error.strerror or str(error) or type(error).__name__


def regular(path: Path) -> Path:
    """Where a file is written that is named `path`: links are followed, to a file that exists or not.

    Raises:
        UserError: if it is a folder, a device, a pipe or below /proc, as /dev/stdout is: replacing it would break the system.
    """
    if "\0" in str(path):
        raise UserError(f"{str(path)!r}: a file name cannot contain NUL; name another")
    final, step = Path(os.path.realpath(path)), Path(os.path.abspath(path))
    if os.path.isdir(final):
        raise UserError(f"{path}: this is a folder; name a file")
    for _ in range(40):  # as many links as Linux follows
        folder = os.path.realpath(step.parent)
        if folder in SPECIAL or folder.startswith("/proc/") or (os.path.exists(final) and not os.path.isfile(final)):
            raise UserError(f"{path}: this is not a regular file and cannot be replaced; name another, or leave it out")
        if not os.path.islink(step):
            break
        step = Path(os.path.abspath(step.parent / os.readlink(step)))
    return final


def hidden(path: Path, ending: str) -> Path:
    """A hidden name beside `path`, of its own, that is not longer than names may be."""
    return path.with_name(f".{shortened(path.name)}{ending}")


def shortened(name: str) -> str:
    """The name, or if it has more than `LONGEST` bytes: as much of its beginning as fits, and a digest of the whole."""
    encoded = os.fsencode(name)
    if len(encoded) <= LONGEST:
        return name
    return f"{encoded[: LONGEST - 17].decode('utf-8', 'ignore')}-{hashlib.sha256(encoded).hexdigest()[:16]}"


def remove_leftovers(folder: Path, ours: Callable[[str], object]) -> None:
    """Remove temporary files of `atomic` that a killed process left in a folder.

    Args:
        ours: whether a file is meant, by the name that it would have got, `shortened`. Nobody else may be writing it.
    """
    with suppress(OSError):
        for name in os.listdir(folder):
            if (found := LEFTOVER.fullmatch(name)) and ours(found[1]):
                (folder / name).unlink(missing_ok=True)


def below(path: Path, folder: Path) -> str:
    """A path with forward slashes, relative to a folder where it lies below it."""
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def check_output_file(path: Path, option: str) -> None:
    """Make the folder of an output file, so that hours of work do not end in a failed write.

    Raises:
        UserError: if a file cannot be written there.
    """
    try:
        final = regular(path)
    except UserError as error:
        raise UserError(f"{option} {error}") from None
    make_folder(final.parent, option)
    try:
        os.lstat(final)
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long, above all
        raise UserError(f"{option} {path}: cannot be written ({reason(error)}); name another file") from None


def make_folder(path: Path, option: str) -> Path:
    """Make a folder for output, with its parents.

    Raises:
        UserError: if it cannot be made or written to.
    """
    if "\0" in str(path):
        raise UserError(f"{option} {str(path)!r}: a name cannot contain NUL; name another")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{option} {path}: this folder cannot be made ({reason(error)}); name another") from error
    if not os.access(path, os.W_OK):
        raise UserError(f"{option} {path}: this folder cannot be written to; name another")
    return path


def _replace(temporary: Path, final: Path) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            os.replace(temporary, final)
            break
        except PermissionError:
            if os.name != "nt" or time.monotonic() > until:
                raise
            time.sleep(0.05)  # a virus scanner or a reader has it open, most often for a moment
    if os.name != "nt":  # where a folder can be opened: the rename itself reaches the disk
        with suppress(OSError):
            folder = os.open(final.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
