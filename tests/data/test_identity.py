import tarfile

import numpy as np
import pytest
from PIL import Image

from clicv2lite.data.identity import identity, listing_digest
from clicv2lite.data.names import PackedNames
from clicv2lite.data.parts import Files
from clicv2lite.data.sources import ImageSet, open_images


def of(*sources):
    return identity(open_images([str(source) for source in sources]))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one" / "deep").mkdir(parents=True)
    for i, name in enumerate(("a.png", "deep/b.jpg", "deep/\udcff.png")):
        Image.fromarray(np.full((8 + i, 8, 3), i, np.uint8)).save(tmp_path / "one" / name)
    return tmp_path / "one"


def packed(path, folder):
    with tarfile.open(path, "w") as archive:
        for file in sorted(folder.rglob("*.*g")):
            archive.add(file, file.relative_to(folder).as_posix())
    return path


def test_it_is_that_of_names_below_the_source_and_sizes_in_order(folder, tmp_path):
    sizes = [(folder / name).stat().st_size for name in ("a.png", "deep/b.jpg", "deep/\udcff.png")]
    lines = [f"{name}\t{size}" for name, size in zip(("a.png", "deep/b.jpg", "deep/\udcff.png"), sizes, strict=True)]
    assert of(folder) == listing_digest(lines)
    assert of(packed(tmp_path / "a.tar", folder)) == listing_digest(lines), "packing changes no image"
    assert of(folder / "deep/b.jpg") == listing_digest([f"b.jpg\t{sizes[1]}"])


def test_a_copy_elsewhere_is_the_same_and_another_order_is_not(folder, tmp_path):
    tar, other = packed(tmp_path / "a.tar", folder), packed(tmp_path / "b.tar", folder / "deep")
    before = of(folder), of(tar), of(tar, other)
    assert before[2] != of(other, tar)
    folder.rename(tmp_path / "two")
    (tmp_path / "moved").mkdir()
    tar.rename(tmp_path / "moved" / "c.tar")
    assert (of(tmp_path / "two"), of(tmp_path / "moved" / "c.tar")) == before[:2]


def test_a_file_that_is_gone_changes_it_and_is_no_error(folder):
    images = open_images([str(folder)])
    before = identity(images)
    (folder / "a.png").unlink()
    assert identity(images) != before
    assert len(identity(ImageSet([Files(".", PackedNames(["a\0b"]))]))) == 64, "a name that no file can have"


def test_each_file_is_asked_for_its_size_once(folder, monkeypatch):
    images, asked = open_images([str(folder)]), []
    monkeypatch.setattr("clicv2lite.data.identity.size_of", lambda path: asked.append(path) or 1)
    identity(images)
    assert sorted(asked) == sorted(images.names)


def test_a_tar_is_not_read_again(folder, tmp_path, monkeypatch):
    images = open_images([str(packed(tmp_path / "a.tar", folder))])
    (tmp_path / "a.tar").unlink()
    assert len(identity(images)) == 64


def test_drawn_images_are_told_apart_by_what_they_are_drawn_from():
    assert of("worlds:5") == of("worlds:5:0") != of("worlds:5:1") and of("worlds:5") != of("worlds:6")
