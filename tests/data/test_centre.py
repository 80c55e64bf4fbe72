"""The centre crop against torchvision's, on images nobody picked and on extreme ones."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize

from clicv2lite.data.centre import read_centre, short_side
from clicv2lite.data.images import ImageError


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@given(st.integers(0, 99), st.integers(20, 90), st.integers(20, 90), st.sampled_from([16, 32, 56]))
def test_it_is_resize_and_centre_crop_of_torchvision(seed, height, width, size):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    usual = Compose([Resize(short_side(size), InterpolationMode.BICUBIC), CenterCrop(size), PILToTensor()])
    wanted, got = usual(Image.fromarray(pixels)), read_centre(png(pixels), size)
    assert got.shape == (3, size, size) and got.dtype == torch.uint8
    assert torch.equal(got, wanted)


def test_224_of_256_is_the_usual_share():
    assert (short_side(224), short_side(448)) == (256, 512)


def test_of_a_needle_only_the_middle_is_resized(monkeypatch):
    pixels = np.zeros((2, 20001, 3), np.uint8)
    pixels[:, 9999:10002] = 255
    sizes, resize = [], Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda self, size, *rest: sizes.append(size) or resize(self, size, *rest))
    middle = read_centre(png(pixels), 224)
    assert sizes == [(2048, 256)] and middle[:, :, 112].min() > 250 and middle.shape == (3, 224, 224)


def test_a_file_that_is_no_image_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"no\.png: .*empty"):
        (tmp_path / "no.png").touch()
        read_centre(tmp_path / "no.png", 32)
