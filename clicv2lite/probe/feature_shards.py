"""Features of a million images, encoded once and kept in shards on the disk (book chapter 9).

A shard is a .npy file of float16 features, a row an image, written whole or not at all. So a run that was killed goes on
with the shards that are missing, and ranks share the work without talking: rank r makes shards r, r + ranks, ... A row of
an image that cannot be read is nan, and is tried again by the next run.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clicv2lite.arrays import Mask
from clicv2lite.data.batches import map_images
from clicv2lite.data.centre import read_centre
from clicv2lite.distributed import Ranks
from clicv2lite.encoders.finite import check_finite
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError
from clicv2lite.files import atomic, reason
from clicv2lite.probe.class_folders import ClassFolder

ROWS = 8192  # images in a shard: 25 MB at 1,536 features


@dataclass(frozen=True)
class FeatureShards:
    """Where the features of one `ClassFolder` by one encoder are kept."""

    folder: Path
    part: str  # the first part of a file's name
    images: ClassFolder

    def spans(self) -> list[tuple[Path, slice]]:
        """Each shard's file and which images it holds."""
        starts = range(0, len(self.images), ROWS)
        ends = [min(start + ROWS, len(self.images)) for start in starts]
        return [
            (self.folder / f"{self.part}-{k:05d}.npy", slice(start, end))
            for k, (start, end) in enumerate(zip(starts, ends, strict=True))
        ]

    def encode(self, encoder: FrozenEncoder, batch_size: int, ranks: Ranks) -> None:
        """Make what is missing or damaged of this rank's shards. An image that cannot be read gets its line on stderr.

        Args:
            batch_size: images encoded at once.

        Raises:
            UserError: if a feature is not finite as float16, or a shard cannot be written.
        """
        device = encoder.device
        blank = torch.zeros(1, 3, encoder.size, encoder.size, dtype=torch.uint8, device=device)
        width = encoder.features(blank).shape[1]
        spans = self.spans()
        for k, (path, rows) in list(enumerate(spans))[ranks.rank :: ranks.size]:
            paths = self.images.paths(rows)
            whole = _whole(path, len(paths), width)
            shard = np.full((len(paths), width), np.nan, dtype=np.float16) if whole is None else whole
            missing = np.flatnonzero(np.isnan(shard[:, 0]))
            if not len(missing):
                continue
            label = f"{self.part} {k + 1}/{len(spans)}"
            found, read, _ = map_images(
                lambda images: encoder.features(images.to(device)).half().cpu(),
                [paths[i] for i in missing], encoder.size, batch_size, label, read_centre,
            )  # fmt: skip
            check_finite(encoder, [found], "finite as float16")
            if read.any():
                shard[missing[read]] = found.numpy()
            if read.any() or whole is None:
                _write(path, shard)

    def load(self) -> tuple[Tensor, Mask]:
        """The features of the images that could be read, (m, F) float16; (n,) which these are."""
        features = np.concatenate([np.load(path, mmap_mode="r") for path, _ in self.spans()])  # maps: no second copy
        read = ~np.isnan(features[:, 0])
        return torch.from_numpy(features if read.all() else features[read]), read


def _whole(path: Path, rows: int, width: int) -> NDArray[np.float16] | None:
    """The features in a file; None if they are missing or damaged."""
    try:
        shard: NDArray[np.float16] = np.load(path)  # whole: a map would keep Windows from replacing the file
    except (OSError, ValueError, EOFError):
        return None
    return shard if shard.shape == (rows, width) and shard.dtype == np.float16 else None


def _write(path: Path, shard: NDArray[np.float16]) -> None:
    try:
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.save(file, shard)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({reason(error)}); make room there and give the command again") from None
