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


def sees(grid):
    """The flags of a square of which they see (40, 80) gray levels or (40, 80, 3)."""
    colours = np.broadcast_to(grid.reshape(40, 80, -1), (40, 80, 3)).astype(np.uint8)
    return image_flags(torch.from_numpy(colours.repeat(4, 0).repeat(2, 1)).permute(2, 0, 1), (448, 448))


NOISE = np.random.default_rng(0).integers(0, 256, (40, 80))


@pytest.mark.parametrize(("deviation", "want"), [(3, True), (4, False), (5, False)])
def test_uniform_is_a_deviation_below_4_levels(deviation, want):
    grid = np.full((40, 80), 100 - deviation)
    grid[:, ::2] += 2 * deviation
    assert ("uniform" in sees(grid)) is want


@pytest.mark.parametrize(("columns", "want"), [(7, False), (9, True)])
def test_a_border_is_a_tenth_of_the_image(columns, want):  # of 80 columns, that is eight
    grid = NOISE.copy()
    grid[:, :columns] = 20
    assert ("border" in sees(grid)) is want


@pytest.mark.parametrize(("columns", "want"), [(46, False), (50, True)])
def test_drawn_has_six_tenths_in_four_colours(columns, want):  # of 80 columns, that is 48
    grid = np.random.default_rng(0).integers(0, 256, (40, 80, 3))
    grid[:, :columns] = 20
    assert ("drawn" in sees(grid)) is want


@pytest.mark.parametrize(("equal", "want"), [(38, False), (41, True)])
def test_drawn_has_a_quarter_of_equal_neighbours(equal, want):  # of 79 along a row half, if there are none along a column
    steps = np.arange(80) > equal
    grid = 40 + 80 * (steps.cumsum() % 2) + 40 * (np.arange(40)[:, None] % 2)  # four colours
    assert ("drawn" in sees(grid)) is want


@pytest.mark.parametrize(("ink", "coloured", "want"), [
    ([8 * k + 1 for k in range(8)], 0, True),
    ([*(8 * k + 1 for k in range(7)), 79], 0, False),  # 15 changes along a row, not 16
    ([x for x in range(80) if x % 8 < 3], 0, True),
    ([x for x in range(80) if x % 8 < 3 or x % 20 == 3], 0, False),  # 46 columns of ground, not 48
    ([8 * k + 1 for k in range(10)], 3, True),
    ([8 * k + 1 for k in range(10)], 5, False),  # of 40 rows the ink of 5 is coloured, not of 4
])  # fmt: skip
def test_text_is_dark_and_fine_on_a_ground(ink, coloured, want):
    grid = np.full((40, 80, 3), 255)
    grid[:, ink] = 0
    grid[:coloured, ink, 2] = 255
    assert ("text" in sees(grid)) is want


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
