"""A model as a differentiable module of torch: images in, scores out, with gradients on the way back (book chapter 12)."""

import copy
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clicv2lite.data.inputs import square
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError
from clicv2lite.heads.base import Head
from clicv2lite.heads.bounds import bounded
from clicv2lite.heads.icnet import IcnetHead
from clicv2lite.heads.ridge import RidgeHead


class Scorer(nn.Module):
    """A ridge model as one differentiable function: images (B, 3, S, S) in 0..255 -> scores (B,) float32 in 0..1."""

    mean: Tensor
    weight: Tensor

    def __init__(self, encoder: FrozenEncoder, head: Head) -> None:
        super().__init__()
        if not isinstance(head, RidgeHead):
            raise UserError(f"only models with a ridge head can be exported, not with {head.kind}; fit one with probe")
        if formulas := [part.name for part in encoder.parts if not part.differentiable]:
            what = f"{encoder.name}: {', '.join(formulas)} are formulas, which have no gradients and cannot be exported"
            raise UserError(f"{what}; take the model default, or one without them")
        self.encoder, self.nets = encoder, nn.ModuleList(encoder.nets)
        where = encoder.device
        self.register_buffer("mean", torch.from_numpy(np.asarray(head.mean)).float().to(where))
        self.register_buffer("weight", torch.from_numpy(head.weight / head.scale).float().to(where))
        self.intercept = float(head.intercept)

    def forward(self, images: Tensor) -> Tensor:
        """Squares in 0..255, uint8 or floats -> scores."""
        features = self.encoder.traced_features(images)
        return bounded((features - self.mean) @ self.weight + self.intercept)


class IcnetScorer(nn.Module):
    """A model with ICNet's head: images (B, 3, S, S) in 0..255 -> scores (B,) float32 in 0..1."""

    def __init__(self, encoder: FrozenEncoder, head: IcnetHead) -> None:
        super().__init__()
        self.encoder, self.net, self.head = encoder, encoder.net, head

    def forward(self, images: Tensor) -> Tensor:
        """Squares in 0..255, uint8 or floats -> scores."""
        score: Tensor = self.head(self.encoder.traced_tokens(images))[0]
        return score


class ImageScorer(nn.Module):
    """Images (N, 3, H, W), floats in 0..1 -> scores (N,) in 0..1, as `Model.score` gives them: the model as a loss or a reward.

    Its weights are a copy of the model's, and frozen: gradients reach the images, and `train` of a module around it changes
    nothing. The images' values are the very pixels that `Model.score` sees, resized by Pillow and rounded to 8 bits; their
    gradients are those of torch's antialiased resize without the rounding. It computes in float32, whatever the type of the
    images or of a module around it.
    """

    def __init__(self, encoder: FrozenEncoder, head: Head) -> None:
        super().__init__()
        encoder, head = copy.deepcopy((encoder, head))  # where this one moves, the model stays
        self.size = encoder.size
        self.scorer = IcnetScorer(encoder, head) if isinstance(head, IcnetHead) else Scorer(encoder, head)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "ImageScorer":
        """It stays in evaluation mode: batch norm would see the batch."""
        return super().train(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ImageScorer":
        """`to`, `cuda` and `half` of modules: only the device follows."""
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), recurse)

    def forward(self, images: Tensor) -> Tensor:
        """Images -> scores; they must be on the device of the model.

        Raises:
            ValueError: if they are no float tensor (N, 3, H, W).
            UserError: if a value is outside 0..1 by more than rounding.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            shape = f"{tuple(images.shape)} of {images.dtype}"
            raise ValueError(f"images: {shape}; give floats in 0..1 of shape (N, 3, H, W), as uint8 / 255")
        if not len(images):
            return images.new_zeros(0, dtype=torch.float32)
        levels = images.float() * 255
        if images.shape[-2:] != (self.size, self.size):
            levels = F.interpolate(levels, (self.size, self.size), mode="bilinear", antialias=True)
        exact = torch.stack([square(image, self.size) for image in images.float()]).to(levels)
        scores: Tensor = self.scorer(levels + (exact - levels).detach())
        return scores
