"""Rows in, scored rows out: several threads that each read a batch and encode it (book chapter 12).

Each worker has one torch thread, and there are as many workers as cores. So reading and encoding overlap, no thread waits at a
barrier inside a matrix product, and the score of an image depends neither on its worker nor on their number.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clicv2lite.data.budget import PIXELS
from clicv2lite.data.flags import image_flags
from clicv2lite.data.images import ImageError
from clicv2lite.errors import UserError, one_line
from clicv2lite.files import atomic, make_folder, reason, shortened
from clicv2lite.heads.heatmap import overlay, relative, smooth
from clicv2lite.interrupts import Task, Threads
from clicv2lite.lines import Notes, progress, say
from clicv2lite.models.model import Model
from clicv2lite.score.arguments import ImageRow
from clicv2lite.score.maps import MapFormat, with_bar, write_values


def score_rows(
    rows: Sequence[ImageRow],
    model: Model,
    batch_size: int = 32,
    maps: Path | None = None,
    jobs: int = 1,
    map_format: MapFormat = "png",
) -> Iterator[list[ImageRow]]:
    """The rows with their scores, in 0..1, or their errors, in order, batch by batch.

    Each error is also one line on stderr. A bar there shows the images per second, on a terminal or if it takes long.

    Args:
        maps: folder for heat maps, or None.
        jobs: threads that read and encode.
        map_format: of the heat maps, see :mod:`clicv2lite.score.maps`.
    """
    batch_size = max(1, min(batch_size, -(-len(rows) // jobs)))  # few images are spread over all jobs
    names = map_names(rows, map_format) if maps else [None] * len(rows)
    targets = [maps / name if maps and name else None for name in names]
    parts = [slice(start, start + batch_size) for start in range(0, len(rows), batch_size)]
    bar = progress(len(rows), "scoring", smoothing=0.05)
    with bar, closing(Notes()) as notes, shared_cores(min(jobs, len(parts))), Threads(jobs) as threads:
        waiting: deque[Task[list[ImageRow]]] = deque()
        queue = iter(parts)
        while True:
            for part in islice(queue, 2 * jobs - len(waiting)):  # only so many batches are in memory
                waiting.append(threads.submit(_score, rows[part], targets[part], model, threads.go_on))
            if not waiting:
                return
            done = waiting.popleft().result()
            for row in done:
                if said := row.error or row.map_error:
                    say(said)
                if row.note:
                    notes(row.note)
            bar.update(len(done))
            yield done


@contextmanager
def shared_cores(workers: int) -> Iterator[None]:
    """Divide torch's threads among the workers; afterwards the caller has its own number again."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // max(1, workers)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _score(rows: Sequence[ImageRow], targets: Sequence[Path | None], model: Model, go_on: Callable[[], None]) -> list[ImageRow]:
    """One batch: read, encode, score, and write the maps; `go_on` raises an error once nobody waits for it."""
    done = {i: row for i, row in enumerate(rows) if row.error is not None}
    good: dict[int, Tensor] = {}
    notes: dict[int, str] = {}
    sizes: dict[int, tuple[int, int]] = {}
    for i, row in enumerate(rows):
        if i in done:
            continue
        go_on()
        try:
            good[i] = row.square(model.encoder.size, partial(notes.__setitem__, i), partial(sizes.__setitem__, i))
        except UserError as error:  # of the image; else of what holds it: a tar elsewhere, above all
            done[i] = replace(row.with_error(str(error)), unreached=not isinstance(error, ImageError))
    if good:
        go_on()
        images = torch.stack(list(good.values()))
        for i, score in zip(good, model.ratings(images), strict=True):
            row = rows[i]
            if np.isfinite(score):
                done[i] = row.with_score(float(score), image_flags(good[i], sizes[i]))
            else:
                done[i] = row.with_error(f"{one_line(row.image)}: the model gives it no finite score")
        if any(targets):
            go_on()
            for i, complexity in zip(good, model.maps(images), strict=True):
                target = targets[i]
                if target and done[i].error is None and done[i].map_error is None:
                    go_on()
                    if target.suffix == ".png" and model.head.kind != "icnet":
                        complexity = relative(smooth(complexity))
                    done[i] = replace(done[i], map_error=_write_map(target, rows[i], complexity))
    return [replace(done[i], note=notes.get(i, "")) for i in range(len(rows))]


def map_names(rows: Sequence[ImageRow], map_format: MapFormat = "png") -> list[Path | None]:
    """A file for each image below the map folder; x.jpg becomes x.jpg.png, and a second one x.jpg-2.png.

    Names that no file system takes, of which there may be some in a tar, end in a part of their digest instead.
    """
    taken: set[str] = set()  # without case: on macOS and Windows, A.jpg.png and a.jpg.png are one file
    names: list[Path | None] = []
    for row in rows:
        if row.error is not None:
            names.append(None)
            continue
        place = Path(*map(shortened, row.map_name.parts))
        endings = (f".{map_format}" if number == 1 else f"-{number}.{map_format}" for number in count(1))
        names_here = (place.with_name(place.name + ending) for ending in endings)
        name = next(name for name in names_here if str(name).casefold() not in taken)
        taken.add(str(name).casefold())
        names.append(name)
    return names


def _write_map(path: Path, row: ImageRow, complexity: np.ndarray) -> str | None:
    """Write a map; one line if that fails, which costs the image no score."""
    try:
        make_folder(path.parent, "--map")
        with PIXELS.hold(), atomic(path) as temporary:
            if path.suffix == ".png":
                with_bar(overlay(row.picture(), complexity)).save(temporary, format="PNG")
            else:
                write_values(temporary, path.suffix, complexity)
    except OSError as error:
        return f"--map {one_line(str(path))}: cannot be written ({reason(error)}); its score is kept"
    except UserError as error:
        return f"--map {one_line(str(error).removeprefix('--map '))}; its score is kept"
    return None
