"""Patches and the shift that gives shifted patchify its name (CLICv2, section 3.1, figure 3; book chapter 3)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clicv2lite.ranges import Pixels

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
    """Side of the square image that the encoder sees, and of its patches. Defaults: the paper's ViT-B/32."""

    size: Pixels = 224  # side of the square (the base crop), pixels
    patch: Pixels = 32  # side of a patch, pixels

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches; ValueError if the patches do not tile the square."""
        return grid_size(self.size, self.size, self.patch)


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images into G = h * w patches, row by row (equation 6).

    >>> import torch
    >>> from clicv2lite.method.patches import patchify
    >>> patchify(torch.rand(2, 3, 224, 224), 32).shape
    torch.Size([2, 49, 3, 32, 32])

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
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(b, h * w, c, patch, patch).contiguous()  # with one row it is a view


def unpatchify(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """Put patches back together: the inverse of :func:`patchify` (equation 6).

    >>> import torch
    >>> from clicv2lite.method.patches import patchify, unpatchify
    >>> images = torch.rand(2, 3, 64, 96)
    >>> torch.equal(unpatchify(patchify(images, 32), (2, 3)), images)
    True

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
    """Turn a direction and a distance into a pixel offset (figure 3: eight directions).

    Args:
        direction: (...,) int64 in 0..7, an index into ``DIRECTIONS``.
        distance: (...,) int64, pixels (a diagonal direction moves by this distance along both axes).

    Returns:
        (..., 2) int64, (dy, dx).
    """
    table = torch.tensor(DIRECTIONS, dtype=torch.long, device=direction.device)
    return table[direction] * distance.unsqueeze(-1)


def shift(patches: Tensor, offset: Tensor) -> Tensor:
    """Move the content of each patch inside its own cell (section 3.1, figure 3).

    Pixels that leave the cell are lost, and zeros fill the gap.

    >>> import torch
    >>> from clicv2lite.method.patches import shift
    >>> patch = torch.tensor([[[1, 2], [3, 4]]])
    >>> shift(patch, torch.tensor([0, 1]))  # one pixel to the right
    tensor([[[0, 1],
             [0, 3]]])

    Args:
        patches: (..., C, p, p), any dtype.
        offset: (..., 2) int64, (dy, dx) of each patch in pixels: positive values move down and right.

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
    along = step[:, 0] * p + step[:, 1]  # a patch is one long row of pixels here: each move is a move along that row
    most = int(along.abs().max())
    windows = F.pad(flat, (most, most)).unfold(1, c * p * p, 1)  # every possible move of every patch, without a copy
    each = torch.arange(len(flat), device=patches.device)
    moved = windows[each, most - along].reshape(-1, c, p, p)
    # pixels that left on one side came in on the other side, or in the next channel: replace them by zeros
    source = torch.arange(p, device=patches.device) - step[:, :, None]  # (n, 2, p): row and column that a pixel comes from
    outside = (source < 0) | (source >= p)
    return moved.masked_fill_(outside[:, 0, None, :, None] | outside[:, 1, None, None, :], 0).reshape(patches.shape)


def neighbourhoods(images: Tensor, patch: int, margin: int) -> Tensor:
    """The patches of :func:`patchify`, each with the pixels around it; the image's edge pixels are repeated outside it.

    Args:
        images: (B, C, H, W), floating point.
        patch: side p of a patch in pixels.
        margin: how many pixels m around each patch.

    Returns:
        (B, G, C, p + 2m, p + 2m), contiguous.

    Raises:
        ValueError: if the patch size does not divide both sides.
    """
    grid_size(images.shape[-2], images.shape[-1], patch)
    wide, side = F.pad(images, [margin] * 4, mode="replicate"), patch + 2 * margin
    return wide.unfold(2, side, patch).unfold(3, side, patch).permute(0, 2, 3, 1, 4, 5).flatten(1, 2).contiguous()


def windows(wide: Tensor, offset: Tensor, margin: int) -> Tensor:
    """Move a window over patches with a margin: what :func:`shift` does, but pixels of the margin enter, not zeros.

    Args:
        wide: (..., C, p + 2m, p + 2m).
        offset: (..., 2) int64, (dy, dx) of the content in pixels, at most m.

    Returns:
        (..., C, p, p): ``out[y, x] = wide[m + y - dy, m + x - dx]``.
    """
    c, side = wide.shape[-3], wide.shape[-1]
    start = margin - offset.reshape(-1, 2)  # (n, 2)
    rows, columns = (start[:, :, None] + torch.arange(side - 2 * margin, device=wide.device)).unbind(1)  # (n, p) each
    each = torch.arange(len(start), device=wide.device)[:, None, None]
    found = wide.reshape(-1, c, side, side)[each, :, rows[:, :, None], columns[:, None, :]]  # (n, p, p, C)
    return found.movedim(-1, 1).reshape(*wide.shape[:-2], side - 2 * margin, side - 2 * margin)
