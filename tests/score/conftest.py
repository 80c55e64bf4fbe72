"""A tiny model and some pictures to score."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """A folder of nine pictures, each of its own noise."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(9):
        pixels = np.random.default_rng(i).integers(0, 25 * (i + 1), (20 + i, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder
