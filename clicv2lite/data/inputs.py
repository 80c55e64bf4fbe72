"""Paths, PIL images, arrays and tensors -> the squares that an encoder sees (book chapter 12)."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clicv2lite.data.images import as_rgb, read_square, to_square
from clicv2lite.device import cores
from clicv2lite.errors import UserError

KINDS = "a path, a PIL image, a NumPy array (H, W, 3) or (H, W), a tensor (C, H, W), or a list of them"
CHANNELS = (1, 3, 4)


def listed(images: Any) -> tuple[list[Any], bool]:
    """The single images in what a caller gave.

    Args:
        images: one image, an iterable of images, or a batch: NumPy (N, H, W, C) or tensor (N, C, H, W).

    Returns:
        The single images, not empty, and whether it was one image and not a collection.

    Raises:
        UserError: if it is neither, or a collection without images.
    """
    if isinstance(images, str | Path | Image.Image):
        return [images], True
    array = isinstance(images, Tensor) or (isinstance(images, np.ndarray) and images.dtype.kind not in "OU")
    if array and images.ndim in (2, 3):
        return [images], True
    if (array and images.ndim != 4) or isinstance(images, Mapping | bytes) or not isinstance(images, Iterable):
        shape = f" of shape {tuple(images.shape)}" if array else ""
        raise UserError(f"images: {type(images).__name__}{shape}: neither an image nor several; give {KINDS}")
    found = list(images)
    if not found:
        raise UserError("images: there is none in what was given; name one or more")
    return found, False


def square(image: Any, size: int, name: str = "image") -> Tensor:
    """One image, its aspect ratio squashed as `clicv2lite score` does it.

    Args:
        image: a path; a PIL image of any mode; NumPy (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); a tensor (H, W) or
            (C, H, W). Arrays and tensors are uint8 0..255 or floats 0..1, their channels gray, RGB or RGBA.
        size: side of the square in pixels.
        name: what to call an image without a path in an error.

    Returns:
        (3, size, size) uint8.

    Raises:
        UserError: if the file cannot be read, or the shape, type or range is none of these.
    """
    if isinstance(image, str | Path):
        return read_square(image, size)
    if isinstance(image, Tensor):
        if image.ndim == 3 and image.shape[0] not in CHANNELS and image.shape[-1] in CHANNELS:
            raise UserError(f"{name}: tensor {tuple(image.shape)}: channels come first; permute(2, 0, 1), or give .numpy()")
        image = image.detach().cpu()
        if image.dtype == torch.bfloat16:  # which NumPy does not know
            image = image.float()
        image = (image.movedim(0, -1) if image.ndim == 3 else image).numpy()
    elif isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[-1] not in CHANNELS and image.shape[0] in CHANNELS:
        raise UserError(f"{name}: array {image.shape}: channels come last; transpose(1, 2, 0), or give a tensor")
    if isinstance(image, np.ndarray):
        image = Image.fromarray(_bytes(image, name))
    if not isinstance(image, Image.Image):
        raise UserError(f"{name}: {type(image).__name__} is not an image; give {KINDS}")
    return to_square(as_rgb(image, name), size)


def squares(images: list[Any], size: int, batch_size: int = 32) -> Iterator[Tensor]:
    """Batches of (at most `batch_size`, 3, size, size) uint8 of single images, in order; errors as `square`."""
    names = [f"image {i}" if len(images) > 1 else "image" for i in range(len(images))]
    with ThreadPoolExecutor(max_workers=min(16, cores())) as pool:
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            group = images[part]
            yield torch.stack(list(pool.map(square, group, [size] * len(group), names[part])))


def _bytes(pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """(H, W) or (H, W, C) of a defined type and range -> (H, W), (H, W, 3) or (H, W, 4) uint8."""
    if pixels.ndim not in (2, 3) or 0 in pixels.shape or (pixels.ndim == 3 and pixels.shape[-1] not in CHANNELS):
        raise UserError(f"{name}: shape {pixels.shape} is no image's; give (H, W) or (H, W, 3), as a tensor (3, H, W)")
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype.kind == "f":
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):  # also true of nan
            raise UserError(f"{name}: floats from {low:.4g} to {high:.4g} are outside 0..1; divide bytes by 255 first")
        pixels = np.round(pixels.astype(np.float64) * 255).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise UserError(f"{name}: {pixels.dtype} is not a type of pixels here; give uint8 0..255 or floats 0..1")
    return np.ascontiguousarray(pixels)
