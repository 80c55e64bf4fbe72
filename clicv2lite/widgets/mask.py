"""Masked entropy modeling to play with: what is visible, and what the decoder must predict (CLICv2, figure 2; chapter 5)."""

from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import traitlets as t

from clicv2lite.entropy import LUMA, default_bins, patch_entropy
from clicv2lite.masking import random_mask
from clicv2lite.patches import grid_size, patchify, unpatchify
from clicv2lite.widgets.draws import uniforms
from clicv2lite.widgets.explorer import PATCH_SIZES, Explorer, as_batch, front_end


class Masked(NamedTuple):
    """A masked image and the entropy of its patches, h x w patches of p pixels."""

    visible: np.ndarray  # (h * p, w * p, 4) uint8 RGBA, transparent where masked
    entropy: np.ndarray  # (h, w) float32, bits, of the clean patches
    target: np.ndarray  # (h, w) float32, bits: the entropy of the masked patches, NaN where visible


def masked_entropy(image: np.ndarray, patch: int, ratio: float, seed: int) -> Masked:
    """Mask an image and measure its patches, with ``random_mask`` and ``patch_entropy`` of the package.

    Args:
        image: (H, W, 3) uint8; H and W are multiples of ``patch``.
        patch: side of a patch, pixels; the histograms have ``default_bins(patch)`` bins.
        ratio: share of masked patches, in [0, 1).
        seed: of :func:`clicv2lite.widgets.draws.uniforms`, one number a patch.
    """
    h, w = grid = grid_size(image.shape[0], image.shape[1], patch)
    visible, _ = random_mask(uniforms(seed, h * w)[None], ratio)
    seen = torch.zeros(h * w, dtype=torch.bool).index_fill_(0, visible[0], True)
    entropy = patch_entropy(patchify(as_batch(image), patch)[0])
    opaque = unpatchify((seen * 255).to(torch.uint8)[None, :, None, None, None].expand(1, h * w, 1, patch, patch), grid)
    alpha = opaque[0, 0, :, :, None].numpy()
    return Masked(
        visible=np.concatenate([np.where(alpha, image, 0), alpha], axis=2),
        entropy=entropy.reshape(grid).numpy(),
        target=entropy.masked_fill(seen, torch.nan).reshape(grid).numpy(),
    )


class MaskExplorer(Explorer):
    """Sliders for the mask ratio, the patch size and the seed; visible patches, entropy map, and the decoder's target.

    Args:
        image: (H, W, 3) uint8; its central square is shown at 224 px.
        settings: ``patch`` (8, 16, 32 or 56), ``ratio`` (0 to 0.95), ``seed``, ``grid`` (lines between the patches).

    Raises:
        UserError: if the image is no uint8 RGB array.
        TypeError: if a setting has no such name.
        traitlets.TraitError: if a setting has a value that cannot be drawn.
    """

    settings: ClassVar[tuple[str, ...]] = ("patch", "ratio", "seed", "grid")
    _esm = front_end("mask")

    ratio = t.Float(0.6, min=0, max=0.95, help="share of masked patches").tag(sync=True)

    def __init__(self, image: np.ndarray, **settings: Any) -> None:
        super().__init__(image, {"luma": list(LUMA), "bins": [default_bins(p) for p in PATCH_SIZES]}, **settings)

    def result(self) -> Masked:
        """What is drawn now, made by the package's own functions."""
        return masked_entropy(self.image, self.patch, self.ratio, self.seed)
