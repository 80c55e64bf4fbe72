"""Shifted patchify to play with: both views of a picture; every patch has its own shift (CLICv2, figure 3; chapter 3)."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clicv2lite.extras import extra
from clicv2lite.method.entropy import LUMA
from clicv2lite.method.patches import DIRECTIONS, grid_size, patchify, unpatchify
from clicv2lite.method.pixels import MEAN, denormalize
from clicv2lite.method.views import PATCH_DRAWS, ViewConfig, one_view
from clicv2lite.widgets.draws import uniforms
from clicv2lite.widgets.explorer import PATCH_SIZES, Explorer, Pictures, as_batch, front_end

with extra("notebooks"):
    import traitlets as t

Zeros = Literal["after", "before"]
VIEWS = ("query", "key")


class ViewPair(NamedTuple):
    """Two views of an image, and how much of it they keep."""

    query: np.ndarray  # (H, W, 3) uint8
    key: np.ndarray  # (H, W, 3) uint8
    query_kept: float  # share of the image's pixels that are still in the query view
    key_kept: float  # the same for the key view
    shared: float  # share of pixels that are still in both views, at any position


def _sources(noise: Tensor, config: ViewConfig) -> Tensor:
    """Which pixels of each clean patch are still in its view: noise (1, G, 7) -> (G, p * p) bool.

    The trick: make the view of a picture in which pixel k has the colour k / p^2. Colour 0 then came in from outside.
    """
    p, g = config.patch, noise.shape[1]
    colour = torch.arange(1, p * p + 1, dtype=torch.float64) / (p * p)
    moved_only = replace(config, zeros="before", color=0, blur=0)
    view = one_view(colour.reshape(p, p).expand(1, g, 3, p, p), noise, moved_only)
    found = (denormalize(view)[0, :, 0] * p * p).round().long().reshape(g, p * p)
    return torch.zeros(g, p * p + 1, dtype=torch.bool).scatter_(1, found, True)[:, 1:]


def turned(noise: Tensor, overrides: Mapping[str, int]) -> Tensor:
    """A copy of the noise of the views, with some directions set by hand: noise (1, G, 2, 7) -> the same shape.

    Args:
        noise: for each patch in each view, as for :func:`clicv2lite.method.views.one_view`.
        overrides: ``{"query:17": 3}`` shifts patch 17 of the query view in the direction ``DIRECTIONS[3]``.
    """
    noise = noise.clone()
    for name, direction in overrides.items():
        view, k = name.split(":")
        noise[0, int(k), VIEWS.index(view), 5] = (direction + 0.5) / 8  # one_view() computes floor(8 * noise)
    return noise


def view_pair(
    image: np.ndarray,
    patch: int,
    max_shift: int,
    seed: int,
    augment: bool,
    zeros: Zeros,
    overrides: Mapping[str, int] | None = None,
) -> ViewPair:
    """The two views of shifted patchify, unmasked, as :func:`clicv2lite.method.views.one_view` makes them.

    Args:
        image: (H, W, 3) uint8; H and W are multiples of ``patch``.
        patch: side of a patch, pixels.
        max_shift: largest shift, pixels. Each patch of each view draws a distance in 1..max_shift; 0 switches the shift off.
        seed: seed of :func:`clicv2lite.widgets.draws.uniforms`. A patch uses its numbers in the same way as in ``make_views``.
        augment: mirror, recolour and blur each patch first.
        zeros: shift after normalisation (zeros are the mean colour) or before it (zeros are black).
        overrides: directions set by hand, see :func:`turned`. The other directions are random.

    Returns:
        The views as pictures, that is, not normalised.
    """
    h, w = grid_size(image.shape[0], image.shape[1], patch)
    config = ViewConfig(patch=patch, max_shift=max_shift, zeros=zeros, augment="patch" if augment else "none")
    drawn = uniforms(seed, h * w * 2 * PATCH_DRAWS).reshape(1, h * w, 2, PATCH_DRAWS)
    noise = turned(drawn, overrides or {}).unbind(2)
    clean = patchify(as_batch(image), patch)  # (1, G, 3, p, p)
    views = [unpatchify(denormalize(one_view(clean, n, config)), (h, w)) for n in noise]
    query, key = ((v[0].permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).numpy() for v in views)
    in_query, in_key = (_sources(n, config) for n in noise)
    share = [float(s.double().mean()) for s in (in_query, in_key, in_query & in_key)]
    return ViewPair(query, key, *share)


class PatchifyExplorer(Explorer):
    """Sliders for the patch size, the largest shift and the seed; the query and the key view side by side.

    Choose a patch to change its direction by hand: with the keys 1 to 8, a button or a double click.

    Args:
        image: (H, W, 3) uint8, or a dict name -> image. The central square is shown at 224 px.
        settings: ``picture`` (a name in the dict), ``patch`` (8, 16, 32 or 56), ``max_shift`` (pixels; default: a quarter of
            the patch), ``seed``, ``augment``, ``zeros`` ("after" or "before" normalisation), ``overrides``
            (``{"query:17": 3}``, directions 0 to 7 set by hand, see :func:`turned`; a new patch size removes them),
            ``grid`` and ``arrows`` (lines over the picture).

    Raises:
        UserError: if an image is not a uint8 RGB array.
        TypeError: if there is no setting of this name.
        traitlets.TraitError: if the value of a setting cannot be drawn.
    """

    settings: ClassVar[tuple[str, ...]] = (
        "picture",
        "patch",
        "max_shift",
        "seed",
        "augment",
        "zeros",
        "overrides",
        "grid",
        "arrows",
    )
    _esm = front_end("patchify")

    max_shift = t.Int(8, min=0, max=PATCH_SIZES[-1], help="largest shift, pixels").tag(sync=True)
    augment = t.Bool(False, help="augment each patch before its shift").tag(sync=True)
    zeros = t.Enum[Zeros](("after", "before"), "after", help="shift after or before normalisation").tag(sync=True)
    overrides = t.Dict(key_trait=t.Unicode(), value_trait=t.Int(min=0, max=7), help="directions set by hand").tag(sync=True)
    arrows = t.Bool(True, help="show where each patch moves").tag(sync=True)

    def __init__(self, image: Pictures, **settings: Any) -> None:
        if settings.get("patch", 32) in PATCH_SIZES:
            settings.setdefault("max_shift", settings.get("patch", 32) // 4)
        default = ViewConfig()
        constants = {
            "directions": [list(step) for step in DIRECTIONS],
            "mean": list(MEAN),
            "draws": PATCH_DRAWS,
            "flip": default.flip,
            "luma": list(LUMA),
            "color": default.color,
            "blur": default.blur,
        }
        super().__init__(image, constants, **settings)
        self.observe(self._forget, "patch")

    def _forget(self, _: Any) -> None:
        self.overrides = {}  # the same number is now another patch

    @t.validate("overrides")
    def _in_the_grid(self, proposal: Any) -> Any:
        patches = (self.constants["side"] // self.patch) ** 2
        for name in proposal["value"]:
            if not (re.fullmatch(r"(query|key):(0|[1-9]\d{0,2})", name) and int(name.split(":")[1]) < patches):
                raise t.TraitError(f"The 'overrides' trait names query:0 to key:{patches - 1}, not {name!r}")
        return proposal["value"]

    def result(self) -> ViewPair:
        """What is drawn now, computed by the package's own functions."""
        return view_pair(self.image, self.patch, self.max_shift, self.seed, self.augment, self.zeros, self.overrides)
