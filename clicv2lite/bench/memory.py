"""`clicv2lite bench-memory`: peak memory of the loss, for all queries; `clicv2lite bench` takes some of them.

Two measures. *Counted*: the tensors alive at once, :func:`clicv2lite.pretrain.cost.peak.peak_bytes`. *Resident*: by how much
the process grew as the operating system sees it, in a process of its own, with the scratch space inside operations.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch

from clicv2lite.bench import loss
from clicv2lite.bench.apart import printed
from clicv2lite.errors import UserError
from clicv2lite.files import put_json
from clicv2lite.outputs import add_output
from clicv2lite.pretrain.cost.peak import peak_bytes
from clicv2lite.provenance import stamped

T = TypeVar("T")

SMALL = 4 << 20  # bytes; the system counts pages in batches, so a peak that was just reset may stand so far above
LIMIT = {38_912: 0.5e9, 159_744: 1.5e9}  # keys -> bytes that loss and gradient may take, without queries and keys


@dataclass(frozen=True)
class Peak:
    """The memory of loss and gradient, without the queries and keys."""

    form: str
    keys: int
    queries: int
    counted: int  # bytes in tensors
    resident: int | None  # bytes that the process grew by; None where the system does not tell
    seconds: float
    limit: float | None = None  # bytes


def measure(form: str, keys: int, queries: int) -> Peak:
    """Measure one form once, in this process, which should be a fresh one."""
    q, k = loss.features(queries, keys, loss.WIDTH)
    own = loss.forms(k)[form]
    few, fewer = loss.features(64, 64, loss.WIDTH)
    peak_bytes(lambda: loss.both(loss.forms(fewer)[form], few))  # libraries load and threads start now
    counted, seconds, resident = held_by(lambda: peak_bytes(lambda: loss.both(own, q)))
    return Peak(form, keys, queries, counted, resident, round(seconds, 2), LIMIT.get(keys) if form == "infonce" else None)


def held_by(operation: Callable[[], T]) -> tuple[T, float, int | None]:
    """What an operation returns, its seconds, and by how many bytes the process grew meanwhile; None where no one tells."""
    before, began = _held(reset=True), time.perf_counter()
    result = operation()
    seconds, after = time.perf_counter() - began, _held()
    return result, seconds, _growth(before, after)


def measure_apart(form: str, keys: int, queries: int) -> Peak:
    """The same in a process of its own."""
    return Peak(**json.loads(printed(["-m", "clicv2lite", "bench-memory", "--one", form, str(keys), str(queries)])))


def bench_memory() -> list[Peak]:
    """The package's form and the dense one, for the queries that are timed."""
    sizes = loss.LARGE.items()
    return [measure_apart(form, keys, queries) for keys, queries in sizes for form in ("infonce", "dense")]


def print_table(peaks: Sequence[Peak]) -> None:
    """One line for each form and number of keys."""
    print("\nmemory of loss and gradient without queries and keys, GB: in tensors, and growth of the process")
    for peak in peaks:
        resident = "-" if peak.resident is None else f"{peak.resident / 1e9:.3f}"
        wanted = f" (target: at most {peak.limit / 1e9:.1f} for all queries)" if peak.limit else ""
        name = f"{peak.form}, {peak.queries:,} queries, {peak.keys:,} keys"
        print(f"  {name:<58} {peak.counted / 1e9:8.3f} {resident:>8}{wanted}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench-memory`."""
    add_output(parser, "--json", help="write the result to this file")
    parser.add_argument("--one", nargs=3, metavar=("FORM", "KEYS", "QUERIES"), help="measure one form and print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure all forms: the package's for all queries, which takes minutes, the others for some; exit status 0."""
    if args.one:
        if args.json:
            raise UserError(f"--json {args.json}: --one prints its result; leave one of them out")
        print(json.dumps(asdict(measure(*_one(*args.one)))))
        return 0
    began, peaks = time.perf_counter(), []
    for keys, some in loss.LARGE.items():
        names = loss.forms(torch.zeros(1, loss.WIDTH))
        peaks += [measure_apart("infonce", keys, keys), *(measure_apart(name, keys, some) for name in names)]
    print_table(peaks)
    if args.json:
        result = {"width": loss.WIDTH, "temperature": loss.TAU, "peaks": [asdict(peak) for peak in peaks]}
        put_json(args.json, stamped({**result, "threads": torch.get_num_threads()}, began))
    return 0


def _one(form: str, keys: str, queries: str) -> tuple[str, int, int]:
    """The values of --one, checked."""
    said, known = f"--one {form} {keys} {queries}", list(loss.forms(torch.zeros(1, loss.WIDTH)))
    if form not in known:
        raise UserError(f"{said}: there is no form {form}; give one of {', '.join(known)}")
    if not (keys.isdecimal() and queries.isdecimal() and 1 <= int(queries) <= int(keys)):
        raise UserError(f"{said}: each query has a key of its own; give whole numbers, QUERIES from 1 to KEYS")
    return form, int(keys), int(queries)


def _held(reset: bool = False) -> tuple[int, int] | None:
    """The bytes that this process holds now, and the most it held since the peak was last reset (Linux)."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    size = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return (size["VmRSS"], size["VmHWM"]) if len(size) == 2 else None


def _growth(before: tuple[int, int] | None, after: tuple[int, int] | None) -> int | None:
    """From what the process held to its peak; None where the peak stayed at an older one, as on a system that resets none."""
    if before is None or after is None:
        return None
    (held, peak), (_, peak_after) = before, after
    if peak_after > peak:
        return peak_after - held
    return 0 if peak - held < SMALL else None
