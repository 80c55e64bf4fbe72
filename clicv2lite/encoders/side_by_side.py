"""Several encoders that read the same image: their features stand side by side in front of one head (book chapter 12)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.weight_files import digest_of
from clicv2lite.errors import UserError


class SideBySide(FrozenEncoder):
    """Encoders whose pooled features are one long vector: those of the first, then those of the others.

    Each keeps its patches, weights and way of reading. Whatever is asked about tokens (`blocks`, `tokens`, `vit`) is answered
    by the first.

    Args:
        name: where they were loaded from.
        encoders: two or more that see squares of the same side, pooled by the same statistics.

    Raises:
        UserError: if they differ in these.
    """

    def __init__(self, name: str, encoders: Sequence[FrozenEncoder]) -> None:
        first = encoders[0]
        super().__init__(name, first.net, first.config)
        self.encoders = tuple(part for encoder in encoders for part in encoder.parts)
        for other in self.encoders[1:]:
            for what, ours, theirs in (
                ("pool_size", f"{first.size}", f"{other.size}"),
                ("pool_statistics", *(",".join(one.config.pool.statistics) for one in (first, other))),
            ):
                if ours != theirs:
                    raise UserError(f"{name}: {what} is {ours} of {first.name} and {theirs} of {other.name}; set one for both")

    @property
    def parts(self) -> tuple[FrozenEncoder, ...]:
        """The encoders, none of them several again."""
        return self.encoders

    def read_as(self, pooling: Mapping[str, Any]) -> FrozenEncoder:
        """All of them, read in another way, as :meth:`clicv2lite.encoders.frozen.FrozenEncoder.read_as`."""
        return SideBySide(self.name, [encoder.read_as(pooling) for encoder in self.encoders])

    def to(self, device: torch.device) -> FrozenEncoder:
        """Move all of them."""
        for encoder in self.encoders:
            encoder.to(device)
        return super().to(device)

    def channels(self, images: Tensor) -> list[Tensor]:
        """The maps that are pooled: those of the first encoder, then those of the others."""
        return [channel for encoder in self.encoders for channel in encoder.channels(images)]

    def digest(self) -> str:
        """As of one encoder: all weights, and how they are read."""
        return digest_of({}, "".join(encoder.digest() for encoder in self.encoders).encode())

    def check_storable(self, option: str) -> None:
        """Refuse early what `save` could write but nothing could load again."""
        for encoder in self.encoders:
            encoder.check_storable(option)
