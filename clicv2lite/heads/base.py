"""What a head is, and the heads by name (book chapter 8)."""

from typing import Any, Protocol

from torch import Tensor

from clicv2lite.arrays import Floats
from clicv2lite.heads.icnet import IcnetHead
from clicv2lite.heads.ridge import RidgeHead


class Head(Protocol):
    """What is fitted on a frozen encoder."""

    kind: str
    reads: str  # "features": (B, F), pooled; "tokens": (B, h, w, D)
    bounded: bool  # whether its scores lie in 0..1 of themselves

    def predict(self, inputs: Tensor, /) -> Floats:
        """(B, ...) of what it reads -> (B,) scores."""
        ...

    def maps(self, inputs: Tensor, /) -> Floats:
        """(B, h, w, ...) of what it reads, at each place -> (B, h', w') complexity of each place."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What a head file stores."""
        ...

    def config(self) -> dict[str, Any]:
        """What rebuilds the head beside its tensors."""
        ...


KINDS: dict[str, type[RidgeHead] | type[IcnetHead]] = {"ridge": RidgeHead, "icnet": IcnetHead}
"""Name -> head."""
