"""The hand-crafted measures as an encoder: eleven numbers beside the features of networks (book chapter 12)."""

from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from PIL import Image
from torch import Tensor, nn

from clicv2lite.baselines.measures.basic import measure
from clicv2lite.baselines.measures.sets import PLAIN
from clicv2lite.data.images import to_square
from clicv2lite.encoders.config import FrozenConfig, PoolConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.weight_files import digest_of
from clicv2lite.errors import UserError
from clicv2lite.method.encoder import EncoderConfig

SIDE = 224  # at which the formulas read an image, pixels: most of their values depend on it


class HandcraftedEncoder(FrozenEncoder):
    """The set `plain` of formulas: features of the whole image, without weights, tokens, gradients or a choice of reading."""

    differentiable = False
    named = "handcrafted"

    def __init__(self) -> None:
        shape = EncoderConfig(size=SIDE, patch=1, width=len(PLAIN), depth=1)
        super().__init__(self.named, nn.Identity(), FrozenConfig(shape, PoolConfig(statistics=("mean",))))

    @property
    def device(self) -> torch.device:
        """They compute on the CPU."""
        return torch.device("cpu")

    def channels(self, images: Tensor) -> list[Tensor]:
        """A map of one place: squares (B, 3, S, S) uint8 of any side, resized to SIDE -> [(B, 1, 1, 11) float32]."""
        squares = (to_square(Image.fromarray(image), SIDE) for image in images.permute(0, 2, 3, 1).cpu().contiguous().numpy())
        values = measure((square.permute(1, 2, 0).contiguous().numpy() for square in squares), PLAIN)
        columns = [torch.from_numpy(column).float() for column in values.values()]
        return [torch.stack(columns, dim=1)[:, None, None].to(images.device)]

    def read_as(self, pooling: Mapping[str, Any]) -> FrozenEncoder:
        """Themselves; UserError for any other way."""
        if pooling:
            raise UserError(f"--set {', '.join(pooling)}: the formulas of {self.name} are read in one way only; leave it out")
        return self

    def traced_tokens(self, images: Tensor) -> NoReturn:
        """There are none: UserError."""
        raise UserError(f"{self.name}: formulas have no tokens; take the encoder default, or --head ridge")

    @property
    def vit(self) -> NoReturn:
        """Formulas have none; asking for it raises UserError."""
        raise UserError(f"{self.name}: formulas are no ViT; take the encoder default")

    def digest(self) -> str:
        """Hexadecimal SHA-256 of which formulas they are."""
        return digest_of({}, " ".join([*PLAIN, str(SIDE)]).encode())
