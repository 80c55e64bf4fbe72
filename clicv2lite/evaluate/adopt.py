"""Runs that somebody made with a plain `pretrain --out X`: found by their config.json, and copied to where a suite looks."""

import shutil
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from clicv2lite.encoders.weight_files import WEIGHTS
from clicv2lite.errors import UserError
from clicv2lite.evaluate.keys import is_finished, stored_key
from clicv2lite.files import write_bytes
from clicv2lite.outputs import locked

COPIED = ("config.json", "recipe.toml", "metrics.jsonl", "bad_images.txt")


def adopt(folders: Sequence[Path], runs: Path, wanted: Collection[str]) -> list[Path]:
    """Copy the finished runs that a suite lacks into its folder; what lies in `folders` stays as it is.

    A run is finished once its encoder is there, which is written last. One that a process is at work in is named and left out.

    Args:
        folders: each is a run, or holds runs. runs: the suite's folder of runs. wanted: keys of the runs that it lacks.

    Returns:
        The runs that were copied.

    Raises:
        UserError: if one of the folders is none.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--adopt {folder}: there is no such folder; name runs of `pretrain`, or a folder of them")
        for run in sorted(path for path in (folder, *folder.iterdir()) if path.is_dir()):
            if not is_finished(run):
                continue
            try:
                key = stored_key(run)
            except (OSError, KeyError, TypeError, ValueError, AttributeError):
                print(f"clicv2lite: {run}: its config.json is not one that this version reads; left out", file=sys.stderr)
                continue
            if key in wanted and not is_finished(runs / key):
                try:
                    with locked(run, "--adopt", folder=True):
                        _copy(run, runs / key)
                    found.append(run)
                except UserError as error:
                    print(f"clicv2lite: {error} (left out)", file=sys.stderr)
    print(f"clicv2lite: {len(found)} runs adopted of {len(wanted)} that were missing", file=sys.stderr)
    return found


def _copy(run: Path, to: Path) -> None:
    """The weights come last: a copy that was interrupted is no finished run."""
    to.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        if (run / name).is_file():
            shutil.copyfile(run / name, to / name)
    write_bytes(to / WEIGHTS, (run / WEIGHTS).read_bytes())
