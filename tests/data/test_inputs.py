import io
from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clicv2lite.data.images import read_square
from clicv2lite.data.inputs import listed, square, squares
from clicv2lite.errors import UserError


def noise(h=21, w=33, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, channels), dtype=np.uint8)


def forms(pixels):
    """One picture in every form in which people hold one."""
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    return {
        "PIL": Image.fromarray(pixels),
        "NumPy bytes": pixels,
        "NumPy floats": pixels / 255,
        "NumPy float32": (pixels / 255).astype(np.float32),
        "NumPy, not contiguous": np.asfortranarray(pixels),
        "tensor bytes": tensor,
        "tensor floats": tensor / 255,
        "tensor double with gradient": (tensor.double() / 255).requires_grad_(),
    }


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 99))
def test_every_form_of_a_picture_gives_the_square_that_its_file_gives(h, w, seed):
    pixels = noise(h, w, seed=seed)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    want = read_square(file.getvalue(), 16)
    assert want.shape == (3, 16, 16) and want.dtype == torch.uint8
    for name, form in forms(pixels).items():
        assert square(form, 16).equal(want), name


def test_a_path_is_read_as_text_or_as_a_path(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.png")
    want = read_square(tmp_path / "a.png", 16)
    assert square(tmp_path / "a.png", 16).equal(want) and square(str(tmp_path / "a.png"), 16).equal(want)


def test_gray_is_three_equal_channels_in_every_form():
    gray = noise(channels=1)
    want = square(np.repeat(gray, 3, axis=2), 16)
    flat = torch.from_numpy(gray[..., 0])
    for form in (gray, gray[..., 0], gray[..., 0] / 255, flat, flat[None], flat[None] / 255, Image.fromarray(gray[..., 0])):
        assert square(form, 16).equal(want)


def test_transparency_is_laid_on_white_in_every_form(tmp_path):
    pixels = noise(channels=4)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    want = read_square(tmp_path / "a.png", 16)
    for form in forms(pixels).values():
        assert square(form, 16).equal(want)


def test_an_opened_photograph_is_turned_upright_and_left_as_it_was(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.fromarray(noise()).save(tmp_path / "a.png", exif=exif)
    image = Image.open(tmp_path / "a.png")
    assert square(image, 16).equal(read_square(tmp_path / "a.png", 16))
    assert image.size == (33, 21) and image.getexif()[0x0112] == 6


def test_a_tensor_of_the_wanted_size_passes_unchanged():
    images = torch.from_numpy(noise(16, 16)).permute(2, 0, 1)
    assert square(images, 16).equal(images)


def test_what_is_one_image_and_what_are_several():
    pixels, tensor = noise(), torch.zeros(3, 8, 8)
    for one in ("a.jpg", Image.new("L", (3, 3)), pixels, pixels[..., 0], tensor, tensor[0]):
        found, single = listed(one)
        assert single and len(found) == 1 and found[0] is one
    many = {
        "list": [pixels, pixels], "tuple": ("a", "b"), "deque": deque("ab"), "generator": (name for name in "ab"),
        "values": {"x": "a", "y": "b"}.values(), "names": np.array(["a", "b"]), "batch": torch.zeros(2, 3, 8, 8),
        "NumPy batch": np.stack([pixels, pixels]),
    }  # fmt: skip
    for name, several in many.items():
        found, single = listed(several)
        assert not single and len(found) == 2, name


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
def test_batches_hold_all_images_in_order(batch_size):
    images = [noise(seed=i) for i in range(5)]
    parts = list(squares(images, 8, batch_size))
    assert [len(p) for p in parts][:-1] == [batch_size] * (len(parts) - 1)
    assert torch.cat(parts).equal(torch.stack([square(image, 8) for image in images]))


REFUSED = {
    "a tensor with its channels last": (torch.zeros(8, 9, 3), r"permute\(2, 0, 1\)"),
    "an array with its channels first": (np.zeros((3, 8, 9)), r"transpose\(1, 2, 0\)"),
    "floats of bytes": (np.full((8, 8, 3), 200.0), "200 are outside 0..1; they seem to be 0..255: divide them by 255"),
    "normalised floats": (torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0)), "outside 0..1"),
    "nan": (np.full((8, 8), np.nan), "outside 0..1"),
    "int64": (np.zeros((8, 8, 3), dtype=np.int64), "int64"),
    "bool": (torch.zeros(8, 8, dtype=torch.bool), "bool"),
    "five channels": (np.zeros((8, 8, 5)), "no image's"),
    "no pixels": (np.zeros((0, 8, 3)), "no image's"),
    "a file that is not there": ("absent.png", "absent.png: there is no such file"),
    "a number": ([3], "int is not an image"),
}


@pytest.mark.parametrize("image, said", REFUSED.values(), ids=REFUSED)
def test_what_is_no_image_is_named_in_one_line(image, said):
    with pytest.raises(UserError, match=said) as caught:
        list(squares(listed(image)[0], 8))
    assert "\n" not in str(caught.value)


def test_the_bad_one_of_several_is_named():
    with pytest.raises(UserError, match="image 2: floats"):
        list(squares([np.zeros((8, 8)), np.zeros((8, 8)), np.full((8, 8), 7.0)], 8))


@pytest.mark.parametrize(
    "images",
    [
        None,
        3,
        {"a": "b"},
        [],
        np.zeros(4),
        np.array(None),
        np.array("a.png"),
        np.array([["a.png"]]),
        torch.zeros(2, 2, 3, 8, 8),
        np.zeros(()),
    ],
)
def test_what_is_no_collection_of_images_is_named_in_one_line(images):
    with pytest.raises(UserError, match=r"^images: ") as caught:
        listed(images)
    assert "\n" not in str(caught.value)


def test_half_precision_tensors_are_images_to_their_rounding():
    pixels = torch.rand(3, 12, 10, generator=torch.Generator().manual_seed(0))
    for dtype, atol in ((torch.bfloat16, 2), (torch.float16, 1)):
        difference = square(pixels.to(dtype), 12).int() - square(pixels, 12).int()
        assert difference.abs().max() <= atol


def encoded(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_an_encoded_image_is_one_as_bytes_or_as_an_open_file(tmp_path):
    data = encoded(noise())
    (tmp_path / "a.png").write_bytes(data)
    want = square(noise(), 16)
    written = io.BytesIO()
    written.write(data)  # and not set back
    with (tmp_path / "a.png").open("rb") as file:
        for form in (data, bytearray(data), memoryview(data), io.BytesIO(data), written, file, file):
            found, single = listed(form)
            assert single and square(found[0], 16).equal(want)
    assert listed([data, data]) == ([data, data], False)
    with pytest.raises(UserError, match="image: the file is empty"):
        square(b"", 16)


def test_a_file_that_gives_no_bytes_is_named_in_one_line(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(noise()))
    with (tmp_path / "a.png").open(encoding="latin-1") as text, pytest.raises(UserError, match=r"image: .* not bytes; .*'rb'"):
        square(text, 16)
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(UserError, match=r"image: BytesIO cannot be read .*; open it again"):
        square(closed, 16)


def test_a_pipe_that_cannot_be_set_back_is_read_to_its_end():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    assert square(Pipe(encoded(noise())), 16).equal(square(noise(), 16))


def test_of_a_data_frame_its_column_of_paths_is_asked_for(tmp_path):
    pandas = pytest.importorskip("pandas")
    Image.fromarray(noise()).save(tmp_path / "a.png")
    frame = pandas.DataFrame({"path": [str(tmp_path / "a.png")] * 2, "score": [0.1, 0.2]})
    with pytest.raises(UserError, match=r"images: a DataFrame is no image; give its column of paths, as in frame\['path'\]"):
        listed(frame)
    found, single = listed(frame["path"])
    assert found == [str(tmp_path / "a.png")] * 2 and not single
    with pytest.raises(UserError, match="image 0: DataFrame is not an image"):
        list(squares([frame, frame], 8))


@pytest.mark.parametrize(
    "image, said",
    [
        (np.zeros((8, 8), dtype=complex), "complex128 is not a type of pixels here; take its magnitude"),
        (torch.zeros(8, 8, device="meta"), "gives no pixels"),
        (torch.zeros(8, 8).to_sparse(), "gives no pixels"),
        (np.zeros((8, 8), dtype="datetime64[s]"), "is not a type of pixels"),
    ],
    ids=["complex", "meta", "sparse", "dates"],
)
def test_arrays_without_pixels_are_named_in_one_line(image, said):
    with pytest.raises(UserError, match=f"image: .*{said}") as caught:
        list(squares(listed(image)[0], 8))
    assert "\n" not in str(caught.value)


def test_floats_beyond_0_to_1_by_rounding_are_clipped():
    pixels = noise() / 255
    want = square(pixels, 16)
    pixels[pixels == 1] = 1.000001
    pixels[pixels == 0] = -1e-7
    assert square(pixels, 16).equal(want) and square(torch.from_numpy(pixels).permute(2, 0, 1), 16).equal(want)


def test_an_image_of_pil_is_left_as_it_was_and_its_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(noise()).save(file, "PNG", exif=exif)
    image = Image.open(file)
    assert square(image, 16).equal(square(file.getvalue(), 16))
    assert image.size == (33, 21) and image.getexif()[0x0112] == 6


def test_levels_of_12_bits_are_said_once_a_picture(capsys):
    dark = Image.fromarray(np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8))
    list(squares([dark, dark], 8))
    first, second = sorted(capsys.readouterr().err.splitlines())
    assert first.startswith("clicv2lite: image 0: its levels use only 12")
    assert second.startswith("clicv2lite: image 1: its levels use only 12")
