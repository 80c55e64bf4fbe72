"""The columns of a table of scores, now and earlier, and its whole rows after an accident (book chapter 12)."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from clicv2lite.errors import UserError, one_line
from clicv2lite.files import reason

COLUMNS = ["image", "score", "percentile", "uncertainty", "flags", "error"]
EARLIER = ["image", "score", "error"]
SCORED = re.compile(rb",[01]\.\d{6},([\d.]*,[\d.]*,[a-z ]*,)?\r?\n$")  # how a row of an image ends


def whole_rows(path: Path) -> Iterator[list[str]]:
    """The rows of the file, the header first; a last one that was cut off is left out."""
    header, lines_of_row = False, [b""]

    def lines() -> Iterator[str]:
        with path.open("rb") as file:
            for line in file:
                lines_of_row.append(line)
                try:
                    yield line.decode("utf-8" if header else "utf-8-sig")
                except UnicodeDecodeError:
                    if line.endswith(b"\n") or not header:
                        raise
                    return  # cut within a character

    reader = csv.reader(lines(), strict=True)
    try:
        for row in reader:
            if not lines_of_row[-1].endswith(b"\n"):
                if not header and not any(",".join(known).startswith(",".join(row)) for known in (COLUMNS, EARLIER)):
                    raise UserError(f"--csv {path}: this is no table {','.join(COLUMNS)}; name another file")
                return
            if not header and row not in (COLUMNS, EARLIER):
                found = one_line(",".join(row))[:60]
                raise UserError(f"--csv {path}: its columns are {found}, not {','.join(COLUMNS)}; name another file")
            header = True
            lines_of_row.clear()
            yield row
    except OSError as error:
        raise UserError(f"--csv {path}: this file cannot be read ({reason(error)}); name another") from None
    except UnicodeDecodeError:
        raise UserError(f"--csv {path}: this file cannot be read (it is not UTF-8); name another") from None
    except csv.Error as error:
        if "unexpected end" not in str(error) or any(map(SCORED.search, lines_of_row)):
            line = max(1, reader.line_num - len(lines_of_row) + 1)
            advice = "a quote is not closed there; correct it or name another file"
            raise UserError(f"--csv {path} line {line}: broken CSV ({error}); {advice}") from None
        # else a name with a line break in it was torn
