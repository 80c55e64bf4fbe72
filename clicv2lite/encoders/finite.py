"""A frozen encoder whose features are no numbers, as of a diverged run, is refused before a head is fitted (book chapter 8)."""

from collections.abc import Iterable

from torch import Tensor

from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError


def check_finite(encoder: FrozenEncoder, found: Iterable[Tensor], how: str = "finite") -> None:
    """Take no features or tokens that are not finite, of any shape.

    Raises:
        UserError: which names the encoder, and how they should be finite.
    """
    if not all(part.isfinite().all() for part in found):
        what = f"what it makes of these images is not {how}; is it a diverged run? use another"
        raise UserError(f"encoder {encoder.name}: {what}")
