"""Training images as uint8 squares: decoded once and kept in memory if they fit, otherwise decoded when needed."""

from collections.abc import Callable

import torch
from torch import Tensor

from clicv2lite.data.budget import PIXELS
from clicv2lite.data.images import ImageError, read_image, to_square
from clicv2lite.data.sources import ImageSet
from clicv2lite.errors import UserError
from clicv2lite.interrupts import Threads
from clicv2lite.lines import progress

MEMORY = 4 * 2**30  # bytes that decoded images may take


class ImageStore:
    """Images by index, each resized to a square.

    A sample that cannot be decoded is replaced by the next one that can (always the same one), and listed in `bad`.

    Attributes:
        bad: name -> reason, for the samples that were replaced.
    """

    def __init__(self, images: ImageSet, side: int, workers: int, memory: int = MEMORY, progress: bool = True) -> None:
        self.images, self.side, self.progress = images, side, progress
        self.bad: dict[str, str] = {}
        self.cache = self._decode_all(workers) if len(images) * 3 * side * side <= memory else None

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> Tensor:
        """One image, (3, side, side) uint8, decoded in the calling thread."""
        return self._decode(index) if self.cache is None else self.cache[index]

    def _decode_all(self, workers: int) -> Tensor:
        cache = torch.empty(len(self.images), 3, self.side, self.side, dtype=torch.uint8)
        bar = progress(len(self.images), "reading", leave=False, disable=not self.progress)
        with bar, Threads(workers) as threads:
            for i, image in enumerate(threads.map(self._decode, range(len(self.images)))):
                cache[i] = image
                bar.update()
        return cache

    def _decode(self, index: int) -> Tensor:
        return first_whole(self.images, index, self._square, self.bad)

    def _square(self, data: bytes, name: str) -> Tensor:
        with PIXELS.hold():
            return to_square(read_image(data, name), self.side)


def first_whole(images: ImageSet, index: int, decode: Callable[[bytes, str], Tensor], bad: dict[str, str]) -> Tensor:
    """Decode image `index`, or the next one that can be decoded. Images that cannot are entered in `bad`.

    Raises:
        UserError: if no image can be decoded.
    """
    for candidate in range(index, index + len(images)):
        i = candidate % len(images)
        name = images.names[i]
        try:
            return decode(images.read(i), name)
        except ImageError as error:
            bad[name] = str(error)
    raise UserError(f"none of the {len(images)} images could be decoded; the first: {next(iter(bad.values()))}")
