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
    by the first network.

    Args:
        name: where they were loaded from.
        encoders: two or more. The networks among them see squares of the same side; formulas take a square of any side.

    Raises:
        UserError: if the sides differ.
    """

    def __init__(self, name: str, encoders: Sequence[FrozenEncoder]) -> None:
        self._members = tuple(one for encoder in encoders for one in ((encoder,) if encoder.named else encoder.members))
        networks = [part for part in self.parts if part.differentiable] or self.parts
        self._first = first = networks[0]
        super().__init__(name, first.net, first.config)
        for other in networks:
            if other.size != first.size:
                sizes = f"{first.size} of {first.name} and {other.size} of {other.name}"
                raise UserError(f"{name}: pool_size is {sizes}; set one for both")

    @property
    def members(self) -> tuple[FrozenEncoder, ...]:
        """The encoders; one that is known by name stays whole, others are none of them several again."""
        return self._members

    @property
    def parts(self) -> tuple[FrozenEncoder, ...]:
        """The encoders, none of them several again."""
        return tuple(part for encoder in self.members for part in encoder.parts)

    @property
    def feature_count(self) -> int:
        """F, of all of them together."""
        return sum(part.feature_count for part in self.parts)

    @property
    def device(self) -> torch.device:
        """The device of the first network, and of the others."""
        return self._first.device

    def traced_tokens(self, images: Tensor) -> Tensor:
        """Those of the first network."""
        return self._first.traced_tokens(images)

    def read_as(self, pooling: Mapping[str, Any]) -> FrozenEncoder:
        """All networks, read in another way, as :meth:`clicv2lite.encoders.frozen.FrozenEncoder.read_as`."""
        if not pooling:
            return self
        return SideBySide(self.name, [part.read_as(pooling) if part.differentiable else part for part in self.parts])

    def to(self, device: torch.device) -> FrozenEncoder:
        """Move all of them."""
        for encoder in self.members:
            encoder.to(device)
        return super().to(device)

    def channels(self, images: Tensor) -> list[Tensor]:
        """The maps that are pooled: those of the first encoder, then those of the others."""
        return [channel for encoder in self.members for channel in encoder.channels(images)]

    def traced_features(self, images: Tensor) -> Tensor:
        """Those of the first, then those of the others, each pooled in its own way."""
        return torch.cat([part.traced_features(images) for part in self.parts], dim=1)

    def digest(self) -> str:
        """As of one encoder: all weights, and how they are read."""
        return digest_of({}, "".join(part.digest() for part in self.parts).encode())

    def check_storable(self, option: str) -> None:
        """Refuse early what `save` could write but nothing could load again."""
        for encoder in self.members:
            encoder.check_storable(option)
