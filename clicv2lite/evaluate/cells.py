"""Cells and lines of Markdown tables: numbers, intervals, paired differences."""

from collections.abc import Mapping, Sequence
from typing import Any


def line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def number(value: float | None, digits: int = 3, sign: str = "") -> str:
    """A cell with a number, "" for None; with the sign "+", it has one in any case."""
    return "" if value is None else f"{value:{sign}.{digits}f}"


def ends(interval: Sequence[float] | None, digits: int = 3, sign: str = "") -> str:
    """A cell with both ends of an interval, "" for None."""
    return "" if interval is None else f"{number(interval[0], digits, sign)} to {number(interval[1], digits, sign)}"


def difference_cells(found: Mapping[str, Any] | None, digits: int = 3) -> list[str]:
    """Three cells: the mean of a paired difference and both intervals, empty for None."""
    if found is None:
        return ["", "", ""]
    return [number(found["mean"], digits, "+"), ends(found["over_seeds"], digits), ends(found["over_images"], digits)]
