import http.server
import pickle
import re
import sys
import threading
from pathlib import Path

import pytest

from clicv2lite.data.sources import open_images
from clicv2lite.data.tars import remote
from clicv2lite.errors import UserError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def tars(tmp_path, monkeypatch):
    """Two tars of three images each; nothing waits before it tries again, and indexes are kept in a folder of their own."""
    monkeypatch.setenv("CLICV2LITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSE", 0)
    import io
    import tarfile

    (tmp_path / "tars").mkdir()
    for k in range(2):
        with tarfile.open(tmp_path / f"tars/{k}.tar", "w") as tar:
            for i in range(3):
                info = tarfile.TarInfo(f"{i}.png")
                info.size = 700 * i
                tar.addfile(info, io.BytesIO(bytes([k]) * 700 * i))
    return tmp_path / "tars"


CONTENTS = [bytes([k]) * 700 * i for k in range(2) for i in range(3)]


def all_of(images) -> list[bytes]:
    return [images.read(i) for i in range(len(images))]


@pytest.fixture
def memory(tars):
    system = fsspec.filesystem("memory")
    for file in tars.iterdir():
        system.pipe_file(f"/bucket/{file.name}", file.read_bytes())
    yield system
    system.rm("/bucket", recursive=True)


def test_tars_in_memory_are_read_by_position_after_one_scan(memory, monkeypatch):
    for _ in range(2):  # the second time from the indexes
        images = open_images(["memory://bucket/{0..1}.tar"])
        assert all_of(images) == CONTENTS and images.names[4] == "memory://bucket/1.tar/1.png"
        assert all_of(pickle.loads(pickle.dumps(images))) == CONTENTS
        monkeypatch.setattr(remote, "open_stream", None)


def test_a_changed_object_is_scanned_anew(memory, tars):
    assert all_of(open_images(["memory://bucket/0.tar"])) == CONTENTS[:3]
    memory.pipe_file("/bucket/0.tar", (tars / "1.tar").read_bytes())
    assert all_of(open_images(["memory://bucket/0.tar"])) == CONTENTS[3:]


def test_a_file_address_is_read_like_a_path(tars):
    assert all_of(open_images([f"file://{tars}/{{0..1}}.tar"])) == CONTENTS


@pytest.mark.parametrize(
    "address, words",
    [
        ("memory://bucket/{0..7}.tar", "bucket/2.tar: there is no such file"),
        ("memory://bucket", "only tars are read"),
        ("memory://bucket/a.jpg", "only tars are read"),
        ("memory://x/{0..999999999}.tar", "more than 100,000 files"),
        ("nonsense://bucket/0.tar", "not an address that can be read"),
    ],
)
def test_a_wrong_address_is_one_line(memory, address, words):
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        open_images([address])
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UserError, match=r"s3://bucket/0\.tar: .*s3fs"):
        open_images(["s3://bucket/0.tar"])
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(UserError, match=r"needs the package fsspec"):
        open_images(["gs://bucket/0.tar"])


def test_requests_are_tried_again_and_end_the_run_when_they_keep_failing(memory, monkeypatch):
    images = open_images(["memory://bucket/{0..1}.tar"])
    left, whole = [2], type(memory).cat_file

    def flaky(self, *args, **kwargs):
        left[0] -= 1
        if left[0] >= 0:
            raise OSError("503 Slow Down\nplease")
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(type(memory), "cat_file", flaky)
    assert images.read(4) == CONTENTS[4]
    left[0] = 3
    with pytest.raises(UserError, match=r"1\.tar: cannot be read after 3 tries \(503 Slow Down please\)"):
        images.read(4)


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; byte ranges too, unless `whole` is set."""

    whole = False
    asked: list[str | None] = []  # noqa: RUF012

    def do_GET(self):
        self.asked.append(self.headers["Range"])
        data = Path(self.translate_path(self.path)).read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        if match and not self.whole:
            start, end = int(match[1]), min(int(match[2] or len(data)), len(data) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
            data = data[start : end + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_HEAD(self):
        data = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Accept-Ranges", "none" if self.whole else "bytes")
        self.send_header("ETag", f'"{hash(data)}"')
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(params=[False, True], ids=["ranges", "whole"])
def server(tars, request):
    pytest.importorskip("aiohttp", reason="fsspec reads http with aiohttp")
    handler = type("Handler", (Ranges,), {"whole": request.param, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: handler(*a, directory=str(tars))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


def test_tars_on_a_web_server_are_read_by_position_or_refused(server):
    address, handler = server
    if handler.whole:
        with pytest.raises(UserError, match=r"0\.tar: the server sends whole files only"):
            all_of(open_images([f"{address}/{{0..1}}.tar"]))
        return
    images = open_images([f"{address}/{{0..1}}.tar"])
    handler.asked.clear()
    assert all_of(images) == CONTENTS
    assert len(handler.asked) == 4 and all(asked.startswith("bytes=") for asked in handler.asked)  # two images are empty
    with pytest.raises(UserError, match=r"2\.tar: "):
        open_images([f"{address}/2.tar"])
