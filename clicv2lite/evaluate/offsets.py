"""How well a linear reader recovers the offset of a cell's content from its token: does the border give it away? (chapter 3).

Cells of held-out images are moved as in pretraining, so their offsets are known. A ridge regression reads (dy, dx) from each
token. R^2 is 1 where the token holds the whole offset, and 0 where it holds nothing of it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clicv2lite.ambient import own_settings
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.extras import extra
from clicv2lite.method.patches import unpatchify
from clicv2lite.method.pixels import denormalize
from clicv2lite.method.views import PATCH_DRAWS, ViewConfig, drawn_offsets, view_of

with extra("evaluate"):
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

Fill = Literal["zeros", "edge", "image"]
FILLS: tuple[Fill, ...] = ("zeros", "edge", "image")
IMAGES = 256  # at most; half of them are held out
BATCH = 32
ALPHAS = np.logspace(-2, 6, 9)


def shifted(images: Tensor, config: ViewConfig, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Images whose cells are moved as in pretraining, put together again.

    Args:
        images: (B, 3, S, S) uint8. config: how cells are cut, and what enters. noise: (B, G, PATCH_DRAWS) in [0, 1).

    Returns:
        (B, 3, S, S) float32 in 0..255, not augmented; (B, G, 2) int64, the offsets (dy, dx) in pixels.
    """
    side = images.shape[-1] // config.patch
    cells = view_of(images.float() / 255, noise, replace(config, augment="none"))
    return denormalize(unpatchify(cells, (side, side))) * 255, drawn_offsets(noise, config.shift_limit)


@own_settings()
def read_offsets(encoder: FrozenEncoder, images: Tensor, seed: int = 0, fills: Sequence[Fill] = FILLS) -> dict[str, Any]:
    """R^2 of a linear reader of the offsets, for each fill and the tokens of each block.

    Args:
        encoder: a ViT. images: (n, 3, S, S) uint8, S the side of its pretraining; every second one is held out.
        seed: of the offsets, up to a quarter of the patch.

    Returns:
        r2: fill -> one value a block, of both axes together, on held-out images; limit: largest offset in pixels; n: tokens
        that are held out.

    Raises:
        UserError: if it has no tokens.
    """
    shape = encoder.config.encoder
    every = encoder.read_as({"pool_read": "tokens", "pool_halvings": 0, "pool_blocks": tuple(range(shape.depth))})
    config = ViewConfig(size=shape.size, patch=shape.patch)
    cells = config.grid[0] * config.grid[1]
    noise = torch.rand(len(images), cells, PATCH_DRAWS, generator=torch.Generator().manual_seed(seed))
    found: dict[Fill, list[float]] = {}
    for fill in fills:
        view, tokens, offsets = replace(config, fill=fill), [], []
        for some, drawn in zip(images.split(BATCH), noise.split(BATCH), strict=True):
            moved, offset = shifted(some, view, drawn)
            with torch.inference_mode():
                tokens.append(torch.stack([block.cpu() for block in every.blocks(moved.to(every.device))]))
            offsets.append(offset)
        made, known = torch.cat(tokens, 1).numpy(), torch.cat(offsets).numpy()  # (blocks, n, G, D), (n, G, 2)
        found[fill] = [offset_r2(block, known) for block in made]
    return {"r2": found, "limit": config.shift_limit, "n": len(images) // 2 * cells}


def offset_r2(tokens: NDArray[Any], offsets: NDArray[Any]) -> float:
    """R^2 on held-out images of ridge from a token to its offset.

    Args:
        tokens: (n, G, D). offsets: (n, G, 2). Images 0, 2, 4, ... are fitted on, the others are held out.

    Returns:
        the mean over both axes: 1 is perfect, 0 is no better than the mean offset, below 0 is worse.
    """
    (x, y), (held, known) = (
        [part[start::2].reshape(-1, part.shape[-1]).astype(np.float64) for part in (tokens, offsets)] for start in (0, 1)
    )
    reader = make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(x, y)
    return float(r2_score(known, reader.predict(held)))
