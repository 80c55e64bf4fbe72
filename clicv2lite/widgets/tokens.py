"""Token self-similarity to play with: one patch of a picture, and how alike all others are to it (book chapter 14)."""

from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.token_similarity import TEMPERATURES, likeness
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.widgets.explorer import SIDE, Explorer, Pictures, front_end, squares

with extra("notebooks"):
    import traitlets as t

CHANNELS = ("largest", *(f"τ = {temperature:g}" for temperature in TEMPERATURES[1:]), "mean", "neighbours")
"""Names of the channels of :func:`clicv2lite.encoders.token_similarity.likeness`, in their order."""
SCALE = 2**15 - 1  # cosines are stored as 16-bit integers


class Alike(NamedTuple):
    """What is drawn of a picture of h x w patches, G = h w."""

    cosines: np.ndarray  # (G, G) float32, of all pairs of tokens
    likeness: np.ndarray  # (h, w) float32, one channel


def token_maps(pictures: list[np.ndarray], encoder: FrozenEncoder) -> list[Tensor]:
    """Tokens of some pictures (S, S, 3) uint8 for each block that the encoder pools: (n, h, w, D) float32 each.

    Raises:
        UserError: if this is no encoder, or its maps are not all of one grid of at least 2 x 2 patches.
    """
    if not isinstance(encoder, FrozenEncoder):
        raise UserError(f"encoder: expected a frozen encoder, got {type(encoder).__name__}; see load_encoder")
    batch = torch.stack([torch.from_numpy(picture.copy()).permute(2, 0, 1) for picture in pictures])
    maps = encoder.read_as({"pool_read": "tokens", "pool_halvings": 0, "pool_zoom": ()}).channels(batch)
    if (grids := {tuple(each.shape[1:3]) for each in maps}) != {(rows := maps[0].shape[1], rows)} or rows < 2:
        raise UserError(f"encoder: its maps have the grids {sorted(grids)}; take a ViT and pictures of some patches")
    return maps


def packed_cosines(tokens: Tensor) -> bytes:
    """Cosines of the pairs i < j of each picture, row by row: (n, h, w, D) -> n * G (G - 1) / 2 little-endian int16."""
    unit = F.normalize(tokens.flatten(1, 2), dim=-1)
    i, j = torch.triu_indices(unit.shape[1], unit.shape[1], 1)
    pairs = (unit @ unit.mT)[:, i, j].clamp(-1, 1)
    return bytes((pairs * SCALE).round().to(torch.int16).numpy().astype("<i2").tobytes())


class TokenExplorer(Explorer):
    """Point at a patch: see the cosines of its token to all others, beside the likeness of every patch.

    Args:
        image: (H, W, 3) uint8, or a dict name -> image; three of 224 px and four blocks are 900 KB of state. The central square
            is shown.
        encoder: a ViT; the blocks that it pools are shown, one at a time.
        side: side of the square, pixels, a multiple of the encoder's patch.
        settings: ``picture`` (a name in the dict), ``block`` (counted from 0), ``channel`` (see :data:`CHANNELS`), ``place``
            (the patch that is chosen first, counted row by row), ``grid`` (lines between the patches).

    Raises:
        UserError: if an image is not a uint8 RGB array, or the encoder has no grid of tokens.
        TypeError: if there is no setting of this name.
        traitlets.TraitError: if the value of a setting cannot be drawn.
    """

    settings: ClassVar[tuple[str, ...]] = ("picture", "block", "channel", "place", "grid")
    _esm = front_end("tokens")

    block = t.Int(0, help="whose tokens are compared, counted from 0").tag(sync=True)
    channel = t.Enum[str](CHANNELS, CHANNELS[1], help="how the cosines of a patch become one number").tag(sync=True)
    place = t.Int(0, help="the patch that is chosen first, counted row by row").tag(sync=True)
    cosines = t.Bytes(b"", read_only=True).tag(sync=True)  # (blocks, pictures, pairs) int16, see packed_cosines()

    def __init__(self, image: Pictures, encoder: FrozenEncoder, *, side: int = SIDE, **settings: Any) -> None:
        self._maps = token_maps(list(squares(image, side).values()), encoder)
        constants = {
            "patch_sizes": [side // self._maps[0].shape[1]],
            "blocks": len(self._maps),
            "channels": list(CHANNELS),
            "temperatures": list(TEMPERATURES),
            "scale": SCALE,
        }
        super().__init__(image, constants, side=side, **settings)
        self.set_trait("cosines", b"".join(packed_cosines(tokens) for tokens in self._maps))

    @t.default("patch")
    def _default_patch(self) -> int:
        return int(self.constants["patch_sizes"][0])

    @t.validate("block", "place")
    def _counted(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        count = len(self._maps) if name == "block" else self._maps[0][0, ..., 0].numel()
        if not 0 <= value < count:
            raise t.TraitError(f"the '{name}' trait counts from 0 to {count - 1}, got {value}")
        return int(value)

    def result(self) -> Alike:
        """What is drawn now, computed by the package's own functions."""
        tokens = self._maps[self.block][[self.constants["pictures"].index(self.picture)]]
        unit = F.normalize(tokens.flatten(1, 2)[0], dim=-1)
        return Alike((unit @ unit.T).numpy(), likeness(tokens)[0, ..., CHANNELS.index(self.channel)].numpy())
