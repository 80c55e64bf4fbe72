import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clicv2lite.data.decode import crop, crop_by_pillow, decode
from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import ImageError, read_image
from clicv2lite.data.sources import open_images


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """Smooth colours and some noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    return Image.fromarray((np.asarray(coarse) + rng.normal(0, 6, (height, width, 3))).clip(0, 255).astype(np.uint8))


def same(data: bytes) -> None:
    np.testing.assert_array_equal(decode(data), np.asarray(read_image(data)))


@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70)), st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]), st.integers(5, 100),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_a_jpeg_has_the_pixels_of_pillow(shape, subsampling, quality, progressive, gray):
    image = picture(*shape)
    if gray:
        same(encoded(image.convert("L"), quality=quality, progressive=progressive))
    else:
        same(encoded(image, quality=quality, progressive=progressive, subsampling=subsampling))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_other_formats_have_the_pixels_of_pillow(kind):
    same(encoded(picture(30, 41), kind))


def test_odd_images_have_the_pixels_of_pillow():
    image = picture(24, 33)
    same(encoded(image.convert("CMYK")))
    same(encoded(image.convert("RGBA").rotate(9), "PNG"))
    same(encoded(Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160), "PNG"))
    same(encoded(image, keep_rgb=True))  # a JPEG whose three channels are not YCbCr


@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation_is_applied_as_pillow_does(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    same(encoded(picture(24, 33), exif=exif))


def test_xmp_orientation_and_broken_exif_are_taken_as_pillow_does():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    same(encoded(picture(24, 33), xmp=xmp))
    same(encoded(picture(24, 33), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))


@given(st.floats(0, 0.999), st.booleans())
def test_a_cut_jpeg_fails_as_it_does_with_pillow(share, progressive):
    data = encoded(picture(40, 40), progressive=progressive)
    data = data[: int(share * len(data))]
    try:
        want = np.asarray(read_image(data, "a.jpg"))
    except ImageError as error:
        with pytest.raises(ImageError) as caught:
            decode(data, "a.jpg")
        assert str(caught.value) == str(error)
    else:
        np.testing.assert_array_equal(decode(data), want)


def test_too_many_pixels_are_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 999)
    with pytest.raises(ImageError, match=r"a\.jpg: more than 999 pixels"):
        decode(encoded(picture(25, 40)), "a.jpg")


@given(st.data(), st.integers(20, 300), st.integers(20, 300), st.sampled_from([16, 32, 96]))
def test_a_crop_is_that_of_pillow_and_torchvision_within_two_levels(data, height, width, size):
    h, w = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    box = data.draw(st.integers(0, height - h)), data.draw(st.integers(0, width - w)), h, w
    file = encoded(picture(height, width), quality=90)
    got, want = (f(file, box=lambda *shape: box, size=size) for f in (crop, crop_by_pillow))
    assert got.shape == (3, size, size) and got.dtype == want.dtype
    assert (got.int() - want.int()).abs().max() <= 2


def test_the_box_is_asked_for_with_the_size_of_the_upright_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    seen = []

    def all_of_it(height, width):
        seen.append((height, width))
        return 0, 0, height, width

    for data in (encoded(picture(40, 60)), encoded(picture(60, 40), exif=exif), encoded(picture(40, 60), "PNG")):
        crop(data, box=all_of_it, size=16)
    assert seen == [(40, 60)] * 3


def test_the_photographs_in_the_wheels_agree():
    for name, path in photographs().items():
        data = path.read_bytes()
        np.testing.assert_array_equal(decode(data), np.asarray(read_image(data)), name)


@pytest.mark.skipif("CLICV2LITE_DATA" not in os.environ, reason="CLICV2LITE_DATA is not set")
def test_the_development_photographs_agree():
    images = open_images([str(Path(os.environ["CLICV2LITE_DATA"]) / "photos/photos-000000.tar")])

    def part(height, width):
        return height // 8, width // 9, height * 3 // 4, width * 4 // 5

    for i in range(0, 2000, 20):
        data = images.read(i)
        same(data)
        got, want = (f(data, box=part, size=224) for f in (crop, crop_by_pillow))
        assert (got.int() - want.int()).abs().max() <= 2
