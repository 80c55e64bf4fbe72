"""`clicv2lite data pack`: any images -> tars of small JPEGs, which a training run reads by position (book chapter 10).

Shard k holds the images k N to (k + 1) N - 1 of the source and depends on nothing else. So shards are made in any order
by any number of processes, a killed run continues with those that are missing, and the bytes are the same each time. A shard
is made again if its tar is damaged or gone, or if a file that could not be used then is another one now or can be used: what
failed is tried once more by each run.
"""

import json
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from tqdm import tqdm

from clicv2lite.data.identity import listing_digest
from clicv2lite.data.packing.form import Form
from clicv2lite.data.packing.shards import FIELDS, Images, is_done, read_rows, write_rows, write_shard
from clicv2lite.data.sources import ImageSet
from clicv2lite.errors import UserError, check_counts
from clicv2lite.files import atomic, is_full, make_folder, reason, remove_leftovers, write_json
from clicv2lite.interrupts import Stop, unheard
from clicv2lite.outputs import locked

STATE = ".pack"  # a folder: what was asked for, and the manifest of each finished shard
MANIFEST = "manifest.csv"
OURS = re.compile(r"\d{6,}\.(tar|csv)|manifest\.csv|asked\.json")
MAX_REASONS = 10


@dataclass(frozen=True, eq=False)
class Opened:
    """An `ImageSet` as something to pack."""

    images: ImageSet

    def __len__(self) -> int:
        return len(self.images)

    def name(self, i: int) -> str:
        """As the set calls it."""
        return self.images.names[i]

    def read(self, i: int) -> bytes:
        """As the set reads it."""
        return self.images.read(i)

    def about(self, i: int) -> dict[str, str]:
        """Nothing more is known."""
        return {}

    def make(self, i: int) -> None:
        """Nothing: the image itself is packed."""


@dataclass(frozen=True)
class Packed:
    """What was done."""

    manifest: Path
    pattern: str  # of the tars, for `open_images`
    shards: int
    good: int
    failed: list[str]  # why, at most `MAX_REASONS` of them
    n_failed: int
    bytes: int  # of the tars
    made: int  # images that were not there from an earlier run


def pack(images: Images, out: Path, form: Form, jobs: int = 1, more: Mapping[str, object] | None = None) -> Packed:
    """Write the tars `out`/000000.tar ..., and a manifest with one row for each image of the source.

    Args:
        images: what to pack.
        out: a folder, made if it does not exist; whole shards of an earlier run that it holds are kept.
        form: of the images and the shards.
        jobs: processes; 1 works in this one.
        more: other options that the shards depend on, by their names.

    Raises:
        UserError: if `out` holds something else, cannot be written to or is full, or no image is good.
    """
    check_counts(jobs=jobs)
    make_folder(make_folder(out, "--out") / STATE, "--out")
    try:
        with locked(out, folder=True, lock=f"{STATE}/lock"):
            _same_as_before(images, out, {**asdict(form), **(more or {})})
            return _summary(images, out, form, _make_missing(images, out, form, jobs))
    except OSError as error:
        raise written(error, out) from None


def written(error: OSError, out: Path) -> UserError:
    """The one line for a failed write below `out`."""
    if is_full(error):
        return UserError(f"{out}: the disk is full; make room and run the command again: it goes on from here")
    return UserError(f"{out}: cannot be written ({reason(error)}); correct that and run the command again")


def _same_as_before(images: Images, out: Path, options: Mapping[str, object]) -> None:
    others = {"images": "other images", "names": "other images, or the same by another path (give it as the first time)"}
    content = {"images": len(images), "names": listing_digest(images.name(i) for i in range(len(images)))}
    asked = {**options, **content}
    file = out / STATE / "asked.json"
    if not file.exists():
        for kind, found in (("tars", out.glob("[0-9]*.tar")), (f"a {MANIFEST}", out.glob(MANIFEST))):
            if any(found):
                raise UserError(f"{out}: it holds {kind} that this command did not write; choose another folder with --out")
        write_json(file, asked)
    before = _json(file)
    for key in sorted({**asked, **before}, key=lambda key: key in content):  # options first: they may change the images
        old, new = (side.get(key, "none") for side in (before, asked))
        if old != new:
            what = others.get(key, f"--{key} {old}, not {new}")
            raise UserError(f"{out}: it was packed with {what}; choose another folder with --out, or remove it")
    for folder in (out, out / STATE):  # of a killed run; the lock is ours
        remove_leftovers(folder, OURS.fullmatch)


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise UserError(f"{file}: unreadable; remove its folder and run the command again") from None


def _parts(images: Images, form: Form) -> dict[str, range]:
    n, size = len(images), form.shard
    return {f"{k:06d}": range(k * size, min(n, (k + 1) * size)) for k in range((n + size - 1) // size)}


def _make_missing(images: Images, out: Path, form: Form, jobs: int) -> int:
    parts = _parts(images, form)
    missing = {
        name: which
        for name, which in parts.items()
        if not is_done(images, which, out / f"{name}.tar", out / STATE / f"{name}.csv", form.side, form.quality)
    }
    there = len(images) - sum(map(len, missing.values()))
    with tqdm(total=len(images), initial=there, unit="img", desc="pack", disable=None) as bar:  # None: only on a terminal
        if jobs == 1:
            for name, which in missing.items():
                _one_shard(images, which, out, name, form, bar.update)
        elif missing:
            _in_processes(images, missing, out, form, min(jobs, len(missing)), bar.update)
    return len(images) - there


def _one_shard(images: Images, which: range, out: Path, name: str, form: Form, tick: Callable[[], object]) -> None:
    piece, tar = out / STATE / f"{name}.csv", out / f"{name}.tar"
    for old in (piece, tar):
        old.unlink(missing_ok=True)
    rows = []
    for row in write_shard(images, which, tar, form.side, form.quality):
        rows.append(row)
        tick()
    write_rows(piece, rows)  # comes after the tar: it says that the shard is done


def _in_processes(
    images: Images, missing: dict[str, range], out: Path, form: Form, jobs: int, update: Callable[[int], object]
) -> None:
    # not fork, which may copy a lock that a thread of ours holds; not spawn, which would import torch in every process
    context = multiprocessing.get_context("forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn")
    if hasattr(context, "set_forkserver_preload"):
        context.set_forkserver_preload([__name__])
    done, over = context.Value("q", 0), context.Value("b", 0)
    executor: Executor = ProcessPoolExecutor(jobs, context, _start_worker, (images, out, form, done, over))
    shown = 0
    with Stop(signal.SIGINT) as stop:  # a Ctrl-C inside the executor could lock it up
        try:
            with unheard():
                futures: set[Future[None]] = {executor.submit(_work, name, which) for name, which in missing.items()}
            while futures:
                finished, futures = wait(futures, timeout=0.2, return_when="FIRST_EXCEPTION")
                update(done.value - shown)
                shown = done.value
                for future in finished:
                    future.result()
                if stop.asked:
                    raise KeyboardInterrupt
        except BrokenProcessPool:
            raise UserError(f"{out}: a process was killed (out of memory?); run the command again with fewer --jobs") from None
        finally:
            over.value = 1
            executor.shutdown(cancel_futures=True)


_job: tuple[Images, Path, Form, "Synchronized[int]", "Synchronized[int]"]


def _start_worker(images: Images, out: Path, form: Form, done: "Synchronized[int]", over: "Synchronized[int]") -> None:
    global _job
    _job = images, out, form, done, over
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to every process: only the parent reports it
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()  # a killed parent tells its children nothing, and they would wait for ever
    os._exit(1)


def _work(name: str, which: range) -> None:
    images, out, form, done, over = _job

    def tick() -> None:
        with done.get_lock():
            done.value += 1
        if over.value:
            raise RuntimeError(f"shard {name} is not needed any more")

    _one_shard(images, which, out, name, form, tick)


def _summary(images: Images, out: Path, form: Form, made: int) -> Packed:
    good, failed, size = 0, 0, 0
    reasons: list[str] = []
    numbers: list[int] = []
    with atomic(out / MANIFEST) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(FIELDS) + "\n")
        for name in _parts(images, form):
            piece = out / STATE / f"{name}.csv"
            file.write(piece.read_text(encoding="utf-8").partition("\n")[2])
            rows = list(read_rows(piece))
            bad = [row.error for row in rows if row.status != "ok"]
            failed += len(bad)
            reasons += bad[: MAX_REASONS - len(reasons)]
            if len(bad) < len(rows):
                numbers.append(int(name))
                good += len(rows) - len(bad)
                size += (out / f"{name}.tar").stat().st_size
    if not good:
        raise UserError(f"{out}: none of the {len(images):,} images could be packed; the first: {reasons[0]}")
    pattern = str(out / shard_pattern(numbers))
    return Packed(out / MANIFEST, pattern, len(numbers), good, reasons, failed, size, made)


def shard_pattern(numbers: list[int]) -> str:
    """`{000000..000009}.tar` for shards 0 to 9; ranges side by side if some are left out.

    Args:
        numbers: ascending, not empty.
    """
    ranges: list[list[int]] = []
    for k in numbers:
        if ranges and ranges[-1][1] == k - 1:
            ranges[-1][1] = k
        else:
            ranges.append([k, k])
    texts = [f"{a:06d}" if a == b else f"{{{a:06d}..{b:06d}}}" for a, b in ranges]
    return f"{texts[0] if len(texts) == 1 else '{' + ','.join(texts) + '}'}.tar"
