"""Pictures of a page are WebP of a known size that come late; drawings stay as they are to the bit."""

import numpy as np
import pytest

pytest.importorskip("sphinx")
from PIL import Image

from clicv2lite.data.embedded import photographs


def test_tag_and_link_name_the_smaller_file_and_the_size_of_the_picture(extension):
    sizes = {"a.png": (300, 200), "b.png": (80, 60)}
    first = '<a href="../_images/a.png"><img alt="A &gt; B" src="../_images/a.png" style="width: 40%" /></a>'
    body = f'{first} <img src="_images/b.png">'
    assert extension("light_images").light(body, sizes.__getitem__) == (
        '<a href="../_images/a.webp"><img alt="A &gt; B" src="../_images/a.webp" style="width: 40%"'
        ' width="300" height="200" loading="lazy" decoding="async" /></a>'
        ' <img src="_images/b.webp" width="80" height="60" loading="lazy" decoding="async" />'
    )
    other = '<img src="../_static/x.png"> <img src="../_images/x.svg"> <img src="data:image/png;base64,AA==">'
    other += '<a href="https://other.org/_images/x.png"><img src="https://other.org/_images/x.png"></a>'  # theirs
    assert extension("light_images").light(other, sizes.__getitem__) == other


def test_wide_picture_says_how_narrow_its_words_let_it_become(extension):
    light = extension("light_images").light
    wide = light('<img alt="A" src="../_images/a.png">', lambda name: (1000, 300))
    assert wide.startswith('<span class="wide-picture" style="--least: 550px"><img alt="A"') and wide.endswith("/></span>")
    assert "wide-picture" not in light('<img alt="A" src="../_images/a.png">', lambda name: (700, 300))


def test_a_drawing_loses_nothing_a_photograph_little_and_a_hole_stays_a_hole(extension, tmp_path):
    drawing = np.full((200, 300, 3), 255, np.uint8)
    drawing[50:60, 20:280] = (31, 119, 180)
    hole = np.dstack([drawing, np.full((200, 300), 255, np.uint8)])
    hole[:20, :, 3] = 0
    with Image.open(photographs()["coffee"]) as image:
        photograph = np.asarray(image.convert("RGB"))
    for name, pixels, error in (("drawing", drawing, 0), ("hole", hole, 0), ("photograph", photograph, 4)):
        png = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(png)
        before = png.stat().st_size
        extension("light_images").convert(png)
        assert [path.name for path in tmp_path.glob(f"{name}*")] == [f"{name}.webp"]
        webp = png.with_suffix(".webp")
        with Image.open(webp) as image:
            got = np.asarray(image)
        assert got.shape == pixels.shape
        seen = pixels if pixels.shape[2] == 3 else pixels * (pixels[..., 3:] > 0)
        got = got if got.shape[2] == 3 else got * (got[..., 3:] > 0)
        assert np.abs(got.astype(int) - seen).mean() <= error
        assert webp.stat().st_size < before
