"""The batches of a rank, read ahead while it trains: decoded squares, or base crops cut from the files (book chapter 10)."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from clicv2lite.data.sources import ImageSet
from clicv2lite.device import cores
from clicv2lite.interrupts import Task, Threads
from clicv2lite.learners import METHODS
from clicv2lite.method.views import CROP_DRAWS, crop_shares, uniform
from clicv2lite.pretrain.input.order import samples
from clicv2lite.pretrain.input.store import MEMORY, ImageStore, first_whole
from clicv2lite.recipes.recipe import Recipe
from clicv2lite.torchrun import from_torchrun

AHEAD = 3  # batches that are prepared in advance
CHUNK = 8  # images that a thread prepares in one task


class Batch(NamedTuple):
    """The b images of a rank in a step."""

    step: int
    epoch: np.ndarray  # (b,) int64, how often each sample was seen before
    index: np.ndarray  # type: ignore[assignment]  # (b,) int64, its index in the set
    images: Tensor  # (b, 3, H, W) uint8; (b, crops, 3, size, size) if a method takes several crops and they are cut already
    names: Sequence[str]  # names of the whole set; names[index[j]] is the name of image j


class Feed:
    """The batches of steps `start` .. `recipe.steps` - 1 for one rank, in order. Use it as a context manager.

    Image j of a batch depends only on (recipe.seed, epoch[j], index[j]): not on the ranks, the workers or the step at which a
    run was resumed. An image that cannot be decoded is replaced by the next one in the set that can.

    Args:
        images: the set.
        recipe: with `store` > 0, images are squares of that side; with 0, they are base crops of side `size`, cut from the
            files, as many as its method takes of an image. `workers` threads decode; -1 takes this rank's share of the cores.
        rank, ranks: index of this rank, and number of ranks. It gets samples rank * b .. rank * b + b - 1 of each global batch.
        start: the first step.
        progress: show a bar while squares are decoded into memory.

    Attributes:
        waited: seconds that the training loop has waited for images.
        bad: name -> reason, for the images that were replaced.
    """

    # Threads, not processes: decoding, cropping and reading run outside Python's lock (four fifths of the time per image), a
    # batch needs neither pickling nor /dev/shm, and if a rank is killed no process is left over.

    def __init__(
        self, images: ImageSet, recipe: Recipe, rank: int = 0, ranks: int = 1, start: int = 0, progress: bool = True
    ) -> None:
        self.images, self.recipe, self.rank, self.ranks, self.start = images, recipe, rank, ranks, start
        self.waited = 0.0
        self._crop_draws = METHODS[recipe.method].crop_draws
        here = from_torchrun("LOCAL_WORLD_SIZE")  # ranks that share this machine
        workers = recipe.workers if recipe.workers > 0 else max(1, cores() // here)
        self._store: ImageStore | None = None
        self.bad: dict[str, str] = {}
        if recipe.store:
            self._store = ImageStore(images, recipe.store, workers, MEMORY // here, progress)
            self.bad = self._store.bad
        self._threads = Threads(workers, "feed")

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the batches in preparation and end the threads."""
        self._threads.close()

    def __iter__(self) -> Iterator[Batch]:
        under_way: deque[tuple[Batch, list[Task[None]]]] = deque()
        following = iter(range(self.start, self.recipe.steps))
        while True:
            began = time.perf_counter()
            while len(under_way) <= AHEAD and (step := next(following, None)) is not None:
                under_way.append(self._begin(step))
            if not under_way:
                return
            batch, parts = under_way.popleft()
            for part in parts:
                part.result()
            self.waited += time.perf_counter() - began
            yield batch

    def _begin(self, step: int) -> tuple[Batch, list[Task[None]]]:
        total = self.recipe.batch
        epoch, index = samples(self.recipe.seed, len(self.images), step * total, total)
        b = total // self.ranks
        mine = slice(self.rank * b, (self.rank + 1) * b)
        side = self.recipe.store or self.recipe.size
        layout = torch.contiguous_format if self._store else torch.channels_last  # that of the images: fast copies
        crops = 1 if self._store else len(self._crop_draws)
        empty = torch.empty(b * crops, 3, side, side, dtype=torch.uint8, memory_format=layout)
        empty = empty if crops == 1 else empty.unflatten(0, (b, crops))
        batch = Batch(step, epoch[mine], index[mine], empty, self.images.names)
        return batch, [self._threads.submit(self._fill, batch, slice(i, i + CHUNK)) for i in range(0, b, CHUNK)]

    def _fill(self, batch: Batch, part: slice) -> None:
        epoch, index, out = batch.epoch[part], batch.index[part], batch.images[part]
        if self._store:
            for j, i in enumerate(index.tolist()):
                out[j] = self._store.image(i)
            return
        from clicv2lite.data.decode import crop  # imported here: only this branch needs libjpeg-turbo

        drawn = uniform(self.recipe.seed, epoch, index, max(self._crop_draws) + CROP_DRAWS)
        slots = out if out.ndim == 5 else out[:, None]  # (images, crops, 3, size, size)
        for which, begin in enumerate(self._crop_draws):
            noise = drawn[:, begin : begin + CROP_DRAWS]
            shares = torch.stack([*crop_shares(noise, self.recipe.crop_min), noise[:, 2], noise[:, 3]], 1).numpy()
            for j, i in enumerate(index.tolist()):
                box = partial(crop_box, shares[j])
                slots[j, which] = first_whole(self.images, i, partial(crop, box=box, size=self.recipe.size), self.bad)


def crop_box(shares: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """The box of `views.crop_boxes` for one image, in plain numbers: tensors of one element would cost 80 microseconds.

    Args:
        shares: (4,) float32, shares of the height, of the width, and of the free space above and on the left.
    """
    h, w = (max(1, int(np.rint(share * np.float32(side)))) for share, side in zip(shares, (height, width), strict=False))
    top, left = (int(share * np.float32(room + 1)) for share, room in zip(shares[2:], (height - h, width - w), strict=True))
    return top, left, h, w
