"""A table whose letters Excel reads: it takes a CSV file for UTF-8 only if the file begins with a mark (book chapter 12)."""

import codecs
from pathlib import Path

from clicv2lite.errors import UserError
from clicv2lite.files import reason, write_bytes


def mark_for_excel(path: Path) -> None:
    """Put the byte order mark before a finished table, which `table.Table` still reads.

    Raises:
        UserError: if the file cannot be written; it is as it was then.
    """
    try:
        data = path.read_bytes()
        if not data.startswith(codecs.BOM_UTF8):
            write_bytes(path, codecs.BOM_UTF8 + data)
    except OSError as error:
        raise UserError(f"--csv {path}: cannot be marked for --excel ({reason(error)}); all scores are in it") from None
