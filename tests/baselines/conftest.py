"""Generated images with ratings."""

import numpy as np
import pytest
from PIL import Image

from clicv2lite.data.worlds import render


@pytest.fixture
def rated(tmp_path):
    """rated(n, side): a table of n images of rising complexity, of two categories in turn."""

    def make(n, side):
        rows = ["image,score,category"]
        for i, level in enumerate(np.linspace(0.05, 0.95, n)):
            category = ("cells", "glyphs")[i % 2]
            Image.fromarray(render(category, level, i, side)).save(tmp_path / f"{i}.png")
            rows.append(f"{i}.png,{level:.3f},{category}")
        path = tmp_path / "ratings.csv"
        path.write_text("\n".join(rows))
        return path

    return make
