"""One size of one work: its time and by how much the process grew, in a process of its own.

`python -m clicv2lite.bench.growth.point TOPIC PLACE SIZE` prints the point as JSON; :func:`measure_apart` calls that.
"""

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from clicv2lite.bench.apart import printed
from clicv2lite.bench.growth.work import works
from clicv2lite.bench.measure import Operation
from clicv2lite.bench.memory import held_by

ENOUGH = 0.5  # seconds: operations are repeated for at least this long,
REPEATS = 3  # and so often, unless one takes longer than
LONG = 10.0


@dataclass(frozen=True)
class Point:
    """The cost of one size."""

    size: int
    seconds: float  # median
    resident: int | None  # bytes that the process grew by, at the peak; None where the system does not tell


def measure(operation: Operation, size: int) -> Point:
    """Time an operation in this process, which should be a fresh one; the first call counts if it is long."""
    _, first, resident = held_by(operation)
    seconds = [first]
    if first < LONG:
        seconds = []
        while len(seconds) < REPEATS or sum(seconds) < ENOUGH:
            seconds.append(_seconds(operation))
    return Point(size, median(seconds), resident)


def measure_apart(topic: str, place: int, size: int) -> Point:
    """The same of a topic's work, prepared in an empty folder that is gone afterwards."""
    said = printed(["-m", "clicv2lite.bench.growth.point", topic, str(place), str(size)])
    return Point(**json.loads(said.splitlines()[-1]))


def main(topic: str, place: str, size: str) -> None:
    """Print a point."""
    with tempfile.TemporaryDirectory(prefix="clicv2lite-growth-") as folder:
        operation = works(topic)[int(place)].prepare(int(size), Path(folder))
        print(json.dumps(asdict(measure(operation, int(size)))))


def _seconds(operation: Operation) -> float:
    began = time.perf_counter()
    operation()
    return time.perf_counter() - began


if __name__ == "__main__":
    main(*sys.argv[1:])
