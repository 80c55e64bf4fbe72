"""What git says of the checkout that results are made in: a result must name a commit that holds the code that made it."""

import hashlib
import subprocess
from pathlib import Path

from clicv2lite.errors import UserError
from clicv2lite.evaluate.results.record import RECORD, digest, read_record
from clicv2lite.evaluate.results.table import TABLE, Table
from clicv2lite.files import LEFTOVER

ROOT = Path(__file__).parents[3]


def need_checkout(root: Path) -> Path:
    """The folder, if it is a checkout; UserError for a package that was installed without one."""
    if not (root / ".git").exists() or not (root / TABLE).is_file():
        raise UserError(f"results: {root} is no checkout of the repository; results are made in one (git clone)")
    return root


def changed(root: Path, table: Table) -> list[str]:
    """Files below clicv2lite/ and data/, and scripts, that are not as in the commit, untracked ones included.

    What this command stored does not count: its record, an output in data/ that is as the record says, one that was removed.
    """
    lines = _git(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *_watched(table))
    record = read_record(root)  # after git, and before the files: another call may be storing an output
    found = []
    for line in lines.split("\0"):
        path = line[3:]
        maker = table.outputs.get(path, "") if path.startswith("data/") else ""
        recorded = record.get(maker, {}).get("outputs", {}).get(path)
        ours = path == RECORD or (maker and digest(root / path) in ("", recorded))
        half = path.startswith("data/") and LEFTOVER.fullmatch(Path(path).name)  # written by another job at this moment
        if path and not ours and not half:
            found.append(path)
    return found


def refuse_changes(root: Path, table: Table) -> None:
    """UserError if anything was changed."""
    if found := changed(root, table):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise UserError(
            f"{found[0]}{more}: not as in the commit that the results would name; commit it, or set it aside (git stash -u)"
        )


def commit(root: Path) -> str:
    """The commit, in as many digits as provenance has."""
    return _git(root, "rev-parse", "--short=12", "HEAD").strip()


def code(root: Path, table: Table) -> str:
    """A digest of the committed package and scripts, the table apart: another entry does not change what a command does."""
    lines = _git(root, "ls-tree", "-r", "HEAD", "--", *_watched(table)).splitlines()
    kept = [line for line in lines if not line.endswith(f"\t{TABLE}") and "\tdata/" not in line]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:16]


def _watched(table: Table) -> list[str]:
    return ["clicv2lite", "data", *table.scripts]


def _git(root: Path, *words: str) -> str:
    try:
        return subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *words], capture_output=True, encoding="utf-8", check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        raise UserError(f"results: git {words[0]} failed in {root}: {said}") from None
