"""Paths, PIL images, arrays and tensors -> the squares that an encoder sees (book chapter 12)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clicv2lite.data.images import read_square, square_of
from clicv2lite.data.regular import MOST_BYTES
from clicv2lite.data.rgb import check_floats
from clicv2lite.device import cores
from clicv2lite.errors import UserError
from clicv2lite.interrupts import Threads
from clicv2lite.lines import Notes

KINDS = "a path, a PIL image, a NumPy array (H, W, 3) or (H, W), a tensor (C, H, W), a file's bytes, or a list of them"
CHANNELS = (1, 3, 4)


def listed(images: Any) -> tuple[list[Any], bool]:
    """The single images in what a caller gave.

    Args:
        images: one image (see `square`), an iterable of images, or a batch: NumPy (N, H, W, C) or tensor (N, C, H, W).

    Returns:
        The single images, not empty, and whether it was one image and not a collection.

    Raises:
        UserError: if it is neither, or a collection without images.
    """
    if isinstance(images, str | Path | Image.Image | bytes | bytearray | memoryview) or hasattr(images, "read"):
        return [images], True
    if hasattr(images, "columns") and hasattr(images, "shape"):  # of pandas or polars; iterating gives the column's names
        raise UserError(f"images: a {type(images).__name__} is no image; give its column of paths, as in frame['path']")
    array = isinstance(images, Tensor | np.ndarray)
    pixels = array and (isinstance(images, Tensor) or images.dtype.kind not in "OU")
    if pixels and images.ndim in (2, 3):
        return [images], True
    wrong = array and (images.ndim != 4 if pixels else images.ndim != 1)  # without pixels: paths or images
    if wrong or isinstance(images, Mapping) or not isinstance(images, Iterable):
        shape = f" of shape {tuple(images.shape)} and type {images.dtype}" if array else ""
        raise UserError(f"images: {type(images).__name__}{shape}: neither an image nor several; give {KINDS}")
    found = list(images)
    if not found:
        raise UserError("images: there is none in what was given; name one or more")
    return found, False


def square(
    image: Any,
    size: int,
    name: str = "image",
    note: Callable[[str], object] | None = None,
    sized: Callable[[tuple[int, int]], object] | None = None,
) -> Tensor:
    """One image, its aspect ratio squashed as `clicv2lite score` does it.

    Args:
        image: a path; the bytes of an image file, or such a file open for reading, which is read from its beginning; a PIL
            image of any mode; NumPy (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); a tensor (H, W) or (C, H, W). Arrays and
            tensors are uint8 0..255 or floats 0..1, give or take rounding; their channels are gray, RGB or RGBA.
        size: side of the square in pixels.
        name: what to call an image without a path in an error.
        note, sized: as in `read_square`.

    Returns:
        (3, size, size) uint8.

    Raises:
        UserError: if the file cannot be read, or the shape, type or range is none of these.
    """
    if isinstance(image, str | Path):
        return read_square(image, size, note=note, sized=sized)
    if hasattr(image, "read"):
        image = _content(image, name)
    if isinstance(image, bytes | bytearray | memoryview):
        return read_square(bytes(image), size, name, note, sized)
    if isinstance(image, Tensor):
        if image.ndim == 3 and image.shape[0] not in CHANNELS and image.shape[-1] in CHANNELS:
            raise UserError(f"{name}: tensor {tuple(image.shape)}: channels come first; permute(2, 0, 1), or give .numpy()")
        image = _array(image, name)
    elif isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[-1] not in CHANNELS and image.shape[0] in CHANNELS:
        raise UserError(f"{name}: array {image.shape}: channels come last; transpose(1, 2, 0), or give a tensor")
    if isinstance(image, np.ndarray):
        image = Image.fromarray(_bytes(image, name))
    if not isinstance(image, Image.Image):
        raise UserError(f"{name}: {type(image).__name__} is not an image; give {KINDS}")
    return square_of(image, size, name, note, sized)


def squares(
    images: list[Any], size: int, batch_size: int = 32, failed: Callable[[int, UserError], object] | None = None
) -> Iterator[Tensor]:
    """Batches of (at most `batch_size`, 3, size, size) uint8 of single images, in order.

    Args:
        failed: called with the place and the error of an image that cannot be used, and such an image is black.

    Raises:
        UserError: as `square`, unless there is `failed`.
    """

    def one(i: int) -> Tensor:
        try:
            return square(images[i], size, f"image {i}" if len(images) > 1 else "image", note)
        except UserError as error:
            if failed is None:
                raise
            failed(i, error)
            return torch.zeros(3, size, size, dtype=torch.uint8)

    with Threads(min(16, cores())) as threads, closing(Notes()) as note:
        for start in range(0, len(images), batch_size):
            yield torch.stack(list(threads.map(one, range(start, min(start + batch_size, len(images))))))


def _content(file: Any, name: str) -> bytes:
    """All that an open file holds, from its beginning if it can be set back."""
    try:
        if file.seekable():
            file.seek(0)
        data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError, AttributeError, TypeError) as error:  # ValueError: it is closed, or holds no text
        raise UserError(f"{name}: {type(file).__name__} cannot be read ({error!s}); open it again") from None
    if not isinstance(data, bytes):
        raise UserError(f"{name}: this file gives {type(data).__name__}, not bytes; open it with mode 'rb'")
    return data


def _array(tensor: Tensor, name: str) -> NDArray[Any]:
    """(H, W) or (C, H, W) -> (H, W) or (H, W, C)."""
    tensor = tensor.detach()
    try:
        tensor = tensor.cpu()
        if tensor.dtype == torch.bfloat16:  # which NumPy does not know
            tensor = tensor.float()
        array: NDArray[Any] = (tensor.movedim(0, -1) if tensor.ndim == 3 else tensor).numpy()
    except (RuntimeError, TypeError, NotImplementedError):  # sparse, quantised, on the device meta, of a type of torch's own
        raise UserError(
            f"{name}: a tensor of {tensor.dtype} ({tensor.layout}, {tensor.device}) gives no pixels; give uint8"
        ) from None
    return array


def _bytes(pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """(H, W) or (H, W, C) of a defined type and range -> (H, W), (H, W, 3) or (H, W, 4) uint8."""
    if pixels.ndim not in (2, 3) or 0 in pixels.shape or (pixels.ndim == 3 and pixels.shape[-1] not in CHANNELS):
        raise UserError(f"{name}: shape {pixels.shape} is no image's; give (H, W) or (H, W, 3), as a tensor (3, H, W)")
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype.kind == "f":
        advice = "undo what was done to them (a normalisation?), and give 0..1"
        check_floats(float(pixels.min()), float(pixels.max()), name, advice)
        pixels = np.round(pixels.astype(np.float64).clip(0, 1) * 255).astype(np.uint8)
    if pixels.dtype != np.uint8:
        advice = "take its magnitude, as" if pixels.dtype.kind == "c" else "give"
        raise UserError(f"{name}: {pixels.dtype} is not a type of pixels here; {advice} uint8 0..255 or floats 0..1")
    return np.ascontiguousarray(pixels)
