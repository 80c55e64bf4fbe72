import os
import socket

import pytest

from clicv2lite.cli import main
from clicv2lite.data.images import ImageError, read_image
from clicv2lite.data.regular import MOST_BYTES, open_regular, read_encoded
from clicv2lite.data.sources import open_images
from clicv2lite.data.tars.index import index_tar
from clicv2lite.errors import UserError


@pytest.fixture
def odd(tmp_path):
    """Things that have the names of images and are none; reading some of them would never end."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "link.jpg").symlink_to("pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.jpg")[-100:])
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(8 * 2**30)
    return tmp_path


@pytest.fixture(autouse=True)
def short(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket has 107 bytes at most


def test_only_regular_files_of_a_sane_size_are_read_and_nothing_waits(odd):
    for name in ("pipe", "zero", "link", "socket", "sparse"):
        path = odd / f"{name}.jpg"
        if not path.exists() and not path.is_symlink():
            continue
        said = "8,589,934,592 bytes, more than" if name == "sparse" else "not a regular file"
        for read in (read_image, read_encoded):
            with pytest.raises(ImageError, match=rf"{name}\.jpg: .*{said}"):
                read(path)


def test_a_set_of_images_refuses_them_one_by_one(odd):
    images = open_images([str(odd)])
    assert len(images) >= 4
    for i in range(len(images)):
        with pytest.raises(ImageError, match=r"not a regular file|bytes, more than"):
            images.read(i)


def test_a_command_says_one_line_for_each(odd, tmp_path, capsys):
    assert main(["data", "pack", "--images", str(odd), "--out", str(tmp_path / "out"), "--jobs", "1"]) == 2
    assert "none of the" in capsys.readouterr().err


def test_a_pipe_in_place_of_a_tar_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(UserError, match=r"a\.tar: this is not a regular file"):
        index_tar(tmp_path / "a.tar")


def test_a_file_that_becomes_a_pipe_after_the_look_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "a.jpg")
    (tmp_path / "b").touch()
    regular = os.stat(tmp_path / "b")
    monkeypatch.setattr(os, "stat", lambda path: regular)
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "a.jpg")


def test_the_limit_leaves_room_for_the_largest_picture_uncompressed():
    assert MOST_BYTES > 89_478_485 * 4 * 2
