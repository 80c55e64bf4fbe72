import shutil

import pytest
import torch

from clicv2lite.data.images import read_image, to_square
from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError
from clicv2lite.pretrain.input.store import ImageStore


def store_of(folder, side=16, memory=2**30):
    return ImageStore(open_images([str(folder)]), side, workers=2, memory=memory, progress=False)


@pytest.fixture
def damaged(photos, tmp_path):
    """Ten images of which the third, the fourth and the last cannot be decoded."""
    folder = tmp_path / "damaged"
    shutil.copytree(photos, folder)
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:100])
    (folder / "3.png").write_bytes(b"")
    (folder / "9.png").write_text("<html>not found</html>")
    return folder


@pytest.mark.parametrize("memory", [2**30, 0])
def test_images_are_the_squares_in_the_order_asked_for(photos, memory):
    store, index = store_of(photos, memory=memory), (7, 0, 7, 3)
    assert (store.cache is None) == (memory == 0) and len(store) == 10
    for i in index:
        image = store.image(i)
        assert image.shape == (3, 16, 16) and image.dtype == torch.uint8
        assert image.equal(to_square(read_image(photos / f"{i}.png"), 16))
    assert store.bad == {}


def test_images_are_held_in_memory_only_when_they_fit(photos):
    needed = 10 * 3 * 16 * 16
    assert store_of(photos, memory=needed).cache is not None and store_of(photos, memory=needed - 1).cache is None


@pytest.mark.parametrize("memory", [2**30, 0])
def test_an_image_that_cannot_be_decoded_is_replaced_by_the_next_and_listed(damaged, memory):
    store = store_of(damaged, memory=memory)
    whole = {i: to_square(read_image(damaged / f"{i}.png"), 16) for i in (0, 1, 4)}
    got = map(store.image, (1, 2, 3, 4, 9))
    for image, i in zip(got, (1, 4, 4, 4, 0), strict=True):
        assert image.equal(whole[i])
    assert set(store.bad) == {str(damaged / f"{i}.png") for i in (2, 3, 9)}
    assert all(name in reason and "\n" not in reason for name, reason in store.bad.items())


def test_without_any_image_that_can_be_decoded_there_is_one_line(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_text("no image")
    with pytest.raises(UserError, match=r"^none of the 2 images could be decoded; the first: .*\.jpg") as caught:
        store_of(tmp_path)
    assert "\n" not in str(caught.value)
