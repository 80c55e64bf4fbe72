"""What the paper reports, as data to print beside our own numbers: tables and settings (book chapters 9 to 11).

``paper_values.json`` is a transcription. What the paper shows as bars or curves only is not in it.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def _paper() -> dict[str, Any]:
    paper: dict[str, Any] = json.loads(files("clicv2lite.evaluate").joinpath("paper_values.json").read_text(encoding="utf-8"))
    return paper


def paper_table(number: int) -> list[dict[str, Any]]:
    """The rows of one of the paper's tables 1 to 5, from top to bottom.

    Args:
        number: of the table; 1 compares methods, 2 is the ablation, 3 is on shifted patchify, 4 on image-wise and patch-wise
            loss, 5 on what the decoder predicts.

    Returns:
        One dict a row. ``pcc`` and ``srcc`` are on IC9600; ``top1``, where the table has it, is ImageNet's, in percent;
        None is a cell that the paper leaves empty.

    Raises:
        ValueError: if the paper has no such table.
    """
    return [dict(row) for row in _table(number)["rows"]]


def paper_caption(number: int) -> str:
    """What one of the tables shows, in one line; errors as :func:`paper_table`."""
    return str(_table(number)["caption"])


def paper_settings() -> dict[str, float]:
    """Every setting that the paper states as a number: mask ratio, temperature, batch, ... (section 4.1)."""
    return {name: setting["value"] for name, setting in _paper()["settings"].items()}


def _table(number: int) -> dict[str, Any]:
    tables = _paper()["tables"]
    if str(number) not in tables:
        raise ValueError(f"the paper has tables 1 to {len(tables)}, not {number}")
    return dict(tables[str(number)])
