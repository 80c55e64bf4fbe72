"""What `score --map` writes of an image: a picture with a bar of its colours, or the numbers themselves (book chapter 12)."""

from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from clicv2lite.heads.heatmap import coloured

MapFormat = Literal["png", "npy", "tiff"]
FORMATS: tuple[MapFormat, ...] = get_args(MapFormat)
BAR, RAMP = 22, 8  # heights below the picture, pixels: of the bar, and of the colours in it
WORDS = 100  # width from which there is room for words, pixels


def with_bar(picture: Image.Image) -> Image.Image:
    """The picture with a strip below it, as wide as it is: the colours from simple to complex, and these two words.

    For a linear head the ends are the 2nd and the 98th percentile of the picture's own places: colours compare places of one
    image, not of two. For ICNet's head they are 0 and 1.

    Args:
        picture: mode RGB, an overlay, in which the colours are mixed with the image.

    Returns:
        mode RGB, BAR pixels higher.
    """
    width, height = picture.size
    whole = Image.new("RGB", (width, height + BAR), "white")
    whole.paste(picture, (0, 0))
    whole.paste(coloured(np.tile(np.linspace(0, 1, width), (RAMP, 1))), (0, height))
    if width >= WORDS:
        draw = ImageDraw.Draw(whole)
        draw.text((2, height + RAMP), "simple", "black")
        draw.text((width - 2 - draw.textlength("complex"), height + RAMP), "complex", "black")
    return whole


def write_values(path: Path, ending: str, complexity: NDArray[np.float64]) -> None:
    """Write the map of a model as it is: (h, w) float64 as .npy, or float32 as .tiff with one number a pixel."""
    with path.open("wb") as file:
        if ending == ".npy":
            np.save(file, complexity)
        else:
            Image.fromarray(complexity.astype(np.float32)).save(file, format="TIFF")
