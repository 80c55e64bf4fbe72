import io
import os
import tarfile

import pytest
from PIL import Image

from clicv2lite.data import sources
from clicv2lite.data.folders import list_folder, matching, passed_over
from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError


def encoded(format="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), "red").save(buffer, format)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Of everything that is in people's folders."""
    here = tmp_path / "photos"
    (here / "deep").mkdir(parents=True)
    for name, data in {
        "a.jpg": encoded("JPEG"), "b.QOI": encoded("QOI"), "c.pbm": b"P1 1 1 0\n", "d.jp2": encoded("JPEG2000"),
        "e.tga": encoded("TGA"), "f.mpo": encoded("JPEG"), "no_ending": encoded("PNG"), "photo.heic": encoded("JPEG"),
        "odd.download": encoded("WEBP"), "g.icb": encoded("TGA")[:-26], "h.VST": encoded("TGA")[:-26], "old": encoded("TGA"),
        "1.heic": b"\0\0\0\x18ftypheic", "2.HEIC": b"", "x.psd": b"8BPS", "deep/y.nef": encoded("TIFF"),
        "figure": b"%!PS-Adobe",
        "phone": b"\0\0\0\x18ftypheic\0\0\0\0", "z.dat": b"8BPS",
        "notes.txt": encoded("PNG"), "table.csv": b"", "data.json": b"{}", ".hidden": encoded("PNG"), "program": b"\x7fELF",
        "README": b"hello", "film.mov": b"\0\0\0\x14ftypqt  ", "empty": b"",
        "visio.vst": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    }.items():  # fmt: skip
        (here / name).write_bytes(data)
    os.mkfifo(here / "pipe")
    return here


IMAGES = [
    *("a.jpg", "b.QOI", "c.pbm", "d.jp2", "e.tga", "f.mpo", "g.icb", "h.VST", "no_ending", "odd.download", "old", "photo.heic")
]
LINE = (
    "7 files that may be images are not read: 2 .heic (pip install pillow-heif), 1 without an ending that holds an EPS file, "
    "1 without an ending that holds HEIF (pip install pillow-heif), 1 .psd, "
    "1 named .dat that holds a Photoshop file (PSD), 1 .nef"
)


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch):
    from clicv2lite.data import formats

    formats.readable_endings.cache_clear(), formats.has_decoder.cache_clear(), sources._tell.cache_clear()
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    yield
    formats.readable_endings.cache_clear(), formats.has_decoder.cache_clear()


def test_images_are_found_by_name_or_content_and_the_others_are_counted_by_kind(folder):
    found = list_folder(str(folder), follow=False)
    assert found.images == IMAGES
    assert passed_over("photos", found.passed) == f"photos: {LINE}"


def test_a_training_reads_the_same_files_and_says_once_what_it_passes_over(folder, capsys):
    for _ in range(2):
        images = open_images([str(folder)])
    assert [images.names[i] for i in range(len(images))] == [str(folder / name) for name in IMAGES]
    assert capsys.readouterr().err == f"clicv2lite: {folder}: {LINE}\n"


def test_other_processes_of_a_training_say_nothing(folder, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    open_images([str(folder)])
    assert capsys.readouterr().err == ""


def test_a_folder_of_only_such_files_says_so(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"")
    with pytest.raises(UserError, match=r"no image in this folder .*1 file that may be an image is not read: 1 \.heic"):
        open_images([str(tmp_path)])
    with pytest.raises(UserError, match=r"a\.heic: 1 file .* \(pip install pillow-heif\); convert it"):
        open_images([str(tmp_path / "a.heic")])


def test_a_folder_of_only_tars_counts_them_in_any_letters(tmp_path):
    for name in ("a.tar", "B.TAR", "c.txt"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"no image in this folder .*; its 2 tars are sources of their own: name them"):
        open_images([str(tmp_path)])


def test_a_tar_says_what_it_passes_over_with_and_without_its_kept_index(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CLICV2LITE_CACHE", str(tmp_path / "cache"))
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("a.png", "b.heic", "c.psd", "d.txt", ".e.psd"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    os.utime(tmp_path / "a.tar", (1, 1))
    for _ in range(2):
        sources._tell.cache_clear()
        open_images([str(tmp_path / "a.tar")])
    line = "2 files that may be images are not read: 1 .heic (pip install pillow-heif), 1 .psd"
    assert capsys.readouterr().err == f"clicv2lite: {tmp_path}/a.tar: {line}\n" * 2


def test_an_index_kept_before_a_plugin_was_installed_is_made_anew(tmp_path, monkeypatch):
    from clicv2lite.data import formats

    monkeypatch.setenv("CLICV2LITE_CACHE", str(tmp_path / "cache"))
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("a.png", "b.heic"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    os.utime(tmp_path / "a.tar", (1, 1))
    assert len(open_images([str(tmp_path / "a.tar")])) == 1
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: name)
    formats.readable_endings.cache_clear(), formats.has_decoder.cache_clear()
    assert len(open_images([str(tmp_path / "a.tar")])) == 2


@pytest.fixture
def loops(tmp_path, monkeypatch):
    """Two links that lead back to the top: 2 ** 40 ways to each file, if each is followed."""
    for name in ("top.jpg", "a/x.jpg", "a/b/y.jpg", "a/.hidden/z.jpg", "c/b/w.jpg"):
        path = tmp_path / "t" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for link in ("t/a/loop", "t/a/b/again", "t/c/loop"):
        (tmp_path / link).symlink_to(tmp_path / "t", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "pattern, want",
    [
        ("t/**/*.jpg", ["t/a/b/y.jpg", "t/a/x.jpg", "t/c/b/w.jpg", "t/top.jpg"]),
        ("./t/**/*.jpg", ["./t/a/b/y.jpg", "./t/a/x.jpg", "./t/c/b/w.jpg", "./t/top.jpg"]),
        ("**/*.jpg", ["t/a/b/y.jpg", "t/a/x.jpg", "t/c/b/w.jpg", "t/top.jpg"]),
        ("t/**", ["t/a/b/y.jpg", "t/a/x.jpg", "t/c/b/w.jpg", "t/top.jpg"]),
        ("t/**/b/*.jpg", ["t/a/b/y.jpg", "t/c/b/w.jpg"]),
        ("t/**/b/**/*.jpg", ["t/a/b/y.jpg", "t/c/b/w.jpg"]),
        ("t/*/*.jpg", ["t/a/x.jpg"]),
        ("t/**/**/x.jpg", ["t/a/x.jpg"]),
        ("none/**/*.jpg", []),
    ],
)
def test_a_pattern_goes_into_each_real_folder_once(loops, pattern, want):
    found = matching(pattern)
    if pattern == "t/**/b/**/*.jpg":  # below b a link leads to the top again, in which each folder is visited once
        assert set(want) <= set(found) and len(found) <= 16
    else:
        assert found == want


def test_an_absolute_pattern_keeps_its_root(loops):
    assert matching(f"{loops}/t/**/x.jpg") == [f"{loops}/t/a/x.jpg"]


def test_a_folder_with_loops_is_walked_once(loops):
    assert sorted(list_folder("t", follow=True).images) == ["a/b/y.jpg", "a/x.jpg", "c/b/w.jpg", "top.jpg"]
    assert sorted(list_folder("t", follow=False).images) == ["a/b/y.jpg", "a/x.jpg", "c/b/w.jpg", "top.jpg"]
