import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from torch import uint8

from clicv2lite.data.images import ImageError, read_image, read_square, square_of, to_square


def noise(width: int, height: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def scene(width: int, height: int) -> Image.Image:
    """A picture with content that survives JPEG: colour ramps and a few hard edges."""
    y, x = np.mgrid[0:height, 0:width]
    ramps = np.stack([255 * x / width, 255 * y / height, 127 + 120 * np.sin(x / 9) * np.cos(y / 13)], -1)
    ramps[height // 4 : height // 2, width // 4 : width // 2] = (200, 30, 90)
    return Image.fromarray(ramps.astype(np.uint8))


def encoded(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image)


def fails(source, *words: str) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(source)
    line = str(caught.value)
    assert "\n" not in line and "Traceback" not in line
    for word in words:
        assert word in line, line
    return line


@pytest.mark.parametrize("format", ["PNG", "BMP", "PPM", "TIFF", "WEBP"])
def test_lossless_formats_come_back_exactly(format):
    data = noise(13, 7)
    options = {"lossless": True} if format == "WEBP" else {}
    np.testing.assert_array_equal(pixels(read_image(encoded(Image.fromarray(data), format, **options))), data)


def test_a_path_a_string_and_bytes_give_the_same_picture(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(noise(9, 9)), "PNG"))
    for source in (path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(pixels(read_image(source)), noise(9, 9))


@pytest.mark.parametrize("width, height", [(1, 1), (20000, 3), (3, 20000)])
def test_extreme_shapes_are_read_and_squared(width, height):
    data = noise(width, height)
    image = read_image(encoded(Image.fromarray(data), "PNG"))
    np.testing.assert_array_equal(pixels(image), data)
    square = to_square(image, 32)
    assert square.shape == (3, 32, 32) and square.dtype == uint8


def test_gray_becomes_three_equal_channels():
    level = noise(8, 8)[..., 0]
    got = pixels(read_image(encoded(Image.fromarray(level), "PNG")))
    np.testing.assert_array_equal(got, np.stack([level] * 3, -1))


def test_one_bit_becomes_black_and_white():
    image = Image.fromarray(noise(16, 16)[..., 0] > 127)
    assert set(np.unique(pixels(read_image(encoded(image, "PNG"))))) == {0, 255}


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_gray_is_scaled_not_clipped(format):
    level = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    got = pixels(read_image(encoded(Image.fromarray(level), format)))
    np.testing.assert_array_equal(got[0, :, 0], [0, 1, 128, 255])


def test_big_endian_16_bit_gray_is_scaled():
    image = Image.frombytes("I;16B", (4, 1), struct.pack(">4H", 0, 257, 32768, 65535))
    np.testing.assert_array_equal(pixels(read_image(encoded(image, "TIFF")))[0, :, 1], [0, 1, 128, 255])


def test_float_gray_in_0_to_1_is_scaled_and_anything_else_is_refused():
    def float_tiff(values):
        return encoded(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF")

    np.testing.assert_array_equal(pixels(read_image(float_tiff([0, 0.5, 1])))[0, :, 2], [0, 128, 255])
    for wrong in (-0.1, 1.5, np.nan):
        fails(float_tiff([0, wrong]), "outside 0..1", "save")
    fails(encoded(Image.fromarray(np.array([[0, 70000]], dtype=np.int32)), "TIFF"), "integers outside 0..65535")


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_converted(format):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan: red
    assert np.abs(pixels(read_image(encoded(image, format))).astype(int) - (255, 0, 0)).max() <= 3


@given(st.integers(0, 255), st.tuples(*[st.integers(0, 255)] * 3))
def test_alpha_is_composited_on_white(alpha, colour):
    got = pixels(read_image(encoded(Image.new("RGBA", (2, 2), (*colour, alpha)), "PNG")))[0, 0]
    want = [(channel * alpha + 255 * (255 - alpha)) / 255 for channel in colour]
    assert np.abs(got - np.array(want)).max() <= 1


def test_gray_with_alpha_is_composited_on_white():
    got = pixels(read_image(encoded(Image.new("LA", (2, 2), (0, 0)), "PNG")))
    assert (got == 255).all()


def test_palette_without_transparency_keeps_its_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(pixels(read_image(encoded(image, "PNG"))), [[[10, 20, 30], [200, 100, 50]]])


def test_a_size_that_is_none_is_not_blamed_on_the_file():
    image = Image.new("RGB", (2, 1))
    for square in (lambda: read_square(encoded(image, "PNG"), 0), lambda: square_of(image, 0)):
        with pytest.raises(ValueError, match="a side of 1 pixel or more, not 0") as error:
            square()
        assert not isinstance(error.value, ImageError)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "F"])
@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_an_image_of_pil_without_pixels_is_none(mode, size):
    with pytest.raises(ImageError, match=rf"^mine: {size[0]} x {size[1]} pixels is no image's size; give 1 x 1 or more$"):
        square_of(Image.new(mode, size), 4, "mine")


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])], ids=["one index", "alpha per index"])
def test_transparent_palette_entries_become_white(transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    got = pixels(read_image(encoded(image, "PNG", transparency=transparency)))
    np.testing.assert_array_equal(got, [[[10, 20, 30], [255, 255, 255]]])


def test_a_transparent_colour_of_an_rgb_png_becomes_white():
    image = Image.fromarray(np.array([[[1, 2, 3], [9, 9, 9]]], dtype=np.uint8))
    got = pixels(read_image(encoded(image, "PNG", transparency=(1, 2, 3))))
    np.testing.assert_array_equal(got, [[[255, 255, 255], [9, 9, 9]]])


def test_a_transparent_level_of_a_16_bit_gray_png_becomes_white():
    image = Image.fromarray(np.array([[6000, 6001], [40000, 6000]], dtype=np.uint16))
    data = encoded(image, "PNG")
    clear = b"tRNS" + (6000).to_bytes(2, "big")
    chunk = (2).to_bytes(4, "big") + clear + zlib.crc32(clear).to_bytes(4, "big")
    at = data.index(b"IDAT") - 4
    np.testing.assert_array_equal(pixels(read_image(data[:at] + chunk + data[at:]))[..., 0], [[255, 23], [156, 255]])


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_stands_for_an_animation(format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    assert np.abs(pixels(read_image(data)).astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    stored = noise(5, 3)
    # What a viewer shows for each orientation, written out with numpy.
    shown = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: np.rot90(stored.transpose(1, 0, 2), 2),
        8: np.rot90(stored, 1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = pixels(read_image(encoded(Image.fromarray(stored), "PNG", exif=exif)))
    np.testing.assert_array_equal(got, shown)


def test_the_orientation_counts_if_another_tag_is_broken():
    orientation, resolution = b"\1\x12\0\3\0\0\0\1\0\6\0\0", b"\1\x1a\0\2\0\0\0\4abc\0"  # which is in letters
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\2" + orientation + resolution + b"\0\0\0\0"
    stored = noise(5, 3)
    got = read_image(encoded(Image.fromarray(stored), "PNG", exif=exif))
    np.testing.assert_array_equal(pixels(got), np.rot90(stored, -1))
    assert got.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0rubbish", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12"])
def test_broken_exif_neither_fails_nor_warns(exif):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert read_image(encoded(scene(32, 32), "JPEG", exif=exif)).size == (32, 32)
    assert not heard


def test_a_decompression_bomb_is_refused_at_pils_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    read_image(encoded(Image.new("RGB", (10, 10)), "PNG"))
    for side in (11, 200):  # PIL warns of the first and raises at the second
        fails(encoded(Image.new("RGB", (side, 10)), "PNG"), "image: more than 100 pixels", "smaller")


def test_a_real_bomb_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(encoded(Image.new("1", (10000, 10000)), "PNG"))
    assert path.stat().st_size < 100_000
    fails(path, "bomb.png: more than 89,478,485 pixels")


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]), st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_an_error_or_lost_no_pixel(format, fraction):
    whole = encoded(scene(40, 30), format)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            got = read_image(whole[: int(fraction * len(whole))])
        except ImageError as error:
            assert "\n" not in str(error)
        else:
            np.testing.assert_array_equal(pixels(got), pixels(read_image(whole)))
    assert not heard


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP"])
def test_half_a_file_is_an_error(format):
    whole = encoded(Image.fromarray(noise(64, 64)), format)
    fails(whole[: len(whole) // 2], "corrupt or truncated", "fetch it again")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP"]), st.data())
def test_flipped_bytes_never_raise_anything_else(format, data):
    broken = bytearray(encoded(scene(24, 24), format))
    for at in data.draw(st.lists(st.integers(0, len(broken) - 1), min_size=1, max_size=8)):
        broken[at] ^= data.draw(st.integers(1, 255))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            assert read_image(bytes(broken)).mode == "RGB"
        except ImageError as error:
            assert "\n" not in str(error)
    assert not heard


@given(st.binary(max_size=200))
def test_random_bytes_are_one_line(data):
    fails(data, "image: ")


def test_html_named_jpg_is_called_a_web_page(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_text("\n <!DOCTYPE html><html><body>404</body></html>")
    fails(path, "photo.jpg", "web page (HTML)", "fetch")


def test_svg_and_text_are_named_for_what_they_are(tmp_path):
    fails(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG", "PNG")
    fails(b"just a note", "not an image")


@pytest.mark.posix
def test_missing_empty_folder_and_pipe(tmp_path):
    fails(tmp_path / "none.jpg", "none.jpg", "no such file")
    (tmp_path / "empty.jpg").touch()
    fails(tmp_path / "empty.jpg", "empty.jpg", "the file is empty")
    fails(b"", "empty")
    fails(tmp_path, str(tmp_path), "a folder")
    os.mkfifo(tmp_path / "pipe.jpg")
    fails(tmp_path / "pipe.jpg", "pipe.jpg", "not a regular file")
    fails(tmp_path / "empty.jpg" / "below.jpg", "below.jpg")


def test_an_unreadable_file_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(scene(4, 4), "PNG"))

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)  # chmod would not stop the superuser
    fails(path, "a.png", "no permission")


def test_a_disk_error_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")

    def broken(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("builtins.open", broken)
    fails(path, "a.png", "Input/output error")


def test_a_given_name_replaces_the_path_and_stays_on_one_line():
    with pytest.raises(ImageError, match=r"^x\.tar/a\\nb  c\.jpg: "):
        read_image(b"no", name="x.tar/a\nb  c.jpg")
    with pytest.raises(ImageError) as caught:
        read_image(b"no", name=os.fsdecode(b"caf\xe9.jpg"))
    str(caught.value).encode("utf-8")


def test_no_file_stays_open(tmp_path, monkeypatch):
    good, bad = tmp_path / "good.gif", tmp_path / "bad.gif"
    good.write_bytes(encoded(scene(20, 20), "GIF"))
    bad.write_bytes(good.read_bytes()[:200])
    opened = []
    original = open

    def noted(*args, **options):
        opened.append(original(*args, **options))
        return opened[-1]

    monkeypatch.setattr("builtins.open", noted)
    read_image(good)
    fails(bad)
    assert len(opened) == 2 and all(file.closed for file in opened)


def test_to_square_squashes_the_whole_image():
    image = Image.new("RGB", (60, 20), "red")
    image.paste("blue", (30, 0, 60, 20))
    square = to_square(image, 10)
    assert square[:, :, 0].T.tolist() == [[255, 0, 0]] * 10
    assert square[:, :, 9].T.tolist() == [[0, 0, 255]] * 10


@pytest.mark.parametrize("width, height", [(640, 480), (97, 211), (31, 17)])
def test_to_square_agrees_with_torchvision(width, height):
    resize = pytest.importorskip("torchvision.transforms").Resize((48, 48))
    image = scene(width, height)
    want = np.asarray(resize(image)).astype(int)
    assert np.abs(to_square(image, 48).permute(1, 2, 0).numpy() - want).max() <= 4


def test_read_square_takes_the_fast_road_and_shows_the_same_picture(tmp_path):
    path = tmp_path / "big.jpg"
    scene(1600, 1200).save(path, quality=95)
    assert read_image(path, at_least=128).size == (200, 150)
    assert read_image(path, at_least=151).size == (400, 300)
    slow, fast = to_square(read_image(path), 64).int(), read_square(path, 64).int()
    assert (slow - fast).abs().float().mean() < 1


def test_at_least_never_goes_below_and_leaves_other_formats_alone():
    jpeg, png = encoded(scene(90, 60), "JPEG"), encoded(scene(90, 60), "PNG")
    assert read_image(jpeg, at_least=100).size == (90, 60)
    assert read_image(jpeg, at_least=30).size == (45, 30)
    assert read_image(png, at_least=30).size == (90, 60)


def test_this_process_does_not_fill_truncated_images():
    assert not ImageFile.LOAD_TRUNCATED_IMAGES, "a dependency switched on PIL's silent filling"


@pytest.mark.skipif("CLICV2LITE_DATA" not in os.environ, reason="CLICV2LITE_DATA is not set")
def test_real_photographs_are_read():
    folder = Path(os.environ["CLICV2LITE_DATA"]) / "savoias/Images/Art"
    for path in sorted(folder.iterdir())[:5]:
        assert read_square(path, 32).float().std() > 1
