"""Masked entropy modeling to play with: visible patches, target and prediction (CLICv2, figure 4; book chapter 5)."""

from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.method.encoder import encode_visible
from clicv2lite.method.entropy import LUMA, default_bins, patch_entropy
from clicv2lite.method.masking import random_mask, take
from clicv2lite.method.patches import grid_size, patchify, unpatchify
from clicv2lite.method.pixels import normalize
from clicv2lite.widgets.draws import uniforms
from clicv2lite.widgets.explorer import PATCH_SIZES, SIDE, Explorer, Pictures, as_batch, front_end

with extra("notebooks"):
    import traitlets as t

RATIOS = tuple(k / 20 for k in range(20))  # positions of the slider
SEEDS = 10  # seeds for which every mask ratio is decoded in advance: a page without Python shows the model's own answers


class Masked(NamedTuple):
    """A masked image, the entropy of its patches and the predictions for the masked ones; h x w patches of p pixels."""

    visible: np.ndarray  # (h * p, w * p, 4) uint8 RGBA, transparent where masked
    entropy: np.ndarray  # (h, w) float32, bits, of the clean patches
    target: np.ndarray  # (h, w) float32, bits: the entropy of the masked patches, NaN where visible
    predictions: dict[str, np.ndarray]  # (h, w) float32 each, bits, NaN where visible; "decoder" only with a model
    errors: dict[str, float]  # mean squared error of each prediction, bits^2 (equation 11); NaN if nothing is masked


def neighbours_mean(entropy: Tensor, seen: Tensor) -> Tensor:
    """For each patch, the mean over its visible neighbours (of eight); without one, the mean over all visible patches.

    Args:
        entropy: (h, w).
        seen: (h, w) bool, at least one is True.

    Returns:
        (h, w) float64.
    """
    known = torch.stack([entropy.double() * seen, seen.double()])[:, None]  # sums and counts
    around = torch.ones(3, 3, dtype=torch.float64)
    around[1, 1] = 0
    total, count = F.conv2d(known, around[None, None], padding=1)[:, 0]
    return torch.where(count > 0, total / count, entropy.double()[seen].mean())


@torch.no_grad()
def decoded_entropy(model: CLICv2, image: np.ndarray, visible: Tensor, masked: Tensor) -> Tensor:
    """The decoder's prediction for the masked patches, if the query encoder sees the clean visible ones.

    Args:
        model: a model that predicts the entropy of patches in bits.
        image: (S, S, 3) uint8; S is the model's input size.
        visible, masked: (B, V) and (B, M) int64, several masks of the same image.

    Returns:
        (B, G) float32, bits; 0 where visible.
    """
    patches = normalize(patchify(as_batch(image).float(), model.config.encoder.patch)).expand(len(visible), -1, -1, -1, -1)
    assert model.decoder is not None
    tokens = encode_visible(model.query, take(patches, visible), visible)
    predicted = model.decoder(tokens, visible, masked)[..., 0]
    return predicted.new_zeros(patches.shape[:2]).scatter_(1, masked, predicted)


def decoded_table(model: CLICv2, image: np.ndarray) -> Tensor:
    """:func:`decoded_entropy` for every mask that a page can show: (RATIOS, SEEDS, G) float32."""
    patches = (model.config.encoder.size // model.config.encoder.patch) ** 2
    noise = torch.stack([uniforms(seed, patches) for seed in range(SEEDS)])
    return torch.stack([decoded_entropy(model, image, *random_mask(noise, ratio)) for ratio in RATIOS])


def masked_entropy(image: np.ndarray, patch: int, ratio: float, seed: int, model: CLICv2 | None = None) -> Masked:
    """Mask an image, measure its patches and predict the masked ones, with the package's own functions.

    Args:
        image: (H, W, 3) uint8; H and W are multiples of ``patch``.
        patch: side of a patch, pixels; the histograms have ``default_bins(patch)`` bins.
        ratio: share of masked patches, in [0, 1).
        seed: seed of :func:`clicv2lite.widgets.draws.uniforms`, which gives one number per patch.
        model: its decoder predicts, too; it must be made for this image side and patch. Two rules always predict:
            "neighbours", see :func:`neighbours_mean`, and "visible", the mean over all visible patches.
    """
    h, w = grid = grid_size(image.shape[0], image.shape[1], patch)
    visible, masked = random_mask(uniforms(seed, h * w)[None], ratio)
    seen = torch.zeros(h * w, dtype=torch.bool).index_fill_(0, visible[0], True)
    entropy = patch_entropy(patchify(as_batch(image), patch)[0])
    opaque = unpatchify((seen * 255).to(torch.uint8)[None, :, None, None, None].expand(1, h * w, 1, patch, patch), grid)
    alpha = opaque[0, 0, :, :, None].numpy()
    predictions = {
        "neighbours": neighbours_mean(entropy.reshape(grid), seen.reshape(grid)).flatten(),
        "visible": entropy.double()[seen].mean().expand(h * w),
    }
    if model is not None:
        predictions = {"decoder": decoded_entropy(model, image, visible, masked)[0].double(), **predictions}
    return Masked(
        visible=np.concatenate([np.where(alpha, image, 0), alpha], axis=2),
        entropy=entropy.reshape(grid).numpy(),
        target=entropy.masked_fill(seen, torch.nan).reshape(grid).numpy(),
        predictions={
            name: each.masked_fill(seen, torch.nan).reshape(grid).float().numpy() for name, each in predictions.items()
        },
        errors={name: float((each - entropy)[~seen].square().mean()) for name, each in predictions.items()},
    )


def patch_sizes(model: CLICv2 | None) -> list[int]:
    """The patch sizes to choose from: those that cut the picture into at least 2 x 2 patches, and the model's own.

    Raises:
        UserError: if the model does not predict exactly one number per patch.
    """
    if model is None:
        return list(PATCH_SIZES)
    if not isinstance(model, CLICv2):
        raise UserError(
            f"model: expected a CLICv2, got {type(model).__name__}; see clicv2lite.pretrain.export.load_pretraining"
        )
    if model.config.target_size != 1:
        raise UserError(
            f"model: predicts {model.config.target_size} numbers per patch; take one pretrained with target=entropy"
        )
    size = model.config.encoder
    return sorted({size.patch} | {p for p in PATCH_SIZES if size.size % p == 0 and size.size > p})


class MaskExplorer(Explorer):
    """Sliders for the mask ratio, the patch size and the seed; visible patches, entropy map, target and prediction.

    Args:
        image: (H, W, 3) uint8, or a dict name -> image. The central square is shown, at 224 px or at the model's side.
        model: a pretrained model. Its decoder predicts the masked patches at the model's own patch size, in bits, for
            ``default_bins`` histograms. Without a model a rule predicts: the mean of the visible neighbours.
        settings: ``picture`` (a name in the dict), ``patch`` (8, 16, 32 or 56 if it tiles the picture; default: the model's,
            or 32), ``ratio`` (0 to 0.95), ``seed``, ``grid`` (lines between the patches).

    Raises:
        UserError: if an image is not a uint8 RGB array, or the model does not predict entropy.
        TypeError: if there is no setting of this name.
        traitlets.TraitError: if the value of a setting cannot be drawn.
    """

    settings: ClassVar[tuple[str, ...]] = ("picture", "patch", "ratio", "seed", "grid")
    _esm = front_end("entropy", "mask")

    ratio = t.Float(0.6, min=0, max=0.95, help="share of masked patches").tag(sync=True)
    predictions = t.Bytes(b"", read_only=True).tag(sync=True)  # (pictures, RATIOS, SEEDS, G) float32, see decoded_table()
    answer = t.Dict(read_only=True).tag(sync=True)  # the current answer of the decoder, and its settings

    def __init__(self, image: Pictures, model: CLICv2 | None = None, **settings: Any) -> None:
        sizes = patch_sizes(model)
        self._model, own = model, model.config.encoder if model else None
        settings.setdefault("patch", own.patch if own else 32)
        constants = {
            "luma": list(LUMA),
            "patch_sizes": sizes,
            "bins": [default_bins(p) for p in sizes],
            "ratios": list(RATIOS),
            "model": own.patch if own else 0,
        }
        if model:
            constants["seeds"] = SEEDS
        super().__init__(image, constants, side=own.size if own else SIDE, **settings)
        if model:
            side = self.constants["side"]
            every = np.frombuffer(self.pixels, np.uint8).reshape(-1, side, side, 3)
            self.set_trait("predictions", torch.stack([decoded_table(model, each) for each in every]).numpy().tobytes())
            self.observe(self._ask, ["picture", "patch", "ratio", "seed"])
            self._ask()

    def _ask(self, _: Any = None) -> None:
        if "decoder" in (found := self.result()).predictions:
            values = np.nan_to_num(found.predictions["decoder"].ravel()).tolist()
            now = {name: getattr(self, name) for name in ("picture", "ratio", "seed")}
            self.set_trait("answer", {**now, "bits": values})

    def result(self) -> Masked:
        """What is drawn now, computed by the package's own functions."""
        model = self._model if self.patch == self.constants["model"] else None
        return masked_entropy(self.image, self.patch, self.ratio, self.seed, model)
