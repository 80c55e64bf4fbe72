import io
import logging
import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile, TiffImagePlugin
from sklearn.utils.parallel import Parallel, delayed

from clicv2lite.data.images import ImageError, read_image
from clicv2lite.data.pillow import open_image, quietly


def encoded(format="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture
def lenient(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF", "BMP"])
def test_truncated_files_are_errors_whatever_a_caller_has_set_for_others(format, lenient):
    half = encoded(format)[: len(encoded(format)) // 2]
    with pytest.raises(ImageError, match="corrupt or truncated"):
        read_image(half)
    assert ImageFile.LOAD_TRUNCATED_IMAGES
    if format in ("PNG", "JPEG"):
        Image.open(io.BytesIO(half)).load()  # the caller's own reading goes on filling
        with quietly():
            inside = []
            thread = threading.Thread(target=lambda: inside.append(bool(ImageFile.LOAD_TRUNCATED_IMAGES)))
            thread.start()
            thread.join()
            assert inside == [True] and not ImageFile.LOAD_TRUNCATED_IMAGES


def test_without_a_limit_of_pixels_images_are_read(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_image(encoded()).size == (64, 64)


def noisy():
    """A JPEG whose EXIF makes Pillow warn."""
    return encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\xff\xff\0\0\1\0\0\0")


def test_pillows_warnings_are_silenced_in_this_thread_only_even_where_they_are_errors():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("error")
        read_image(noisy())
        warnings.simplefilter("always")
        read_image(noisy())
        assert not heard
        with quietly():
            thread = threading.Thread(target=lambda: Image.open(io.BytesIO(noisy())).getexif().get(1))
            thread.start()
            thread.join()
        warnings.warn("ours", stacklevel=1)
        Image.open(io.BytesIO(noisy())).getexif().get(1)
    assert any("ours" in str(each.message) for each in heard) and len(heard) >= 2


def test_a_caller_that_turns_all_warnings_into_errors_reads_a_large_image(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 - 1)
        with pytest.raises(ImageError, match="more than 4,095 pixels"):
            read_image(encoded())


def test_pillows_log_is_silent_while_we_decode(caplog):
    log = logging.getLogger(TiffImagePlugin.__name__)
    with caplog.at_level(logging.ERROR), quietly():
        log.error("inside")
    log.error("outside")
    assert [record.message for record in caplog.records] == ["outside"]


def test_scikit_learn_gives_its_threads_our_filter_too():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(encoded())
        calls = (delayed(abs)(each) for each in (-1, 2))
        assert Parallel(n_jobs=2, backend="threading")(calls) == [1, 2]


def test_the_filters_do_not_grow():
    with warnings.catch_warnings():
        read_image(encoded())
        before = len(warnings.filters)
        for _ in range(5):
            warnings.simplefilter("default")
            read_image(encoded())
        assert len(warnings.filters) <= before + 1


def test_c_libraries_write_nothing_to_stderr(tmp_path):
    """In a process of its own: libtiff's handler is set once."""
    whole = encoded("TIFF", compression="tiff_adobe_deflate")
    broken = bytearray(whole)
    broken[40:60] = bytes(20)
    for name, data in {"cut.tif": whole[:2000], "odd.tif": bytes(broken), "cut.jpg": encoded("JPEG")[:900]}.items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import sys\nfrom clicv2lite.data.images import read_image, ImageError\n"
        "for path in sys.argv[1:]:\n    try:\n        read_image(path)\n    except ImageError as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert done.stderr == "" and len(done.stdout.splitlines()) == 3


def test_open_image_leaves_the_file_to_its_owner():
    file = io.BytesIO(encoded())
    with open_image(file) as image:
        assert image.size == (64, 64) and image.format == "PNG"
    assert not file.closed
