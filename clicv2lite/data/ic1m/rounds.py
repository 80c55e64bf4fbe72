"""Download addresses in rounds: what was refused or not reached is tried again later and more slowly; the rest is final.

img2dataset, which downloads, repeats every failed request at once, whatever the failure was. A site that says
"too many requests" is then asked faster, not slower. So it gets no retries here, but a limited list of addresses at a
time; if many of a round were turned away, the next one comes later and with fewer threads.

Everything is decided from the files on the disk, so a killed run can continue:
DIR/0007/urls.parquet (what to fetch), images/ (img2dataset's own output), done.json (written when the round is over).
"""

import json
import math
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from clicv2lite.errors import UserError, one_line
from clicv2lite.extras import extra
from clicv2lite.files import atomic, write_json

with extra("ic1m", "data ic1m"):
    import pyarrow as pa
    import pyarrow.parquet as pq

NEW, OK, GONE, DISALLOWED, BROKEN, REFUSED, UNREACHABLE = range(7)
STATUS = ("new", "ok", "gone", "disallowed", "error", "refused", "unreachable")
AGAIN = (NEW, REFUSED, UNREACHABLE)
TURNED_AWAY = 0.1  # if a larger share of a round was refused, the next round waits and has fewer threads
FIRST_WAIT, LONGEST_WAIT = 60.0, 3600.0  # seconds
FEWEST_THREADS = 4


@dataclass(frozen=True)
class Pace:
    """How to download."""

    processes: int = 4
    threads: int = 16  # a process
    attempts: int = 5  # for an address, in all
    round: int = 20_000  # addresses


Downloader = Callable[[Path, Path, Pace, int, Callable[[], None]], None]
"""`download(urls, images, pace, per_shard, poll)` fetches the column `url` of a parquet file, and leaves img2dataset's
layout of `per_shard` rows a shard in the folder `images`; it calls `poll` every second or so."""


class Member(NamedTuple):
    """A downloaded file: the member of a tar."""

    tar: Path
    key: str
    sha256: str


@dataclass
class State:
    """What became of each of n addresses."""

    status: NDArray[np.int8]  # (n,)
    attempts: NDArray[np.int8]  # (n,)
    error: dict[int, str] = field(default_factory=dict)  # of those that failed
    files: dict[int, Member] = field(default_factory=dict)  # of those that came
    streak: int = 0  # how many of the last rounds were refused beyond TURNED_AWAY


def fetch(table: pa.Table, out: Path, pace: Pace, download: Downloader, wait: Callable[[float], None] = time.sleep) -> State:
    """Download the column `url` of `table`, as far as possible.

    Args:
        table: (n rows) with `url`.
        out: a folder for the rounds.
        pace: of the downloads; may differ from that of an earlier, interrupted run.
        download: the function that downloads.
        wait: waits so many seconds.

    Raises:
        UserError: if nothing can be reached at all, or the disk is full; what was downloaded stays, and the next run goes on.
    """
    state = State(np.zeros(len(table), np.int8), np.zeros(len(table), np.int8))
    k = 0
    with tqdm(total=len(table), unit="img", desc="download", disable=None) as bar:
        while True:
            folder = out / f"{k:04d}"
            if not (folder / "done.json").exists():
                if not (folder / "round.json").exists() and not _plan(table, folder, state, pace):
                    return state
                pause = min(FIRST_WAIT * 2 ** (_tries(folder, state) - 1), LONGEST_WAIT) if _tries(folder, state) else 0.0
                if pause:
                    bar.set_description(f"waiting {pause:.0f} s")
                    wait(pause)
                    bar.set_description("download")
                _run(folder, state, pace, download, bar)
            _collect(folder, state)
            bar.n = int(np.isin(state.status, AGAIN, invert=True).sum())
            bar.refresh()
            k += 1


def classify(error: str) -> int:
    """What a message of `guard` means: GONE, DISALLOWED, BROKEN, REFUSED or UNREACHABLE."""
    if error.startswith("not allowed"):
        return BROKEN
    if match := re.search(r"HTTP Error (\d{3})", error):
        code = int(match[1])
        if code in (401, 403, 408, 425, 429) or code >= 500:
            return REFUSED
        return GONE if code in (404, 410) else BROKEN
    if "X-Robots-Tag" in error:
        return DISALLOWED
    # IncompleteRead: the connection broke off. A file that is short in itself arrives whole, and fails when decoded.
    if re.search(r"timed out|urlopen error|[Cc]onnection|Remote end closed|IncompleteRead|reset by peer|No result", error):
        return UNREACHABLE
    return BROKEN


def _plan(table: pa.Table, folder: Path, state: State, pace: Pace) -> bool:
    """Write down what the next round fetches, the least often tried addresses first; False if there is nothing left."""
    open_ = np.flatnonzero(np.isin(state.status, AGAIN) & (state.attempts < pace.attempts))
    chosen = np.sort(open_[np.argsort(state.attempts[open_], kind="stable")][: pace.round])
    if not len(chosen):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / "urls.parquet") as temporary:
        pq.write_table(pa.table({"url": table["url"].take(chosen), "number": pa.array(chosen)}), temporary)
    # img2dataset knows finished shards by their number, so their size must not change when a round is taken up again.
    per_shard = min(1000, max(10, math.ceil(len(chosen) / (4 * pace.processes))))
    write_json(folder / "round.json", {"images": len(chosen), "per_shard": per_shard})
    return True


def _tries(folder: Path, state: State) -> int:
    chosen = pq.read_table(folder / "urls.parquet", columns=["number"])["number"].to_numpy()
    return max(state.streak, int(state.attempts[chosen].max()))


def _run(folder: Path, state: State, pace: Pace, download: Downloader, bar: Any) -> None:
    plan, images = json.loads((folder / "round.json").read_text(encoding="utf-8")), folder / "images"
    slower = Pace(pace.processes, max(min(FEWEST_THREADS, pace.threads), pace.threads >> state.streak))
    start, free = bar.n, shutil.disk_usage(folder).free

    def poll() -> None:
        bar.n = start + min(plan["images"], plan["per_shard"] * sum(1 for _ in images.glob("*_stats.json")))
        bar.refresh()

    try:
        download(folder / "urls.parquet", images, slower, plan["per_shard"], poll)
    except UserError:
        _check_disk(folder, free)
        raise
    rows = _rows(folder)
    _check_disk(folder, free)
    fresh = bool((state.attempts[[row["number"] for row in rows]] == 0).any())
    once = folder / "unreached"
    if fresh and all(row["status"] == UNREACHABLE for row in rows) and not (state.files and once.exists()):
        once.touch()  # the network's fault, or these addresses are dead: that shows when they are asked again
        shutil.rmtree(images, ignore_errors=True)
        reason = one_line(rows[0]["error"])
        raise UserError(
            f"network: none of {len(rows):,} addresses could be reached ({reason}); check the network and run the command"
            " again: it goes on from here"
        )
    write_json(folder / "done.json", {"ok": sum(row["status"] == OK for row in rows), "of": len(rows)})


def _check_disk(folder: Path, free: int) -> None:
    log = folder / "log.txt"
    full = log.exists() and "No space left on device" in log.read_text(encoding="utf-8", errors="replace")
    if full or shutil.disk_usage(folder).free < min(free, 2**20):
        raise UserError(f"{folder.parent}: the disk is full; make room and run the command again: it goes on from here")


def _rows(folder: Path) -> list[dict[str, Any]]:
    """What became of each address of a round: number, status, error, tar, key, sha256."""
    found = {}
    for stats in sorted((folder / "images").glob("*_stats.json")):  # written last, so the shard is whole
        shard = stats.name.removesuffix("_stats.json")
        tar = stats.with_name(f"{shard}.tar")
        table = pq.read_table(stats.with_name(f"{shard}.parquet"))
        for row in table.select(["number", "status", "error_message", "key", "sha256"]).to_pylist():
            ok, error = row["status"] == "success", row["error_message"] or row["status"] or ""
            found[row["number"]] = {
                **{"number": row["number"], "status": OK if ok else classify(error), "error": "" if ok else one_line(error)},
                **{"tar": tar, "key": row["key"], "sha256": row["sha256"]},
            }
    asked = pq.read_table(folder / "urls.parquet", columns=["number"])["number"].to_pylist()
    lost = {"status": UNREACHABLE, "error": "No result: img2dataset failed on its shard, see log.txt"}
    return [found.get(number, {"number": number, **lost}) for number in asked]


def _collect(folder: Path, state: State) -> None:
    rows = _rows(folder)
    for row in rows:
        number = row["number"]
        state.status[number] = row["status"]
        state.attempts[number] += 1
        if row["status"] == OK:
            state.files[number] = Member(row["tar"], row["key"], row["sha256"])
            state.error.pop(number, None)
        else:
            state.error[number] = row["error"]
    away = sum(row["status"] in AGAIN for row in rows)
    state.streak = state.streak + 1 if away > TURNED_AWAY * len(rows) else 0
