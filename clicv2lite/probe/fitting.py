"""Which head is fitted on frozen features, and how (book chapter 8)."""

from torch import Tensor

from clicv2lite.arrays import Floats, Names
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError
from clicv2lite.heads.base import Head
from clicv2lite.heads.icnet import IcnetShape, IcnetTraining, fit_icnet
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.probe.crossval import Fit


def fitter(
    head: str,
    encoder: FrozenEncoder,
    seed: int,
    epochs: int | None = None,
    lr: float | None = None,
    channels: int | None = None,
) -> Fit:
    """The function that fits a head of a kind on what it reads of an encoder.

    Args:
        head: "ridge" or "icnet".
        seed, epochs, lr, channels: of ICNet's head alone; None is the paper's or ICNet's own value.

    Raises:
        UserError: if ICNet's head is to read several encoders.
    """
    if head == "ridge":
        return fit_ridge
    if len(encoder.nets) > 1:
        raise UserError(f"--encoder {encoder.name}: ICNet's head reads the tokens of one encoder; name one, or take ridge")
    paper = IcnetTraining()
    training = IcnetTraining(epochs=epochs or paper.epochs, lr=lr or paper.lr)
    shape = IcnetShape(encoder.width, max(2, encoder.size // 8), channels or 512)
    device = encoder.device  # now: the encoder may have left it when the head is fitted

    def fit(tokens: Tensor, scores: Floats, groups: Names | None = None) -> Head:
        if groups is not None:
            raise ValueError("ICNet's head is fitted to the ratings themselves, not to differences within groups")
        return fit_icnet(tokens, scores, shape, training, seed, device=device)

    return fit
