"""One row of a comparison: our time and a peer's, in turn, and their ratio with its spread."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from statistics import median

from torch.utils.flop_counter import FlopCounterMode

from clicv2lite.bench.measure import Operation, rounds
from clicv2lite.errors import one_line
from clicv2lite.pretrain.cost.peak import peak_bytes

PAIRS = 6  # at least: the range of fewer covers the median in less than 95 % of all cases
LONGEST = 400  # letters of a reason

Sides = tuple[Operation, Operation]
"""Ours and the peer's. What the first call of each returns says what was done (shapes, say), and must be equal."""


@dataclass(frozen=True)
class Comparison:
    """Work that a peer and this package both do."""

    name: str
    peer: str  # name for pip
    same: str  # on both sides
    ours: str  # what only our side does, or does in its own way
    theirs: str  # what only the peer does
    build: Callable[[], Sides]  # it imports the peer
    counted: bool = True  # this process does all the work: count its own seconds, products and memory, too


@dataclass(frozen=True)
class Row:
    """A comparison and what came out of it; with `failed`, why nothing did. The keys of each dict are "ours" and "peer"."""

    name: str
    peer: str
    version: str  # of the peer; "" if it is not installed
    same: str
    ours: str
    theirs: str
    seconds: dict[str, float] = field(default_factory=dict)  # medians
    ratio: float | None = None  # median over pairs of peer / ours: above 1, ours is faster
    interval: tuple[float, float] | None = None  # of that median, see `median_interval`
    rounds: dict[str, list[float]] = field(default_factory=dict)  # seconds of each pair
    processor: dict[str, float] = field(default_factory=dict)  # seconds of all cores, medians: other load hardly changes these
    flops: dict[str, int] = field(default_factory=dict)  # of matrix products and convolutions, as torch counts them
    memory: dict[str, int] = field(default_factory=dict)  # bytes in new tensors at the peak
    failed: str | None = None


def row_of(comparison: Comparison) -> Row:
    """Build and time both sides, A B, B A, A B, ...; whatever goes wrong becomes the row's reason."""
    c = comparison
    about = c.name, c.peer, installed(c.peer), c.same, c.ours, c.theirs
    try:
        ours, peer = c.build()
        did, did_there = ours(), peer()
        if did != did_there:
            raise ValueError(f"the two sides did unequal work: {did} here, {did_there} there")
        sides, spent = {"ours": ours, "peer": peer}, {"ours": list[float](), "peer": list[float]()}
        seconds = rounds({side: clocked(operation, spent[side]) for side, operation in sides.items()}, at_least=PAIRS)
        processor = {side: median(times) for side, times in spent.items()} if c.counted else {}
        flops = {side: flops_of(operation) for side, operation in sides.items()} if c.counted else {}
        memory = {side: peak_bytes(operation) for side, operation in sides.items()} if c.counted else {}
    except Exception as error:  # a peer's fault of any kind is a row, and the next one is measured
        return Row(*about, failed=because(f"{type(error).__name__}: {error}"))
    ratios = [b / a for a, b in zip(seconds["ours"], seconds["peer"], strict=True)]
    medians = {side: median(times) for side, times in seconds.items()}
    return Row(*about, medians, median(ratios), median_interval(ratios), seconds, processor, flops, memory)


def clocked(operation: Operation, spent: list[float]) -> Operation:
    """The operation; each call also appends the seconds that the processor's cores worked for this process."""

    def run() -> None:
        began = time.process_time()
        operation()
        spent.append(time.process_time() - began)

    return run


def flops_of(operation: Operation) -> int:
    """Floating-point operations of one call, its backward pass included."""
    with FlopCounterMode(display=False) as counter:
        operation()
    return int(counter.get_total_flops())


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The narrowest pair of order statistics around the median that holds it with a probability of 95 %; else the range.

    It assumes nothing about how the values are spread: a value is below the median as often as a coin shows heads.
    """
    ordered, n = sorted(values), len(values)
    missed, cut = 0.0, 0
    for k in range(n // 2):
        missed += 2 * math.comb(n, k) / 2**n
        if missed > 0.05:
            break
        cut = k
    return ordered[cut], ordered[n - 1 - cut]


def installed(package: str) -> str:
    """The version that is installed here, or ""."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def because(text: str) -> str:
    """A reason on one line that is not endless."""
    line = one_line(" ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
