"""Patches and the shift that gives shifted patchify its name (CLICv2, section 3.1, figure 3; book chapter 3)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clicv2lite.ranges import Count

# (dy, dx), clockwise from "up"; the paper's eight directions: vertical, horizontal, diagonal
DIRECTIONS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def grid_size(height: int, width: int, patch: int) -> tuple[int, int]:
    """Rows and columns of patches in an image of height x width pixels.

    Raises:
        ValueError: if the patch size does not divide both sides.
    """
    if patch < 1 or height % patch or width % patch or not height or not width:
        raise ValueError(f"patches of {patch} px do not tile an image of {height} x {width} px")
    return height // patch, width // patch


@dataclass(frozen=True)
class Grid:
    """The square that the encoder sees, and its patches; the paper's ViT-B/32."""

    size: Count = 224  # side of the square (the base crop), pixels
    patch: Count = 32  # side of a patch, pixels

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches; ValueError if they do not tile the square."""
        return grid_size(self.size, self.size, self.patch)


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images into G = h * w patches, row by row (equation 6).

    Args:
        images: (B, C, H, W), any dtype; H and W are multiples of ``patch``.
        patch: side p of a patch in pixels.

    Returns:
        (B, G, C, p, p), contiguous.

    Raises:
        ValueError: if the patch size does not divide both sides.
    """
    b, c, height, width = images.shape
    h, w = grid_size(height, width, patch)
    cells = images.reshape(b, c, h, patch, w, patch)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(b, h * w, c, patch, patch).contiguous()  # of one row it is a view


def unpatchify(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """Put patches back together: the inverse of :func:`patchify`.

    Args:
        patches: (B, G, C, p, p).
        grid: rows h and columns w, with G = h * w.

    Returns:
        (B, C, h * p, w * p).

    Raises:
        ValueError: if the grid does not hold G patches.
    """
    b, g, c, p, _ = patches.shape
    h, w = grid
    if h * w != g:
        raise ValueError(f"a grid of {h} x {w} does not hold {g} patches")
    return patches.reshape(b, h, w, c, p, p).permute(0, 3, 1, 4, 2, 5).reshape(b, c, h * p, w * p)


def offsets(direction: Tensor, distance: Tensor) -> Tensor:
    """Turn a direction and a distance into pixel offsets.

    Args:
        direction: (...,) int64 in 0..7, an index into ``DIRECTIONS``.
        distance: (...,) int64, pixels along both axes (a diagonal step moves both by the distance).

    Returns:
        (..., 2) int64, (dy, dx).
    """
    table = torch.tensor(DIRECTIONS, dtype=torch.long, device=direction.device)
    return table[direction] * distance.unsqueeze(-1)


def shift(patches: Tensor, offset: Tensor) -> Tensor:
    """Move each patch's content inside its own cell; what leaves is lost, zeros enter (section 3.1, figure 3).

    Args:
        patches: (..., C, p, p), any dtype.
        offset: (..., 2) int64, (dy, dx) in pixels of each patch: positive moves down and right.

    Returns:
        (..., C, p, p): ``out[y, x] = in[y - dy, x - dx]`` where that lies inside the cell, else 0.

    Raises:
        ValueError: if there is not one offset for each patch.
    """
    c, p = patches.shape[-3], patches.shape[-1]
    if offset.shape != (*patches.shape[:-3], 2):
        raise ValueError(f"offsets of shape {tuple(offset.shape)} for patches of shape {tuple(patches.shape)}")
    if not patches.numel():
        return patches.clone()
    flat = patches.reshape(-1, c * p * p)
    step = offset.reshape(-1, 2).to(patches.device).clamp(-p, p)
    along = step[:, 0] * p + step[:, 1]  # in a patch written as one row of pixels, a move is a move along the row
    most = int(along.abs().max())
    windows = F.pad(flat, (most, most)).unfold(1, c * p * p, 1)  # every move of every patch, no copy
    each = torch.arange(len(flat), device=patches.device)
    moved = windows[each, most - along].reshape(-1, c, p, p)
    # what left on one side has come in on the other, or from the next channel: zeros instead
    source = torch.arange(p, device=patches.device) - step[:, :, None]  # (n, 2, p): row and column it would come from
    outside = (source < 0) | (source >= p)
    return moved.masked_fill_(outside[:, 0, None, :, None] | outside[:, 1, None, None, :], 0).reshape(patches.shape)
