import io
import multiprocessing
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import ImageError, read_image
from clicv2lite.data.names import PackedNames, is_image_name
from clicv2lite.data.parts import Embedded
from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (shade % 256, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def make_tar(path: Path, members: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def shard(path: Path, keys: range) -> Path:
    members = {}
    for key in keys:
        members |= {f"{key:06d}.png": png(key), f"{key:06d}.json": b'{"kind": "photo"}'}
    return make_tar(path, members)


def fails(sources, *words: str) -> str:
    with pytest.raises(UserError) as caught:
        open_images(sources if isinstance(sources, list) else [str(sources)])
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line, line
    return line


def shades(images) -> list[int]:
    return [read_image(images.read(i), images.names[i]).getpixel((0, 0))[0] for i in range(len(images))]


def test_a_folder_is_searched_recursively_sorted_without_hidden_files_and_non_images(tmp_path):
    for name in ("b.png", "a/z.PNG", "a/c.jpeg", "a-b.png", "é ü.webp", "a/deep/x.tiff"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(1))
    for name in (".hidden.png", ".git/a.png", "notes.txt", "a/labels.json", "a/._c.jpeg", "a/thumbs.db", "png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    images = open_images([str(tmp_path)])
    want = ["a-b.png", "a/c.jpeg", "a/deep/x.tiff", "a/z.PNG", "b.png", "é ü.webp"]
    assert list(images.names) == [str(tmp_path / name) for name in want]
    assert images.read(0) == png(1)


def test_a_relative_folder_gives_relative_names(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(png(0))
    monkeypatch.chdir(tmp_path)
    assert list(open_images(["photos"]).names) == list(open_images(["photos/"]).names) == ["photos/a.png"]
    assert list(open_images(["."]).names) == ["./photos/a.png"]


@pytest.mark.posix
def test_linked_folders_are_followed_once_even_in_a_circle(tmp_path):
    (tmp_path / "set/sub").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "set/sub/a.png").write_bytes(png(1))
    (tmp_path / "other/b.png").write_bytes(png(2))
    (tmp_path / "set/sub/up").symlink_to(tmp_path / "set")
    (tmp_path / "set/linked").symlink_to(tmp_path / "other")
    images = open_images([str(tmp_path / "set")])
    assert [os.path.relpath(name, tmp_path) for name in images.names] == ["set/linked/b.png", "set/sub/a.png"]


@pytest.mark.posix
def test_file_names_that_are_not_utf8_are_read(tmp_path):
    folder = os.fsencode(tmp_path)
    try:
        with open(folder + b"/caf\xe9.png", "wb") as file:
            file.write(png(3))
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    assert shades(open_images([str(tmp_path)])) == [3]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_gives_its_images_in_order_and_byte_for_byte(tmp_path, format):
    rng = np.random.default_rng(0)
    names = ["z.jpg", "a.json", "./b.png", "c/._d.png", "c/d.jpg", ".e.png", f"{'long/' * 19}name.png", "empty.webp"]
    members = {name: rng.bytes(int(size)) for name, size in zip(names, [0, 9, 511, 5, 512, 7, 1025, 0], strict=True)}
    path = make_tar(tmp_path / "x.tar", members, format)
    images = open_images([str(path)])
    want = [name for name in names if name not in ("a.json", "c/._d.png", ".e.png")]
    assert list(images.names) == [f"{path}/{name}" for name in want]
    assert [images.read(i) for i in range(len(images))] == [members[name] for name in want]


def test_links_and_folders_inside_a_tar_are_passed_over(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, kind in (("d.png", tarfile.DIRTYPE), ("l.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.png"
            tar.addfile(info)
        info = tarfile.TarInfo("a.png")
        info.size = len(png(7))
        tar.addfile(info, io.BytesIO(png(7)))
    assert shades(open_images([str(tmp_path / "x.tar")])) == [7]


def test_reading_needs_no_scan_and_any_order_gives_the_same_bytes(tmp_path, monkeypatch):
    images = open_images([str(shard(tmp_path / "x.tar", range(30)))])
    monkeypatch.setattr(tarfile, "open", None)  # reading must not look at headers again
    order = np.random.default_rng(1).permutation(30)
    assert {int(i): images.read(i) for i in order} == {i: png(i) for i in range(30)}


def test_sources_are_joined_in_the_order_given(tmp_path):
    for k in range(3):
        shard(tmp_path / f"s-{k:06d}.tar", range(3 * k, 3 * k + 3))
    (tmp_path / "d").mkdir()
    (tmp_path / "d/x.png").write_bytes(png(90))
    (tmp_path / "one.png").write_bytes(png(91))
    pattern = str(tmp_path / "s-{000000..000002}.tar")
    images = open_images([str(tmp_path / "one.png"), pattern, str(tmp_path / "d")])
    assert len(images) == 11 and repr(images) == "ImageSet(11 images)"
    assert shades(images) == [91, *range(9), 90]
    assert images.names[-1].endswith("d/x.png") and images.read(-1) == png(90)
    assert images.names[1:3] == [f"{tmp_path}/s-000000.tar/000000.png", f"{tmp_path}/s-000000.tar/000001.png"]
    for wrong in (11, -12):
        with pytest.raises(IndexError):
            images.read(wrong)


def test_a_folder_with_braces_in_its_name_is_a_folder(tmp_path):
    (tmp_path / "a{1..2}").mkdir()
    (tmp_path / "a{1..2}/x.png").write_bytes(png(1))
    assert len(open_images([str(tmp_path / "a{1..2}")])) == 1


def test_a_pattern_with_missing_files_names_the_first(tmp_path):
    for k in (0, 1, 3):
        shard(tmp_path / f"s-{k:06d}.tar", range(1))
    fails(tmp_path / "s-{000000..000004}.tar", "2 of its 5 files are missing", f"first is {tmp_path}/s-000002.tar")
    fails(tmp_path / "s-{a.tar", "s-{a.tar", "not a range")
    fails("s-{0..999999999}.tar", "more than 100,000 files")


def test_missing_empty_and_unknown_sources_are_named(tmp_path):
    fails([], "no image source was given")
    fails(tmp_path / "none", "none: there is no such")
    fails(tmp_path / "none.tar", "none.tar: there is no such")
    fails(tmp_path, str(tmp_path), "no image in this folder")
    (tmp_path / "notes.txt").write_text("x")
    fails(tmp_path / "notes.txt", "notes.txt", "not a folder, a .tar or an image")
    shard(tmp_path / "a.tar", range(2))
    fails(tmp_path, "1 tars are sources of their own")
    fails("", "there is no such")


def test_an_unreadable_folder_is_an_error_and_not_a_smaller_set(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def denied(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)  # chmod would not stop the superuser
    fails(tmp_path, "locked", "Permission denied")


def test_a_tar_without_images_says_so(tmp_path):
    fails(make_tar(tmp_path / "x.tar", {"a.json": b"{}", "b.txt": b"hi"}), "x.tar", "no image in this tar")
    fails(make_tar(tmp_path / "y.tar", {}), "y.tar", "no image in this tar")


def test_what_is_no_tar_says_so(tmp_path):
    for data in (b"", b"x", b"not a tar at all" * 100, png(3)):
        (tmp_path / "x.tar").write_bytes(data)
        fails(tmp_path / "x.tar", "x.tar", "damaged or truncated tar")


@pytest.mark.parametrize("mode, name", [("w:gz", "x.tar.gz"), ("w:bz2", "x.tar"), ("w:xz", "x.TAR"), ("w:gz", "x.tgz")])
def test_a_compressed_tar_says_how_to_unpack_it(tmp_path, mode, name):
    with tarfile.open(tmp_path / name, mode) as tar:
        tar.addfile(tarfile.TarInfo("a.png"))
    fails(tmp_path / name, name, "compressed", "unpack it with")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1))
def test_a_cut_tar_is_an_error_unless_only_its_padding_is_missing(tmp_path, fraction):
    whole = shard(tmp_path / "whole.tar", range(3)).read_bytes()
    contents = len(whole.rstrip(b"\0"))
    cut = tmp_path / "cut.tar"
    length = int(fraction * len(whole))
    cut.write_bytes(whole[:length])
    if length < contents:
        fails(cut, "cut.tar", "fetch it again")
    elif length >= contents + 2 * tarfile.BLOCKSIZE:
        assert shades(open_images([str(cut)])) == [0, 1, 2]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_tar_is_one_line_or_readable(tmp_path, data):
    broken = bytearray(shard(tmp_path / "whole.tar", range(3)).read_bytes()[: 14 * tarfile.BLOCKSIZE])
    for at in data.draw(st.lists(st.integers(0, len(broken) - 1), min_size=1, max_size=6)):
        broken[at] ^= data.draw(st.integers(1, 255))
    (tmp_path / "broken.tar").write_bytes(broken)
    try:
        images = open_images([str(tmp_path / "broken.tar")])
        for i in range(len(images)):
            images.read(i)
    except UserError as error:
        assert "broken.tar" in str(error) and "\n" not in str(error)


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path):
    path = make_tar(tmp_path / "x.tar", {"a.png": png(1), "b.png": png(2)}, tarfile.USTAR_FORMAT)
    broken = bytearray(path.read_bytes())
    at = broken.index(b"b.png")
    broken[at] ^= 255
    path.write_bytes(broken)
    fails(path, f"no valid header at byte {at}")


def test_a_file_or_tar_that_vanishes_or_shrinks_is_an_image_error(tmp_path):
    tar, file = shard(tmp_path / "x.tar", range(4)), tmp_path / "a.png"
    file.write_bytes(png(1))
    images = open_images([str(tar), str(file)])
    assert images.read(0) == png(0)  # opens the tar
    os.truncate(tar, 1000)
    file.unlink()
    with pytest.raises(ImageError, match=r"x\.tar/000003\.png: the tar has become shorter"):
        images.read(3)
    with pytest.raises(ImageError, match=r"a\.png: there is no such file"):
        images.read(4)
    tar.unlink()
    assert images.read(0) == png(0)  # still open here
    elsewhere = open_images([str(shard(tmp_path / "y.tar", range(4)))])
    (tmp_path / "y.tar").unlink()
    with pytest.raises(ImageError, match=r"y\.tar/000000\.png: the tar cannot be read"):
        elsewhere.read(0)


def _read_from_worker(images, order, results):
    results.put([images.read(i) for i in order])


@pytest.mark.parametrize("method, count", [("fork", 3), ("spawn", 1)])
def test_workers_read_the_same_bytes_at_once(tmp_path, method, count):
    for k in range(2):
        shard(tmp_path / f"s-{k}.tar", range(20 * k, 20 * k + 20))
    images = open_images([str(tmp_path / "s-{0..1}.tar"), "worlds:2"])
    want = [images.read(i) for i in range(len(images))]
    context = multiprocessing.get_context(method)
    results = context.SimpleQueue()
    order = list(range(len(images)))
    workers = [context.Process(target=_read_from_worker, args=(images, order, results)) for _ in range(count)]
    for worker in workers:
        worker.start()
    assert [results.get() for _ in workers] == [want] * count
    for worker in workers:
        worker.join()


def test_a_set_survives_pickling_and_stays_small(tmp_path):
    images = open_images([str(shard(tmp_path / "x.tar", range(200)))])
    data = pickle.dumps(images)
    assert len(data) < 200 * (10 + 3 * 8) + 2000  # the key, and three positions per image
    again = pickle.loads(data)
    assert list(again.names) == list(images.names) and again.read(150) == images.read(150)


def test_embedded_is_a_source():
    images = open_images(["embedded"])
    assert list(images.names) == [f"embedded/{name}" for name in photographs()]
    assert images.read(0) == next(iter(photographs().values())).read_bytes()


def test_a_photograph_that_is_gone_by_now_is_an_error_of_that_image(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png: there is no such file; check the path"):
        Embedded((("gone", tmp_path / "gone.png"),)).read(0)


def test_worlds_are_a_source_and_show_what_sample_renders():
    from clicv2lite.data.worlds import sample

    images = open_images(["worlds:12:5"])
    pictures, _, categories = sample(12, 5)
    for i in (0, 7, 11):
        np.testing.assert_array_equal(np.asarray(read_image(images.read(i))), pictures[i])
        assert images.names[i] == f"worlds:5/{i:06d}-{categories[i]}"
    assert open_images(["worlds:12"]).read(0) != images.read(0)


@pytest.mark.parametrize("wrong", ["", "0", "x", "5:", "5:x", "-3", "٣", "1:2:3", "1.5", "9" * 10, "9" * 300, "5:" + "9" * 19])
def test_a_wrong_worlds_source_says_how_to_write_it(wrong):
    fails(f"worlds:{wrong}", f"worlds:{wrong}", "worlds:N")


def test_a_number_of_worlds_that_python_does_not_read_is_one_line():
    fails("worlds:" + "9" * 5000, "worlds:N")
    fails("worlds:1:" + "9" * 5000, "worlds:N")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_packed_names_are_the_names(names):
    packed = PackedNames(names)
    assert len(packed) == len(names) and list(packed) == names
    assert [packed[-1 - i] for i in range(len(names))] == names[::-1]


def test_image_names_are_told_by_extension_and_not_hidden():
    assert all(map(is_image_name, ["a.jpg", "./x/a.JPEG", "../a.png", "a.b.webp", "a/b.GIF"]))
    assert not any(map(is_image_name, ["a", "jpg", ".jpg", ".a.jpg", ".x/a.jpg", "a.jpg/b", "a.mp4", "a.npy", "a.tar"]))


@pytest.mark.skipif("CLICV2LITE_DATA" not in os.environ, reason="CLICV2LITE_DATA is not set")
def test_the_development_shards_hold_8070_images():
    pattern = Path(os.environ["CLICV2LITE_DATA"]) / "photos/photos-{000000..000003}.tar"
    images = open_images([str(pattern)])
    assert len(images) == 8070
    for i in (0, 5000, 8069):
        assert min(read_image(images.read(i), images.names[i]).size) > 16
