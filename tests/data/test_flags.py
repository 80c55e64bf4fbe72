import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from skimage import data

from clicv2lite.data.flags import border, image_flags
from clicv2lite.data.inputs import square


def flags(pixels):
    """The flags of (h, w, 3) uint8, as `score` finds them."""
    size = []
    seen = square(np.ascontiguousarray(pixels), 448, sized=size.append)
    before = seen.clone()
    found = image_flags(seen, size[0])
    assert torch.equal(seen, before)  # what is scored stays as it is
    return found


PHOTO = data.coffee()


def test_photographs_have_no_flag():
    assert [flags(image) for image in (PHOTO, data.astronaut(), data.chelsea(), data.rocket())] == [()] * 4


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_picture_is_uniform_and_nothing_else(level):
    assert flags(np.full((300, 400, 3), level, np.uint8)) == ("uniform",)
    noise = np.random.default_rng(0).integers(-2, 3, (300, 400, 3)) + np.clip(level, 2, 253)
    assert flags(noise.astype(np.uint8)) == ("uniform",)


@pytest.mark.parametrize(("side", "want"), [(111, ("small",)), (112, ())])
def test_small_is_a_shorter_side_below_112(side, want):
    assert flags(np.asarray(Image.fromarray(PHOTO).resize((200, side)))) == want


@pytest.mark.parametrize(("width", "want"), [(600, ()), (601, ("narrow",))])
def test_narrow_is_more_than_three_to_one_either_way(width, want):
    wide = np.asarray(Image.fromarray(PHOTO).resize((width, 200)))
    assert flags(wide) == want and flags(wide.transpose(1, 0, 2)) == want


@pytest.mark.parametrize("sides", [(60, 60, 0, 0), (0, 0, 90, 0), (30, 10, 20, 30)])
def test_a_border_is_measured_as_the_share_of_the_image_in_its_bands(sides):
    top, bottom, left, right = sides
    image = np.pad(data.astronaut(), ((top, bottom), (left, right), (0, 0)), constant_values=20)
    assert "border" in flags(image)
    noise = np.random.default_rng(0).integers(0, 256, (80, 90)).astype(np.int16)
    padded = np.pad(noise, ((top, bottom), (left, right)), constant_values=20)
    assert border(padded) == pytest.approx(1 - noise.size / padded.size)
    assert border(noise) == 0 and border(np.full((5, 5), 7, np.int16)) == 1


def test_a_page_of_words_is_text_and_shapes_are_drawn():
    page = Image.new("RGB", (600, 600), "white")
    draw = ImageDraw.Draw(page)
    for y in range(10, 590, 14):
        draw.text((10, y), "the score of an image is a number between zero and one " * 2, "black")
    assert "text" in flags(np.asarray(page))
    shapes = Image.new("RGB", (600, 600), "white")
    draw = ImageDraw.Draw(shapes)
    draw.ellipse((60, 80, 400, 400), "red", "black", 5)
    draw.rectangle((0, 300, 600, 600), "navy")
    found = flags(np.asarray(shapes))
    assert "drawn" in found and "text" not in found
