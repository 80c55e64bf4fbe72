import io
import struct
import sys
import types
from contextlib import suppress

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from clicv2lite.data import formats
from clicv2lite.data.formats import FORMATS, has_decoder, of_head, other, readable_endings
from clicv2lite.data.images import ImageError, read_image, read_square


def encoded(format, image=None, **options):
    buffer = io.BytesIO()
    (image or Image.fromarray(picture())).save(buffer, format, **options)
    return buffer.getvalue()


def picture():
    return np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)


def said(data, name="x.jpg"):
    with pytest.raises(ImageError) as caught:
        read_image(data, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "DIB", "PPM", "TIFF", "TGA", "QOI", "JPEG2000", "WEBP"])
def test_lossless_formats_are_read_under_any_name_that_does_not_mislead(kind):
    if kind == "DIB":
        assert "not an image" in said(encoded("DIB"))  # a bitmap without its header: nothing marks it
        return
    options = {"lossless": True} if kind == "WEBP" else {}
    for name in ("x.jpg", "x", f"x.{kind.lower()}"):
        np.testing.assert_array_equal(np.asarray(read_image(encoded(kind, **options), name)), picture())


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "GIF", "AVIF"])
def test_lossy_formats_are_read(kind):
    if kind == "AVIF" and "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    options = {"save_all": True, "append_images": [Image.new("RGB", (17, 12))]} if kind == "MPO" else {}
    assert read_image(encoded(kind, **options)).size == (17, 12)


@pytest.mark.parametrize("kind", ["1", "L"])
def test_portable_bitmaps_and_graymaps_are_read(kind):
    image = Image.fromarray(picture()).convert(kind)
    np.testing.assert_array_equal(np.asarray(read_image(encoded("PPM", image)))[..., 0], np.asarray(image.convert("L")))


def test_postscript_named_jpg_starts_no_program(monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("Ghostscript was started"))
    eps = encoded("EPS", Image.new("RGB", (9, 9)))
    with pytest.raises(pytest.fail.Exception):  # this is how it would be: Pillow alone starts it
        Image.open(io.BytesIO(eps)).load()
    assert said(eps) == "x.jpg: an EPS file, which is not read; convert it to PNG"


OTHERS = {
    "an EPS file": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "a PDF file": b"%PDF-1.7\n",
    "a Photoshop file (PSD)": b"8BPS\0\1" + bytes(20),
    "a DICOM file": bytes(128) + b"DICM",
    "a FITS file": b"SIMPLE  =                    T",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n",
    "a WMF file": b"\xd7\xcd\xc6\x9a\0\0",
    "an EMF file": b"\1\0\0\0" + bytes(36) + b" EMF",
    "an ICO file": b"\0\0\1\0\1\0",
    "an ICNS file": b"icns\0\0\0\x20",
    "a DDS file": b"DDS \x7c\0\0\0",
    "an OpenEXR file": b"v/1\1\2\0\0\0",
    "a video": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
    "a ZIP archive": b"PK\3\4" + bytes(30),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_not_read_is_named(what):
    assert said(OTHERS[what] + bytes(600)) == f"x.jpg: {what}, which is not read; convert it to PNG"


def test_a_pointer_of_git_lfs_is_named():
    assert "git lfs pull" in said(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")


def test_every_signature_is_of_an_allowed_format_and_none_of_pillows_other_plugins_is_asked(monkeypatch):
    assert {kind for kind, _, _ in formats._IMAGES} | {"BMP", "PPM", "AVIF", "HEIF", "TGA"} == set(FORMATS)
    asked = []
    original = Image.open
    monkeypatch.setattr(
        Image, "open", lambda file, mode="r", formats=None: asked.append(formats) or original(file, mode, formats)
    )
    for data in (encoded("PNG"), encoded("GIF"), *OTHERS.values()):
        with suppress(ImageError):
            read_image(data)
    assert asked == [("PNG",), ("GIF",)]


def test_a_cameras_raw_file_is_not_read_as_its_thumbnail():
    tiff = encoded("TIFF")
    assert read_image(tiff, "x.tif").size == (17, 12)
    assert said(tiff, "x.NEF") == "x.NEF: a camera's raw file (.nef), which is not read; convert it to PNG"


def test_a_tga_without_a_footer_needs_its_name():
    old = encoded("TGA")[:-26]
    np.testing.assert_array_equal(np.asarray(read_image(old, "x.tga")), picture())
    assert "not an image" in said(old, "x.jpg")


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
JXL = b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100)


@pytest.mark.parametrize("data, package, kind", [(HEIC, "pillow-heif", "HEIF"), (JXL, "pillow-jxl-plugin", "JXL")])
def test_a_missing_plugin_is_named(data, package, kind, monkeypatch):
    monkeypatch.setitem(sys.modules, formats.PLUGINS[kind].module, None)
    assert said(data).startswith(f"x.jpg: a file of format {kind}, which is not read without a plugin; pip install {package}")


def test_a_plugin_that_is_installed_reads_its_format(monkeypatch):
    class Opened(Image.Image):
        format = "HEIF"

    def factory(file, name):
        image = Opened()
        image._size, image._mode, image.im = (5, 4), "RGB", Image.new("RGB", (5, 4), "red").im
        return image

    module = types.ModuleType("pillow_heif")
    module.register_heif_opener = lambda: Image.register_open("HEIF", factory, lambda head: head[4:8] == b"ftyp")
    module.__spec__ = types.SimpleNamespace(name="pillow_heif")
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    for cached in (readable_endings, has_decoder):
        cached.cache_clear()
    try:
        assert read_image(HEIC).getpixel((0, 0)) == (255, 0, 0)
        assert ".heic" in readable_endings()
    finally:
        Image.OPEN.pop("HEIF"), Image.ID.remove("HEIF")
        for cached in (readable_endings, has_decoder):
            cached.cache_clear()


def test_brands_of_the_iso_container_are_told_apart():
    box = b"\0\0\0\x1cftyp%s\0\0\0\0%s"
    assert of_head(box % (b"avif", b"mif1miaf")) == "AVIF" and of_head(box % (b"mif1", b"avifmiaf")) == "AVIF"
    assert of_head(box % (b"heic", b"mif1heic")) == "HEIF" and of_head(box % (b"mif1", b"heicmiaf")) == "HEIF"
    assert of_head(box % (b"mp42", b"isommp42")) is None and other(box % (b"mp42", b"isommp42")) == "a video"
    assert other(box % (b"crx ", b"crx isom"), images=True) == "a camera's raw file"
    assert other(box % (b"mp42", b"isommp42"), images=True) is None


@pytest.mark.parametrize("text", [b"BMW and other cars\n", b"P1 is the first\n", b"P2P networks", b"GIFs", b"II", b"Pf"])
def test_text_that_begins_like_an_image_is_none(text):
    assert of_head(text + b"a" * 30) is None


def bitfields_bmp():
    """16 bits with 4 for each of four channels: valid, and unknown to Pillow."""
    head = struct.pack("<IiiHHIIiiII", 56, 4, 2, 1, 16, 3, 16, 0, 0, 0, 0) + struct.pack("<4I", 0xF00, 0xF0, 0xF, 0xF000)
    return struct.pack("<2sIHHI", b"BM", 14 + len(head) + 16, 0, 0, 14 + len(head)) + head + bytes(16)


def tiff(compression, bits=8, samples=1):
    """A TIFF of 2 x 2 pixels with any content."""
    entries = [(256, 3, 2), (257, 3, 2), (258, 3, bits), (259, 3, compression), (262, 3, 1), (273, 4, 150), (277, 3, samples),
               (278, 3, 2), (279, 4, 40)]  # fmt: skip
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, kind, 1, v) for tag, kind, v in entries)
    return (b"II*\0" + struct.pack("<I", 8) + body + bytes(4)).ljust(150, b"\0") + b"RIFF" + bytes(36)


@pytest.mark.parametrize(
    "data, words",
    [
        (bitfields_bmp(), ("BMP", "Unsupported BMP bitfields layout")),
        (tiff(50001), ("TIFF", "webp")),
        (tiff(34892), ("TIFF", "34892")),  # lossy JPEG of DNG
        (tiff(1, bits=24), ("TIFF", "unknown pixel mode")),
    ],
    ids=["bitfields", "webp in tiff", "unknown compression", "24 bits gray"],
)
def test_a_variant_that_is_not_read_is_not_called_corrupt(data, words):
    line = said(data)
    assert "variant" in line and "convert it to PNG" in line and "corrupt" not in line
    assert all(word in line for word in words), line


def test_a_damaged_header_is_called_corrupt():
    assert "corrupt or truncated" in said(encoded("PNG")[:20])


def test_a_large_jpeg_2000_is_decoded_small_and_shows_the_same_picture():
    y, x = np.mgrid[0:480, 0:640]
    image = Image.fromarray(np.stack([x * 255 // 640, y * 255 // 480, (x + y) % 256], -1).astype(np.uint8))
    for options in ({}, {"no_jp2": True}, {"num_resolutions": 2}, {"num_resolutions": 1}):
        data = encoded("JPEG2000", image, **options)
        halvings = min(2, options.get("num_resolutions", 6) - 1)
        assert read_image(data, at_least=120).size == (640 >> halvings, 480 >> halvings), options
        assert read_image(data).size == read_image(data, at_least=241).size == (640, 480)
    difference = read_square(encoded("JPEG2000", image), 40).int() - read_square(encoded("PNG", image), 40).int()
    assert difference.abs().float().mean() < 2
