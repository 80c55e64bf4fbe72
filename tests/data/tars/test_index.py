import gc
import os
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clicv2lite.data.images import ImageError
from clicv2lite.data.sources import open_images
from clicv2lite.data.tars import index as tars
from clicv2lite.data.tars.index import index_tar
from clicv2lite.errors import UserError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLICV2LITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/tars"


def make(path: Path, members: dict[str, bytes], age: float = 10) -> Path:
    """A tar that was written `age` seconds ago."""
    import io

    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    return path


MEMBERS = {"a.png": b"one", "a.json": b"{}", "é ü/b.jpg": b"two" * 400, "c.webp": b""}
IMAGES = [b"one", b"two" * 400, b""]


def contents(path: Path) -> list[bytes]:
    images = index_tar(path)
    return [images.read(i) for i in range(len(images))]


def scans(monkeypatch) -> list[str]:
    """The tars whose headers are read from now on."""
    seen, scan = [], tars._scan
    monkeypatch.setattr(tars, "_scan", lambda path, file: seen.append(path) or scan(path, file))
    return seen


def test_headers_are_read_once_and_the_index_says_the_same(tmp_path, cache, monkeypatch):
    path, seen = make(tmp_path / "x.tar", MEMBERS), scans(monkeypatch)
    first = index_tar(path)
    again = index_tar(path)
    assert seen == [str(path)] and len(list(cache.iterdir())) == 1
    assert [again.name(i) for i in range(3)] == [first.name(i) for i in range(3)]
    assert contents(path) == IMAGES and seen == [str(path)]
    monkeypatch.chdir(tmp_path)
    assert contents(Path("x.tar")) == IMAGES and seen == [str(path)]  # the same tar by another path
    assert index_tar("x.tar").name(1) == "x.tar/é ü/b.jpg"


def test_a_changed_tar_is_read_anew(tmp_path, cache, monkeypatch):
    path, seen = make(tmp_path / "x.tar", MEMBERS), scans(monkeypatch)
    assert contents(path) == IMAGES
    make(path, {"z.png": b"new"}, age=8)  # same length: tars are padded
    assert contents(path) == [b"new"] and len(seen) == 2
    assert contents(path) == [b"new"] and len(seen) == 2


def test_a_tar_that_replaces_another_is_read_from_the_new_file(tmp_path, cache):
    path = make(tmp_path / "x.tar", MEMBERS)
    old = index_tar(path)
    assert old.read(0) == b"one"
    os.replace(make(tmp_path / "y.tar", {"a.png": b"ONE"}), path)
    assert contents(path) == [b"ONE"] and old.read(0) == b"one"


def test_a_tar_that_is_replaced_after_it_was_indexed_is_refused(tmp_path, cache):
    images = index_tar(make(tmp_path / "x.tar", MEMBERS))
    os.replace(make(tmp_path / "new.tar", {"b.png": b"other" * 400, **MEMBERS}, age=20), tmp_path / "x.tar")
    with pytest.raises(UserError, match=r"x\.tar: has changed since it was indexed; run") as caught:
        images.read(0)
    assert not isinstance(caught.value, ImageError)  # a training ends, and takes no other image instead


def test_the_index_of_a_tar_just_written_is_not_kept(tmp_path, cache, monkeypatch):
    path, seen = make(tmp_path / "x.tar", MEMBERS, age=0), scans(monkeypatch)
    assert contents(path) == contents(path) == IMAGES and len(seen) == 2 and not cache.exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_or_cut_index_is_replaced(tmp_path, cache, data):
    path = tmp_path / "x.tar"
    if not path.exists():
        make(path, MEMBERS)
    index_tar(path)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for at in data.draw(st.lists(st.integers(0, max(0, len(broken) - 1)), max_size=3)) if broken else []:
        broken[at] ^= data.draw(st.integers(1, 255))
    file.write_bytes(broken)
    assert contents(path) == IMAGES and contents(path) == IMAGES


@pytest.mark.parametrize("save", [lambda file: np.save(file, np.arange(3)), lambda file: np.savez(file, version=np.arange(3))])
def test_another_file_of_numpy_in_place_of_an_index_is_replaced(tmp_path, cache, save):
    path = make(tmp_path / "x.tar", MEMBERS)
    index_tar(path)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    with open(file, "wb") as other:
        save(other)
    assert contents(path) == IMAGES and file.read_bytes() == whole


def test_a_pickle_in_place_of_an_index_is_not_loaded(tmp_path, cache):
    path = make(tmp_path / "x.tar", MEMBERS)
    index_tar(path)
    (file,) = cache.iterdir()
    np.savez(file, version=np.array([Trace(tmp_path / "ran")], dtype=object), allow_pickle=True)
    assert contents(path) == IMAGES and not (tmp_path / "ran").exists()


class Trace:
    """What is loaded of its pickle leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_cache_folder_that_cannot_be_made_is_no_hindrance(tmp_path, cache):
    cache.parent.write_text("a file stands where the folder would be")
    assert contents(make(tmp_path / "x.tar", MEMBERS)) == IMAGES


@pytest.mark.posix
def test_many_tars_need_few_descriptors_and_none_is_left(tmp_path, cache, monkeypatch):
    for k in range(20):
        make(tmp_path / f"s-{k:02d}.tar", {f"{i}.png": bytes([k, i]) for i in range(5)})
    images = open_images([str(tmp_path / "s-{00..19}.tar")])
    small = tars.lru_cache(maxsize=4)(tars._open.__wrapped__)
    monkeypatch.setattr(tars, "_open", small)
    most = 0
    for i in np.random.default_rng(0).permutation(100):
        assert images.read(int(i)) == bytes([i // 5, i % 5])
        most = max(most, descriptors(tmp_path))
    assert 0 < most <= 4
    small.cache_clear()
    gc.collect()
    assert descriptors(tmp_path) == 0


def descriptors(folder) -> int:  # other tests' garbage closes files of its own in the meantime
    """How many open descriptors of this process lead into `folder`."""
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return sum(os.readlink(link).startswith(str(folder)) for link in links if os.path.islink(link))


@pytest.mark.parametrize("pread", [True, False])  # Windows has none
def test_threads_that_share_too_few_descriptors_read_the_right_bytes(tmp_path, cache, monkeypatch, pread):
    if not pread:
        monkeypatch.delattr(os, "pread", raising=False)
    for k in range(6):
        make(tmp_path / f"s-{k}.tar", {f"{i}.png": bytes([k, i]) * 500 for i in range(5)})
    images = open_images([str(tmp_path / "s-{0..5}.tar")])
    monkeypatch.setattr(tars, "_open", tars.lru_cache(maxsize=1)(tars._open.__wrapped__))
    wrong = []

    def read(seed: int) -> None:
        for i in np.random.default_rng(seed).integers(0, 30, 300).tolist():
            if images.read(i) != bytes([i // 5, i % 5]) * 500:
                wrong.append(i)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def test_a_member_of_an_absurd_size_is_refused_before_it_is_read_and_the_others_are_read(tmp_path, cache):
    path, huge = tmp_path / "x.tar", 8 * 2**30
    with path.open("wb") as file:
        file.write(header("huge.png", huge))
        file.seek(huge, os.SEEK_CUR)  # sparse: nothing on the disk
        file.write(header("a.png", 3) + b"one".ljust(512, b"\0") + bytes(1024))
    images = index_tar(path)
    with pytest.raises(ImageError, match=r"x\.tar/huge\.png: 8,589,934,592 bytes, more than"):
        images.read(0)
    assert images.read(1) == b"one"


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
@pytest.mark.parametrize("size", [-512, 8 * 2**30])
def test_a_header_of_an_impossible_size_ends_the_search(tmp_path, cache, kind, size):
    """Below 0 the search went back and never ended; a name of 8 GB was read whole."""
    if kind == tarfile.REGTYPE and size > 0:
        pytest.skip("a large member is no fault")
    path = tmp_path / "x.tar"
    with path.open("wb") as file:
        file.write(header("a.png", 3) + b"one".ljust(512, b"\0") + header("b.png", size, kind))
        file.truncate(9 * 2**30)
    with pytest.raises(UserError, match=r"x\.tar: a damaged .*tar"):
        index_tar(path)


def test_a_size_below_0_in_an_extended_header_is_a_damaged_tar(tmp_path, cache):
    path = tmp_path / "x.tar"
    record = b"13 size=-512\n"
    extended = header("x", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0")
    path.write_bytes(header("a.png", 3) + b"one".ljust(512, b"\0") + extended + header("b.png", 0) + bytes(1024))
    with pytest.raises(UserError, match=r"x\.tar: a damaged tar"):
        index_tar(path)


def test_ten_thousand_long_names_in_a_row_are_a_damaged_tar(tmp_path, cache):
    path = tmp_path / "x.tar"
    path.write_bytes((header("L", 4, tarfile.GNUTYPE_LONGNAME) + b"abc\0".ljust(512, b"\0")) * 10_000 + bytes(1024))
    with pytest.raises(UserError, match=r"x\.tar: a damaged tar"):
        index_tar(path)
