"""Ratios of times: operations take turns, so that other load on the machine slows all of them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch

MIN_SECONDS = 1.0  # a comparison takes at least this long,
MIN_ROUNDS = 3  # and for at least this many rounds
CALL_SECONDS = 0.02  # short operations are repeated within a round

Operation = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """One operation beside its references; a ratio above 1 means that the reference is slower."""

    name: str
    seconds: float  # median, of the package's own form
    references: dict[str, float]  # name -> median seconds
    ratios: dict[str, float]  # name -> median over rounds of reference / own seconds
    floor: str | None = None  # the reference that does only what every way needs
    over_floor: float | None = None  # median over rounds of own / floor
    at_most: float | None = None  # what over_floor should be
    target: Mapping[str, float] = field(default_factory=dict)  # name -> what a ratio should be at least
    note: str = ""


def rounds(operations: Mapping[str, Operation], at_least: int = 0) -> dict[str, list[float]]:
    """Seconds of one call of each operation, round by round; each goes first in some round.

    Args:
        at_least: this many rounds, if that is more than MIN_ROUNDS and the number of operations.

    Returns:
        name -> seconds, the same number for all.
    """
    repeats = {}
    for name, operation in operations.items():
        first = _seconds(operation, 1)  # includes what is done once: threads, caches, pages
        again = first if first > CALL_SECONDS else _seconds(operation, 1)
        repeats[name] = max(1, round(CALL_SECONDS / max(again, 1e-9)))
    names, found = list(operations), {name: list[float]() for name in operations}
    least, began = max(MIN_ROUNDS, at_least, len(names)), time.perf_counter()
    while time.perf_counter() - began < MIN_SECONDS or len(found[names[0]]) < least:
        start = len(found[names[0]]) % len(names)
        for name in names[start:] + names[:start]:
            found[name].append(_seconds(operations[name], repeats[name]))
    return found


def compare(
    name: str,
    own: Operation,
    references: Mapping[str, Operation],
    floor: str | None = None,
    at_most: float | None = None,
    target: Mapping[str, float] | None = None,
    note: str = "",
) -> Timing:
    """Time an operation and its references on the same inputs; arguments as the fields of :class:`Timing`."""
    found = rounds({"": own, **references})
    return timing_of(name, found.pop(""), found, floor, at_most, target, note)


def timing_of(
    name: str,
    own: Sequence[float],
    others: Mapping[str, Sequence[float]],
    floor: str | None = None,
    at_most: float | None = None,
    target: Mapping[str, float] | None = None,
    note: str = "",
) -> Timing:
    """Medians of seconds, and of the ratios within each round."""
    ratios = {key: median(b / a for a, b in zip(own, times, strict=True)) for key, times in others.items()}
    over = median(a / b for a, b in zip(own, others[floor], strict=True)) if floor else None
    seconds = {key: median(times) for key, times in others.items()}
    return Timing(name, median(own), seconds, ratios, floor, over, at_most, target or {}, note)


def print_table(timings: Sequence[Timing]) -> None:
    """One line for each operation and one for each reference, with what the ratio should be."""
    for timing in timings:
        print(f"\n{timing.name}: {_milliseconds(timing.seconds)}{'; ' + timing.note if timing.note else ''}")
        for name, ratio in timing.ratios.items():
            wanted = f" (target: at least {timing.target[name]:.2f})" if name in timing.target else ""
            print(f"  {name.replace('_', ' '):<38} {_milliseconds(timing.references[name]):>12}  {ratio:6.2f} x{wanted}")
        if timing.floor:
            wanted = f" (target: at most {timing.at_most:.2f})" if timing.at_most else ""
            print(f"  {'over the floor, ' + timing.floor.replace('_', ' '):<52} {timing.over_floor:6.2f} x{wanted}")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f} ms"


def _seconds(operation: Operation, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        operation()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / repeats
