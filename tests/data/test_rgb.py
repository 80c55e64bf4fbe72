import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clicv2lite.data import rgb as module
from clicv2lite.data.images import ImageError, read_square
from clicv2lite.data.rgb import REDUCING_GAP, few_levels, rgb, squashed

MODES = ("1", "L", "LA", "P", "P transparent", "RGB", "RGB transparent", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I", "F")


def of_mode(mode: str, width: int, height: int, seed: int) -> Image.Image:
    values = np.random.default_rng(seed)
    pixels = values.integers(0, 256, (height, width, 4), dtype=np.uint8)
    if mode in ("I;16", "I"):
        levels = values.integers(0, 65536, (height, width))
        return Image.fromarray(levels.astype(np.uint16 if mode == "I;16" else np.int32))
    if mode == "F":
        return Image.fromarray(values.random((height, width), dtype=np.float32))
    if mode == "RGBA":
        return Image.fromarray(pixels)
    if mode == "LA":
        return Image.fromarray(np.ascontiguousarray(pixels[..., :2]))
    if mode.startswith("P"):
        image = Image.fromarray(pixels[..., 0]).convert("P")
        image.putpalette(values.integers(0, 256, 768).tolist())
    elif mode.startswith("RGB"):
        image = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    else:
        image = Image.fromarray(np.ascontiguousarray(pixels[..., :3])).convert(mode)
    if mode == "P transparent":
        image.info["transparency"] = bytes(values.integers(0, 256, 256).tolist())
    if mode == "RGB transparent":
        image.info["transparency"] = image.getpixel((0, 0))
    return image


def at_once(image: Image.Image) -> Image.Image:
    """What `rgb` does to a small image."""
    return module._part(image.copy(), "image")


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(MODES), st.integers(1, 90), st.integers(1, 90), st.integers(1, 20), st.integers(1, 600), st.integers(0, 9)
)
def test_strips_give_the_same_pixels_as_the_whole_to_the_bit(mode, width, height, size, strip, seed):
    image = of_mode(mode, width, height, seed)
    want = at_once(image)
    square = want.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    before, module.STRIP = module.STRIP, strip
    try:
        np.testing.assert_array_equal(np.asarray(rgb(image, "image")), np.asarray(want))
        np.testing.assert_array_equal(np.asarray(squashed(image, size, "image")), np.asarray(square))
    finally:
        module.STRIP = before


def float_tiff(*values: float) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.array([values], dtype=np.float32)).save(buffer, "TIFF")
    return buffer.getvalue()


def test_rounding_beyond_0_to_1_is_clipped_and_more_is_an_error_with_the_right_advice():
    assert read_square(float_tiff(-1e-6, 1.000001, 1.0009), 3)[0, 0].tolist() == [0, 255, 255]
    for high, advice in ((1.01, "save the image"), (255.0, "divide them by 255"), (256.0, "save the image")):
        with pytest.raises(ImageError, match=rf"outside 0\.\.1; .*{advice}"):
            read_square(float_tiff(0, high), 3)
    with pytest.raises(ImageError, match=r"from -1 to 255 are outside 0\.\.1; save"):
        read_square(float_tiff(-1, 255), 3)


def gray16(top: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.linspace(0, top, 64).round().astype(np.uint16).reshape(8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


def rgb16_tiff(top: int) -> bytes:
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    levels = np.linspace(0, top, 192).round().astype(np.uint16).reshape(8, 8, 3)
    tifffile.imwrite(buffer, levels, photometric="rgb")
    return buffer.getvalue()


def test_levels_of_12_bits_in_16_are_noted_once_and_not_changed():
    notes = []
    got = read_square(gray16(4095), 8, "a.png", notes.append)
    assert notes == [
        "a.png: its levels use only 12 of 16 bits (maximum 4095); they are taken as they are, dark; "
        "to use the full range, multiply them by 16"
    ]
    assert got.equal(read_square(gray16(4095), 8)) and got.max() == 16
    read_square(rgb16_tiff(4095), 8, "a.tif", notes.append)
    assert len(notes) == 2 and "a.tif: its levels use only 12 of 16 bits;" in notes[1]


@pytest.mark.parametrize("data", [gray16(65535), gray16(20000), gray16(0)], ids=["full", "15 bits", "black"])
def test_levels_that_use_the_range_are_not_noted(data):
    read_square(data, 8, "a.png", pytest.fail)


def test_big_endian_levels_are_noted_and_read_as_little_endian_ones(tmp_path):
    levels, said, squares = np.linspace(0, 4095, 900).reshape(30, 30), [], []
    for name, kind in (("big.tif", ">u2"), ("little.tif", "<u2")):
        pixels = levels.astype(kind)
        mode = "I;16B" if kind[0] == ">" else "I;16"
        Image.frombytes(mode, (30, 30), pixels.tobytes()).save(tmp_path / name)
        squares.append(read_square(tmp_path / name, 8, note=said.append))
    assert squares[0].equal(squares[1]) and all("use only 12 of 16 bits (maximum 4095)" in line for line in said)
    assert len(said) == 2


def test_colours_of_8_bits_are_not_noted():
    assert few_levels(Image.new("RGB", (3, 3), (9, 9, 9)), deep=False) == ""


def test_a_large_image_with_alpha_takes_little_more_memory_than_its_pixels(tmp_path):
    """3000 x 3000 RGBA are 36 MB decoded; composited whole, they took four times as much."""
    resource = pytest.importorskip("resource")
    del resource
    Image.new("RGBA", (3000, 3000), (9, 99, 199, 77)).save(tmp_path / "a.png", compress_level=1)
    code = (
        "import resource, sys\nfrom clicv2lite.data.images import read_square\nread_square(sys.argv[2], 224)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "read_square(sys.argv[1], 224)\nprint((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    Image.new("RGBA", (300, 300)).save(tmp_path / "b.png")
    done = subprocess.run(
        [sys.executable, "-c", code, *(str(tmp_path / n) for n in ("a.png", "b.png"))], capture_output=True, check=True
    )
    assert int(done.stdout) < 70
