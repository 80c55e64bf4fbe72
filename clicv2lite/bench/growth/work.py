"""What can grow, and the registry of it: every row of `clicv2lite bench --growth`."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clicv2lite.bench.measure import Operation

TOPICS = ("training", "images", "rows", "ratings")
"""Modules beside this one; each has `works`."""


@dataclass(frozen=True)
class Work:
    """An operation whose amount of work is one number."""

    name: str
    grows: str  # what the number counts
    sizes: tuple[int, ...]  # ascending
    theory: str  # the exponent of the time, and why
    prepare: Callable[[int, Path], Operation]  # of a size and an empty folder: everything that is not timed


def works(topic: str) -> list[Work]:
    """Those of a topic, in the order of the table."""
    found: list[Work] = importlib.import_module(f"clicv2lite.bench.growth.{topic}").works()
    return found
