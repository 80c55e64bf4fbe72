"""The two views of shifted patchify: one base crop, then augmentation and shift per patch (CLICv2, figure 3; chapter 3)."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from clicv2lite.method.augmentation import AugmentConfig, augment
from clicv2lite.method.crop_mix import MIX_DRAWS, mixed
from clicv2lite.method.masking import random_mask, take
from clicv2lite.method.patches import Grid, neighbourhoods, offsets, patchify, shift, windows
from clicv2lite.method.pixels import normalize
from clicv2lite.method.targets import TargetConfig, reconstruction_target, target_size
from clicv2lite.ranges import Share, ShareBelowOne

CROP_DRAWS, PATCH_DRAWS = 5, 7  # uniform numbers for the crop of one image, and for one patch in one view


@dataclass(frozen=True)
class ViewConfig(TargetConfig, AugmentConfig, Grid):
    """How the views are made. Defaults: the paper's; where the paper is silent, the book's decisions page gives reasons."""

    mask_ratio: ShareBelowOne = 0.6
    max_shift: Annotated[int, Ge(-1), Le(8192)] = -1  # pixels; -1 is a quarter of the patch, 0 switches the shift off
    zeros: Literal["after", "before"] = "after"  # shift after normalisation (zeros are the mean colour) or before it
    fill: Literal["zeros", "edge", "image"] = "zeros"  # what enters: zeros, the patch's edge pixels, or its neighbours' pixels
    crop: Literal["resized", "window", "given"] = "resized"  # random resized crop, window at full scale, or cropped already
    crop_min: Share = 0.5  # smallest area of the base crop, as a share of the image
    crop_mix: Share = 0.0  # share of images that become mixes of their own crops (see method.crop_mix)
    key_patches: Literal["visible", "full"] = "visible"  # the key encoder sees the same patches as the query, or all patches

    @property
    def shift_limit(self) -> int:
        """Largest shift in pixels."""
        return self.patch // 4 if self.max_shift < 0 else self.max_shift

    @property
    def target_size(self) -> int:
        """How many numbers the decoder predicts per patch; 0 without a decoder."""
        return target_size(self.target, self.patch)


class Views(NamedTuple):
    """What the model sees of a batch (figure 4): V visible and M masked patches of G."""

    query: Tensor  # (B, V, 3, p, p), normalised, augmented, shifted
    key: Tensor  # (B, V, 3, p, p), the same patches (or all G), augmented and shifted independently
    visible: Tensor  # (B, V) int64, position of each visible patch
    masked: Tensor  # (B, M) int64, position of each masked patch
    target: Tensor  # (B, M, T) what the decoder must predict for each clean masked patch; T = 1 for entropy, 0 for none


def uniform(seed: int, epoch: np.ndarray, index: np.ndarray, count: int) -> Tensor:
    """Random numbers that depend only on (seed, epoch, sample index). Batch, rank and restarts do not change them.

    Args:
        seed: 0 or more.
        epoch, index: (B,) int64, how often the sample was seen before, and its index in the data set.
        count: how many numbers a sample needs.

    Returns:
        (B, count) float32 in [0, 1), from one Philox stream per sample. (Sample 0 shares the beginning of its stream with the
        order of its epoch: another counter would change every stored run.)
    """
    rows = [
        np.random.Generator(np.random.Philox(key=[seed, e], counter=[0, 0, 0, i])).random(count)
        for e, i in zip(epoch.tolist(), index.tolist(), strict=True)
    ]
    # rounding to float32 may reach 1.0, which would index past the last choice
    return torch.from_numpy(np.stack(rows)).float().clamp_(max=1 - 2**-24)


def draws_per_image(config: ViewConfig) -> int:
    """How many uniform numbers :func:`make_views` needs per image."""
    g = config.grid[0] * config.grid[1]
    return CROP_DRAWS + g + 2 * g * PATCH_DRAWS + (MIX_DRAWS if config.crop_mix else 0)


def crop_boxes(noise: Tensor, height: int, width: int, crop_min: float) -> Tensor:
    """Boxes of a random resized crop: random area and position, the image's aspect ratio times 3/4 to 4/3.

    Args:
        noise: (B, 4) uniform in [0, 1).
        height, width: size of the images, pixels.
        crop_min: smallest area, as a share of the image, in (0, 1].

    Returns:
        (B, 4) int64: top, left, height, width, inside the image.
    """
    share_h, share_w = crop_shares(noise, crop_min)
    h = (share_h * height).round().clamp(min=1)
    w = (share_w * width).round().clamp(min=1)
    top = (noise[:, 2] * (height - h + 1)).floor()
    left = (noise[:, 3] * (width - w + 1)).floor()
    return torch.stack([top, left, h, w], 1).long()


def crop_shares(noise: Tensor, crop_min: float) -> tuple[Tensor, Tensor]:
    """Height and width of the boxes of :func:`crop_boxes`, as shares of the image: (B, 4) noise -> (B,), (B,) in (0, 1]."""
    area = crop_min + (1 - crop_min) * noise[:, 0]
    ratio = torch.exp((noise[:, 1] * 2 - 1) * np.log(4 / 3))
    return (area / ratio).sqrt().clamp(max=1), (area * ratio).sqrt().clamp(max=1)


def window_boxes(noise: Tensor, height: int, width: int, size: int) -> Tensor:
    """Square boxes of side ``size`` at a random position: (B, 5) noise -> (B, 4), as crop_boxes. No image may be smaller."""
    top = (noise[:, 2] * (max(height, size) - size + 1)).floor()
    left = (noise[:, 3] * (max(width, size) - size + 1)).floor()
    side = torch.full_like(top, size)
    return torch.stack([top, left, side, side], 1).long()


def base_crop(images: Tensor, noise: Tensor, config: ViewConfig) -> Tensor:
    """The crop that both views share: random resized crop and mirror (section 3.1: no crop per view, unlike figure 2).

    Args:
        images: (B, 3, H, W) uint8. If ``config.crop`` is ``given``, they are cropped already: (B, 3, size, size).
        noise: (B, 5) uniform in [0, 1).

    Returns:
        (B, 3, size, size) float32 in [0, 1].
    """
    size, (height, width) = (config.size, config.size), images.shape[-2:]
    if config.crop == "given":
        return torch.where((noise[:, 4] < 0.5)[:, None, None, None], images.flip(-1), images).float().div_(255)
    if config.crop == "window":
        boxes = window_boxes(noise, height, width, config.size).tolist()
    else:
        boxes = crop_boxes(noise[:, :4], height, width, config.crop_min).tolist()
    out = torch.empty(len(images), 3, *size, dtype=torch.uint8, device=images.device)
    for image, (top, left, h, w), mirror, slot in zip(images, boxes, (noise[:, 4] < 0.5).tolist(), out, strict=True):
        part = image[:, top : top + h, left : left + w]
        if part.shape[-2:] != size:
            part = F.interpolate(part[None], size, mode="bilinear", antialias=True)[0]
        slot.copy_(part.flip(-1) if mirror else part)
    return out.float().div_(255)


def drawn_offsets(noise: Tensor, limit: int) -> Tensor:
    """How far :func:`one_view` moves the content of each patch: noise (..., 7) in [0, 1) -> (..., 2) int64, (dy, dx) pixels."""
    direction = (noise[..., 5] * 8).long()
    distance = 1 + (noise[..., 6] * limit).long()  # uniform in 1..limit
    return offsets(direction, distance.clamp(max=limit))


def one_view(patches: Tensor, noise: Tensor, config: ViewConfig) -> Tensor:
    """Augment, normalise and shift clean patches (figure 3).

    Args:
        patches: (B, V, 3, p, p) in [0, 1]; with ``fill=image``, each with a margin of ``config.shift_limit`` pixels.
        noise: (B, V, 7) uniform in [0, 1).

    Returns:
        (B, V, 3, p, p), normalised.
    """
    if config.augment == "patch":
        patches = augment(patches, noise[..., :5], config)
    offset = drawn_offsets(noise, config.shift_limit)
    if config.fill == "edge":
        patches = F.pad(patches.flatten(1, 2), [config.shift_limit] * 4, mode="replicate").unflatten(1, patches.shape[1:3])
    if config.fill != "zeros":
        return normalize(windows(patches, offset, config.shift_limit))
    if config.zeros == "after":
        return shift(normalize(patches), offset)
    return normalize(shift(patches, offset))


def view_of(
    base: Tensor, noise: Tensor, config: ViewConfig, places: Tensor | None = None, clean: Tensor | None = None
) -> Tensor:
    """One view of a base crop, augmented as a whole or patch by patch: (B, 3, S, S), noise (B, G, 7) -> (B, V, 3, p, p).

    Args:
        places: (B, V) int64, which patches; None for all of them.
        clean: (B, G, 3, p, p), the crop's patches, if they are cut already.
    """
    if config.augment == "image":
        base, clean = augment(base[:, None], noise[:, :1, :5], config)[:, 0], None
    if config.fill == "image":
        cells = neighbourhoods(base, config.patch, config.shift_limit)
    else:
        cells = patchify(base, config.patch) if clean is None else clean
    return one_view(cells, noise, config) if places is None else one_view(take(cells, places), take(noise, places), config)


def make_views(images: Tensor, noise: Tensor, config: ViewConfig) -> Views:
    """Shifted patchify of a batch: base crop, mask, and two views of the visible patches (figure 3).

    >>> import torch
    >>> from clicv2lite.method.views import ViewConfig, draws_per_image, make_views
    >>> images, config = torch.zeros(2, 3, 100, 80, dtype=torch.uint8), ViewConfig(size=64, patch=16)  # 4 x 4 patches
    >>> views = make_views(images, torch.rand(2, draws_per_image(config)), config)
    >>> views.query.shape, views.target.shape
    (torch.Size([2, 6, 3, 16, 16]), torch.Size([2, 10, 1]))

    Args:
        images: (B, 3, H, W) uint8.
        noise: (B, draws_per_image(config)) uniform in [0, 1), see :func:`uniform`.

    Returns:
        Views. The entropy target is in bits, or in [0, 1] if ``config.unit`` is ``normalised``.
    """
    g = config.grid[0] * config.grid[1]
    parts = [CROP_DRAWS, g, 2 * g * PATCH_DRAWS]
    crop_noise, mask_noise, view_noise, mix_noise = noise.split([*parts, noise.shape[1] - sum(parts)], dim=1)
    base = base_crop(images, crop_noise, config)
    if config.crop_mix:
        base = mixed(base, mix_noise, config.crop_mix, partial(augment, config=replace(config, augment="patch")))
    clean = patchify(base, config.patch)  # (B, G, 3, p, p)
    visible, masked = random_mask(mask_noise, config.mask_ratio)
    query_noise, key_noise = view_noise.reshape(len(images), g, 2, PATCH_DRAWS).unbind(2)
    places = visible if config.key_patches == "visible" else torch.arange(g, device=images.device).expand(len(images), g)
    return Views(
        query=view_of(base, query_noise, config, visible, clean),
        key=view_of(base, key_noise, config, places, clean),
        visible=visible,
        masked=masked,
        target=reconstruction_target(take(clean, masked), config),
    )
