"""Image files with damage of every kind: each is a picture or one line."""

import io
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from skimage import data

from clicv2lite.data.decode import crop
from clicv2lite.data.images import ImageError, read_image, read_square
from tests.fuzz.mutations import damage, damaged

fuzz = settings.get_profile("fuzz")


def encoded(form, mode="RGB", **options):
    picture = Image.fromarray(data.astronaut()[100:164, 180:260]).convert(mode)
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


SEEDS = {
    "jpeg": lambda: encoded("JPEG"),
    "progressive jpeg": lambda: encoded("JPEG", progressive=True, exif=_turned()),
    "cmyk jpeg": lambda: encoded("JPEG", "CMYK"),
    "png": lambda: encoded("PNG"),
    "png of a palette": lambda: encoded("PNG", "P"),
    "png with alpha": lambda: encoded("PNG", "RGBA"),
    "gif": lambda: encoded("GIF", "P"),
    "bmp": lambda: encoded("BMP"),
    "tiff": lambda: encoded("TIFF"),
    "tiff of lzw": lambda: encoded("TIFF", compression="tiff_lzw"),
    "tiff of jpeg": lambda: encoded("TIFF", compression="jpeg"),
    "webp": lambda: encoded("WEBP"),
    "ppm": lambda: encoded("PPM"),
    "tga": lambda: encoded("TGA"),
    "jpeg 2000": lambda: encoded("JPEG2000"),
    "ico": lambda: encoded("ICO"),
    "eps": lambda: encoded("EPS"),
    "pdf": lambda: encoded("PDF"),
    **({"avif": lambda: encoded("AVIF")} if "AVIF" in Image.SAVE or features.check("avif") else {}),
}

REFUSED = ("ico", "eps", "pdf")  # Pillow could read them


def _turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def read(how, bytes_):
    """What `how` makes of the bytes, or the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning would stand among the lines of the command
        try:
            return how(bytes_)
        except ImageError as error:
            return error


@pytest.mark.parametrize("name", SEEDS)
@given(changes=damage)
@settings(fuzz)
def test_a_damaged_image_is_a_picture_or_one_line(name, changes, refused):
    bad = damaged(SEEDS[name](), changes)
    whole = read(lambda b: read_image(b, "bad"), bad)
    if isinstance(whole, Exception):
        refused(whole)
    else:
        assert whole.mode == "RGB" and whole.width * whole.height <= Image.MAX_IMAGE_PIXELS
    small = read(lambda b: read_square(b, 32, "bad"), bad)
    assert isinstance(small, Exception) or (small.shape == (3, 32, 32) and small.dtype == torch.uint8)
    part = read(lambda b: crop(b, "bad", box=lambda h, w: (0, 0, h, w), size=16), bad)
    assert isinstance(part, Exception) == isinstance(whole, Exception), "training and scoring take the same files"


@given(st.binary(max_size=200))
@settings(fuzz)
def test_any_bytes_are_a_picture_or_one_line(content):
    found = read(lambda b: read_image(b, "bytes"), content)
    assert isinstance(found, ImageError | Image.Image)


def test_the_seeds_are_pictures():
    good = [name for name in SEEDS if name not in REFUSED]
    for name in good:
        found = read(lambda b: read_image(b, "seed"), SEEDS[name]())
        assert isinstance(found, Image.Image) and np.asarray(found).std() > 1, (name, found)
    for name in REFUSED:
        assert isinstance(read(lambda b: read_image(b, "seed"), SEEDS[name]()), ImageError)
