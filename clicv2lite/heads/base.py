"""The interface of a head, and all heads by name (book chapter 8)."""

from typing import Any, Protocol

import torch
from torch import Tensor

from clicv2lite.arrays import Floats
from clicv2lite.heads.icnet import IcnetHead
from clicv2lite.heads.ridge import RidgeHead


class Head(Protocol):
    """The part that is fitted on a frozen encoder."""

    kind: str
    reads: str  # "features": (B, F), pooled; "tokens": (B, h, w, D)
    bounded: bool  # whether every score already lies in 0..1

    def predict(self, inputs: Tensor, /) -> Floats:
        """Inputs (B, ...) -> scores (B,)."""
        ...

    def maps(self, inputs: Tensor, /) -> Floats:
        """Inputs at each place, (B, h, w, ...) -> complexity of each place, (B, h', w')."""
        ...

    def to(self, device: torch.device, /) -> object:
        """Compute on this device."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that a head file stores."""
        ...

    def config(self) -> dict[str, Any]:
        """All other values that are needed to rebuild the head."""
        ...


KINDS: dict[str, type[RidgeHead] | type[IcnetHead]] = {"ridge": RidgeHead, "icnet": IcnetHead}
"""Name -> head."""
