"""Write a file whole or not at all: a temporary file in the same folder, then a rename."""

import argparse
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clicv2lite.errors import UserError


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; renamed to `path` when the block ends, removed if the block fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # the rename must not reach the disk before the content
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data`, atomically and flushed to the disk."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically.

    Raises:
        ValueError: if it holds a nan or an infinity, which JSON does not know.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option `--json F`, whose value `check_output_file` and then `put_json` take."""
    parser.add_argument("--json", type=Path, metavar="F", help="write the result to this file instead of the screen")


def put_json(path: Path | None, value: Any) -> None:
    """Write `value` with `write_json`, or print it if there is no file to write to; ValueError as there."""
    if path is None:
        print(json.dumps(value, indent=2, allow_nan=False))
    else:
        write_json(path, value)


def check_output_file(path: Path | None, option: str) -> None:
    """Make the folder of an output file, so that hours of work do not end in a failed write; None: there is no such file.

    Raises:
        UserError: if the path is a folder or its folder cannot be made or written to.
    """
    if path is None:
        return
    if path.is_dir():
        raise UserError(f"{option} {path}: this is a folder; name a file")
    make_folder(path.parent, option)


def make_folder(path: Path, option: str) -> Path:
    """Make a folder for output, with its parents.

    Raises:
        UserError: if it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{option} {path}: this folder cannot be made ({error.strerror}); name another") from error
    if not os.access(path, os.W_OK):
        raise UserError(f"{option} {path}: this folder cannot be written to; name another")
    return path
