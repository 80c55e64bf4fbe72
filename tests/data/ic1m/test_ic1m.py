import collections
import csv
import hashlib
import http.server
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from clicv2lite.cli import main as main_command
from clicv2lite.data.ic1m import guard, rounds
from clicv2lite.data.ic1m.build import Draw, build, rebuild
from clicv2lite.data.ic1m.command import add_arguments, run
from clicv2lite.data.ic1m.engine import Engine, find_engine
from clicv2lite.data.ic1m.manifest import FIELDS, read_manifest
from clicv2lite.data.ic1m.rounds import Pace
from clicv2lite.data.packing.form import Form
from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError

pytestmark = pytest.mark.posix  # locks, signals, bash

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra ic1m)")
pq = pytest.importorskip("pyarrow.parquet")

FORM = Form(side=48, quality=90, shard=4)
PACE = Pace(processes=1, threads=4, attempts=3, round=8)
HANG = 120  # seconds, which only a test that hangs waits for


def photograph(seed: int) -> bytes:
    """A JPEG of 100 x 75; the same for the same seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((100, 75), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


class Site(http.server.ThreadingHTTPServer):
    """/KIND/ID.jpg, where KIND says what goes wrong."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: collections.Counter[str] = collections.Counter()
        self.agents: set[str] = set()
        self.changed: set[str] = set()  # paths with another picture than before
        self.closed: set[str] = set()  # paths that are gone by now
        self.over = threading.Event()  # the test is: slow answers need not be slow any more

    def url(self, kind: str, number: int) -> str:
        return f"http://127.0.0.1:{self.server_port}/{kind}/{number}.jpg"

    def handle_error(self, *_: object) -> None:
        """A client that gave up waiting is no news."""


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site: Site = self.server  # type: ignore[assignment]
        site.asked[self.path] += 1
        site.agents.add(self.headers["User-Agent"])
        _, kind, file = self.path.split("/")
        number, data, code, headers = int(file.split(".")[0]), b"", 200, {}
        if kind.isdecimal():
            code = int(kind)
        elif kind == "busy" and site.asked[self.path] <= number % 2 + 1:
            code = 429
        elif self.path in site.closed:
            code = 404
        if code == 200:
            data = photograph(999 if kind == "same" else number + 1000 * (self.path in site.changed))
            if kind == "html":
                data = b"<!DOCTYPE html><p>removed"  # the same for every photo
            if kind == "half":
                data = data[: len(data) // 2]
            if kind == "noai":
                headers["X-Robots-Tag"] = "noai"
            if kind == "slow":
                site.over.wait(HANG)
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) + 500 * (kind == "cut")))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site():
    server = Site()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def metadata(folder: Path, urls: list[str]) -> list[str]:
    folder.mkdir(exist_ok=True)
    for k in range(2):  # two files
        part = list(enumerate(urls))[k::2]
        columns = {"id": [str(700 + i) for i, _ in part], "owner": [f"{i}@N00" for i, _ in part]}
        columns |= {"url_m": [url for _, url in part], "license": [4 + i % 2 for i, _ in part]}
        pq.write_table(pa.table(columns), folder / f"part-{k}.parquet")
    return [str(folder)]


def mixed(site: Site) -> list[str]:
    kinds = ["ok"] * 9 + ["404", "403", "500", "busy", "busy", "cut", "half", "html", "slow", "noai", "same", "same", "410"]
    kinds.append("html")
    return [site.url(kind, i) for i, kind in enumerate(kinds)]


def stand_in(urls: Path, images: Path, pace: Pace, per_shard: int, poll=lambda: None) -> None:
    """A downloader that leaves what img2dataset leaves, one address after the other."""

    def look(headers) -> None:
        if headers.get("X-Robots-Tag") == "noai":
            raise guard.NotAllowed("Use of image disallowed by X-Robots-Tag directive")

    table = pq.read_table(urls).to_pylist()
    images.mkdir(exist_ok=True)
    for shard, start in enumerate(range(0, len(table), per_shard)):
        if (images / f"{shard:05d}_stats.json").exists():
            continue
        rows = []
        with tarfile.open(images / f"{shard:05d}.tar", "w") as tar:
            for k, row in enumerate(table[start : start + per_shard]):
                key, data, error = f"{shard:05d}{k:04d}", None, None
                limits = guard.Limits(timeout=0.05 if "/slow/" in row["url"] else HANG, seconds=HANG, private=True)
                try:
                    data = guard.fetch(row["url"], limits, "clicv2lite", None, look)
                except Exception as problem:
                    error = guard.explain(problem)
                if data is not None:
                    member = tarfile.TarInfo(f"{key}.jpg")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                status = "failed_to_download" if data is None else "success"
                sha256 = None if data is None else hashlib.sha256(data).hexdigest()
                rows.append({**row, "key": key, "status": status, "error_message": error, "sha256": sha256})
        pq.write_table(pa.Table.from_pylist(rows), images / f"{shard:05d}.parquet")
        (images / f"{shard:05d}_stats.json").write_text("{}")
        poll()


@pytest.fixture(autouse=True)
def waits(monkeypatch) -> list[float]:
    """The pauses that would have been made."""
    made: list[float] = []
    monkeypatch.setattr(rounds.fetch, "__defaults__", (made.append,))
    return made


def by_url(photos) -> dict[str, object]:
    return {re.sub(r".*:\d+/", "", photo.url): photo for photo in photos}


def expected(path: str) -> str:
    kind = path.split("/")[0]
    return {
        **{"ok": "ok", "busy": "ok", "same": "ok", "404": "gone", "410": "gone", "403": "refused", "500": "refused"},
        **{"cut": "unreachable", "slow": "unreachable", "half": "unusable", "html": "unusable", "noai": "disallowed"},
    }[kind]


def check_mixed(built, site: Site) -> None:
    photos = by_url(built.photos)
    same = sorted(photo.status for path, photo in photos.items() if path.startswith("same"))
    assert same == ["duplicate", "ok"]
    for path, photo in photos.items():
        assert photo.status == expected(path) or path.startswith("same"), (path, photo)
        kind, number = path.removesuffix(".jpg").split("/")
        tried = site.asked[f"/{path}"]
        if kind == "busy":
            assert tried == int(number) % 2 + 2
        else:
            assert tried == (PACE.attempts if kind in ("403", "500", "cut", "slow") else 1), (path, tried)
        if photo.status == "ok" and kind != "same":
            data = photograph(int(number))
            assert photo.sha256 == hashlib.sha256(data).hexdigest() and int(photo.bytes) == len(data)
            assert (photo.width, photo.height) == ("100", "75")
    images = open_images([built.pattern])
    good = [photo for photo in built.photos if photo.status == "ok"]
    assert len(images) == len(good) == 12
    for i, photo in enumerate(good):
        assert hashlib.sha256(images.read(i)).hexdigest() == photo.packed_sha256
        assert images.names[i].endswith(f"{photo.shard}/{photo.key}.jpg")


def test_every_kind_of_answer_ends_as_it_should(site, tmp_path):
    built = build(metadata(tmp_path / "in", mixed(site)), tmp_path / "out", Draw(100), FORM, PACE, stand_in)
    check_mixed(built, site)
    assert built.sha256 == hashlib.sha256(built.manifest.read_bytes()).hexdigest()
    with built.manifest.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert tuple(table[0]) == FIELDS and len(table) == 23 and str(tmp_path) not in built.manifest.read_text()
    photos = by_url(built.photos)
    assert "404" in photos["404/9.jpg"].error and "web page" in photos["html/16.jpg"].error
    assert photos["half/15.jpg"].sha256 == hashlib.sha256(photograph(15)[: len(photograph(15)) // 2]).hexdigest()


def test_a_shard_carries_what_attribution_needs(site, tmp_path):
    tables = metadata(tmp_path / "in", [site.url("ok", i) for i in range(3)])
    photo = build(tables, tmp_path / "out", Draw(3), FORM, PACE, stand_in).photos[0]
    with tarfile.open(tmp_path / "out/shards" / photo.shard) as tar:
        about = json.load(tar.extractfile(f"{photo.key}.json"))
    number = int(photo.id) - 700
    assert (about["photo"], about["owner"], about["url"]) == (photo.id, f"{number}@N00", site.url("ok", number))
    assert about["licence"] == str(4 + number % 2) and about["source"]["sha256"] == photo.sha256


def test_refusals_make_the_next_rounds_later_and_narrower(site, tmp_path, waits):
    seen = []

    def watched(urls, images, pace, per_shard, poll):
        seen.append((pq.read_table(urls).num_rows, pace.threads))
        stand_in(urls, images, pace, per_shard, poll)

    urls = [site.url("ok" if i < 20 else "403", i) for i in range(26)]
    table = pa.table({"url": urls})
    state = rounds.fetch(table, tmp_path / "d", Pace(1, 32, 4, 10), watched)
    # 20 good ones; 6 refused in the third round, then three more times, each later and with half the threads
    assert seen == [(10, 32), (10, 32), (6, 32), (6, 16), (6, 8), (6, 4)]
    assert waits == [60, 120, 240] and (state.status[:20] == rounds.OK).all() and (state.attempts[20:] == 4).all()


def test_few_refusals_do_not_slow_the_others_down_and_are_tried_last(site, tmp_path, waits):
    seen = []

    def watched(urls, images, pace, per_shard, poll):
        seen.append((pq.read_table(urls)["number"].to_pylist(), pace.threads, len(waits)))
        stand_in(urls, images, pace, per_shard, poll)

    urls = [site.url("busy" if i == 0 else "ok", i) for i in range(30)]
    state = rounds.fetch(pa.table({"url": urls}), tmp_path / "d", Pace(1, 8, 4, 15), watched)
    assert seen == [(list(range(15)), 8, 0), (list(range(15, 30)), 8, 0), ([0], 8, 1)]
    assert waits == [60] and (state.status == rounds.OK).all()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("HTTP Error 404: Not Found", rounds.GONE),
        ("HTTP Error 410: Gone", rounds.GONE),
        ("HTTP Error 429: Too Many Requests", rounds.REFUSED),
        ("HTTP Error 403: Forbidden", rounds.REFUSED),
        ("HTTP Error 503: Service Unavailable", rounds.REFUSED),
        ("HTTP Error 400: Bad Request", rounds.BROKEN),
        ("urlopen error timed out: not whole after 60 s", rounds.UNREACHABLE),
        ("urlopen error [Errno -3] Temporary failure in name resolution", rounds.UNREACHABLE),
        ("[Errno 104] Connection reset by peer", rounds.UNREACHABLE),
        ("Remote end closed connection without response", rounds.UNREACHABLE),
        ("IncompleteRead(100 bytes read, 500 more expected)", rounds.UNREACHABLE),
        ("Use of image disallowed by X-Robots-Tag directive", rounds.DISALLOWED),
        ("not allowed: only http and https are fetched, not file", rounds.BROKEN),
        ("not allowed: connection-timed-out.example is 10.0.0.1, not a public address", rounds.BROKEN),
    ],
)
def test_messages_are_understood(error, status):
    assert rounds.classify(error) == status


@pytest.mark.parametrize("stage", range(1, 9))
def test_a_run_that_stops_anywhere_goes_on_to_the_same_set(site, tmp_path, stage, monkeypatch):
    """The run ends at the `stage`-th file that it would put in place, as if killed there; the next one finishes."""
    tables = metadata(tmp_path / "in", [site.url("ok", i) for i in range(14)])
    whole = build(tables, tmp_path / "whole", Draw(12), FORM, PACE, stand_in)
    replace, left = os.replace, [stage]

    def stop(source, target):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            build(tables, tmp_path / "out", Draw(12), FORM, PACE, stand_in)
    built = build(tables, tmp_path / "out", Draw(12), FORM, PACE, stand_in)
    assert built.sha256 == whole.sha256
    for tar in (tmp_path / "whole/shards").glob("*.tar"):
        assert tar.read_bytes() == (tmp_path / "out/shards" / tar.name).read_bytes()
    shutil.rmtree(tmp_path / "out/download")
    assert build(tables, tmp_path / "out", Draw(12), FORM, PACE, stand_in) == built  # a finished set needs nothing more


def test_a_finished_shard_of_a_broken_off_round_is_not_downloaded_again(site, tmp_path):
    urls = [site.url("ok", i) for i in range(30)]

    def broken_off(urls, images, pace, per_shard, poll):
        def stop():
            raise KeyboardInterrupt

        stand_in(urls, images, pace, per_shard, stop)  # after its first shard

    with pytest.raises(KeyboardInterrupt):
        rounds.fetch(pa.table({"url": urls}), tmp_path / "d", Pace(round=30), broken_off)
    state = rounds.fetch(pa.table({"url": urls}), tmp_path / "d", Pace(processes=9, round=5), stand_in)  # another pace
    assert (state.status == rounds.OK).all() and set(site.asked.values()) == {1}


def test_once_packed_more_attempts_change_nothing(site, tmp_path):
    tables = metadata(tmp_path / "in", [site.url("ok" if i else "403", i) for i in range(9)])
    built = build(tables, tmp_path / "out", Draw(9), FORM, PACE, stand_in)
    built.manifest.unlink()
    asked = dict(site.asked)
    again = build(tables, tmp_path / "out", Draw(9), FORM, Pace(1, 4, 9, 8), stand_in)
    assert again == built and asked == dict(site.asked)


def test_a_rebuild_from_the_manifest_is_the_same_set_to_the_byte(site, tmp_path):
    first = build(metadata(tmp_path / "in", mixed(site)), tmp_path / "out", Draw(100), FORM, PACE, stand_in)
    again = rebuild(first.manifest, tmp_path / "again", FORM, PACE, stand_in)
    assert again.sha256 == first.sha256 and again.photos == first.photos
    tars = sorted((tmp_path / "out/shards").glob("*.tar"))
    assert len(tars) == 4
    for tar in tars:
        assert tar.read_bytes() == (tmp_path / "again/shards" / tar.name).read_bytes()


def test_a_rebuild_says_what_is_changed_and_gone_and_keeps_every_other_image_in_its_place(site, tmp_path):
    tables = metadata(tmp_path / "in", [site.url("ok", i) for i in range(12)])
    first = build(tables, tmp_path / "out", Draw(12), FORM, PACE, stand_in)
    site.changed, site.closed = {"/ok/3.jpg", "/ok/4.jpg"}, {"/ok/7.jpg"}
    again = rebuild(first.manifest, tmp_path / "again", FORM, PACE, stand_in)
    photos, before = by_url(again.photos), by_url(first.photos)
    assert {path: photo.status for path, photo in photos.items() if photo.status != "ok"} == {
        "ok/3.jpg": "changed", "ok/4.jpg": "changed", "ok/7.jpg": "gone",
    }  # fmt: skip
    assert hashlib.sha256(photograph(1003)).hexdigest() in photos["ok/3.jpg"].error
    for path, photo in photos.items():
        if photo.status == "ok":
            assert photo == before[path]
    touched = {before[path].shard for path in ("ok/3.jpg", "ok/4.jpg", "ok/7.jpg")}
    for tar in (tmp_path / "out/shards").glob("*.tar"):
        same = tar.read_bytes() == (tmp_path / "again/shards" / tar.name).read_bytes()
        assert same == (tar.name not in touched)
    assert len(open_images([again.pattern])) == 9
    third = rebuild(again.manifest, tmp_path / "third", FORM, PACE, stand_in)
    assert third.sha256 == again.sha256


@pytest.mark.parametrize("key", ["000000000", "999999999"])
def test_a_rebuild_with_a_key_that_no_build_writes_is_one_line(site, tmp_path, key):
    tables = metadata(tmp_path / "in", [site.url("ok", i) for i in range(3)])
    first = build(tables, tmp_path / "out", Draw(3), FORM, PACE, stand_in)
    first.manifest.write_text(first.manifest.read_text().replace(",000000001,", f",{key},"))
    with pytest.raises(UserError, match=r"manifest\.csv: a key is there twice, or is too large; give the manifest\.csv of a"):
        rebuild(first.manifest, tmp_path / "again", FORM, PACE, stand_in)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("text", ["[1]", "1", "null", "{"])
def test_options_of_a_build_that_cannot_be_read_are_one_line(site, tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/asked.json").write_text(text)
    with pytest.raises(UserError, match=r"asked\.json: unreadable; remove the folder .*out and run the command again"):
        build(metadata(tmp_path / "in", [site.url("ok", 0)]), tmp_path / "out", Draw(1), FORM, PACE, stand_in)


def test_a_rebuild_of_nothing_that_is_left_is_one_line(site, tmp_path):
    first = build(metadata(tmp_path / "in", [site.url("ok", 1)]), tmp_path / "out", Draw(1), FORM, PACE, stand_in)
    site.changed = {"/ok/1.jpg"}
    with pytest.raises(UserError, match="none of its 1 images can be downloaded as it was"):
        rebuild(first.manifest, tmp_path / "again", FORM, PACE, stand_in)


def test_no_network_is_one_line_and_costs_no_attempt(site, tmp_path):
    urls = [f"http://127.0.0.1:{site.server_port}/ok/{i}.jpg" for i in range(12)]
    tables = metadata(tmp_path / "in", urls)

    def cut_off(urls, images, pace, per_shard, poll):
        table = pq.read_table(urls)
        dead = pa.array(["http://127.0.0.1:9/x.jpg"] * len(table))  # the discard port: refused at once
        pq.write_table(table.set_column(0, "url", dead), urls.with_name("dead.parquet"))
        stand_in(urls.with_name("dead.parquet"), images, pace, per_shard)

    with pytest.raises(UserError, match=r"network: none of 8 addresses could be reached \(.*refused.*; check the network"):
        build(tables, tmp_path / "out", Draw(12), FORM, PACE, cut_off)
    built = build(tables, tmp_path / "out", Draw(12), FORM, Pace(1, 4, 1, 8), stand_in)
    assert all(photo.status == "ok" for photo in built.photos)


def test_addresses_that_stay_dead_end_one_run_and_not_the_next(site, tmp_path):
    table = pa.table({"url": [site.url("ok" if i < 8 else "cut", i) for i in range(11)]})
    with pytest.raises(UserError, match=r"network: none of 3 addresses could be reached .*: it goes on from here"):
        rounds.fetch(table, tmp_path / "d", PACE, stand_in)
    state = rounds.fetch(table, tmp_path / "d", PACE, stand_in)
    assert state.status.tolist() == [rounds.OK] * 8 + [rounds.UNREACHABLE] * 3
    assert state.attempts.tolist() == [1] * 8 + [PACE.attempts] * 3


def test_a_full_disk_under_the_downloader_is_one_line(site, tmp_path):
    def full(urls, images, pace, per_shard, poll):
        urls.with_name("log.txt").write_text("shard 0 failed with error [Errno 28] No space left on device")
        raise UserError("img2dataset failed")

    with pytest.raises(UserError, match="the disk is full; make room and run the command again: it goes on from here"):
        build(metadata(tmp_path / "in", [site.url("ok", 0)]), tmp_path / "out", Draw(1), FORM, PACE, full)


def test_bytes_that_rot_between_download_and_packing_are_not_packed(site, tmp_path):
    tables = metadata(tmp_path / "in", [site.url("ok", i) for i in range(6)])

    def rotten(urls, images, pace, per_shard, poll):
        stand_in(urls, images, pace, per_shard)
        tar = images / "00000.tar"
        data = bytearray(tar.read_bytes())
        data[512 + 1500] ^= 1  # within the first picture
        tar.write_bytes(data)

    built = build(tables, tmp_path / "out", Draw(6), FORM, PACE, rotten)
    bad = [photo for photo in built.photos if photo.status != "ok"]
    assert [photo.status for photo in bad] == ["unusable"] and "not those that were downloaded" in bad[0].error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"which": Draw(5)}, "begun with other count"),
        ({"which": Draw(6, seed=1)}, "begun with other seed"),
        ({"form": Form(64, 90, 4)}, "begun with other side"),
    ],
)
def test_another_wish_needs_another_folder(site, tmp_path, change, message):
    tables = metadata(tmp_path / "in", [site.url("ok", i) for i in range(6)])
    wish = {"which": Draw(6), "form": FORM}
    build(tables, tmp_path / "out", **wish, pace=PACE, download=stand_in)
    with pytest.raises(UserError, match=message):
        build(tables, tmp_path / "out", **{**wish, **change}, pace=PACE, download=stand_in)


def test_a_folder_with_other_things_is_left_alone(site, tmp_path):
    tables = metadata(tmp_path / "in", [site.url("ok", 0)])
    with pytest.raises(UserError, match="the folder is not empty"):
        build(tables, tmp_path / "in", Draw(1), FORM, PACE, stand_in)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,url\n1,x\n", "line 2: no licence"),
        (",".join(FIELDS) + "\n1,http://x,,,ok,abc,,,,,,,\n", "line 2: an image without url, sha256 or key"),
        (",".join(FIELDS) + "\n1,http://x,,,gone,,,,,,,,\n", "lists no image"),
        (",".join(FIELDS) + "\n" + "x," * 20 + "\n", "line 2: too many cells"),
        ("\xff\xfe", "it lists no image"),
    ],
)
def test_a_wrong_manifest_is_one_line(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path / "m.csv")


def test_a_missing_manifest_is_one_line(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize("words", [("--count", 5), ("--seed", 0), ("--licence", 4)])
def test_an_option_of_the_draw_with_a_manifest_is_one_line(tmp_path, words):
    with pytest.raises(UserError, match=f"{words[0]}: an option of --metadata; leave it out"):
        command("--manifest", tmp_path / "m.csv", "--out", tmp_path / "out", *words)


def command(*words: object) -> int:
    import argparse

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(word) for word in words]))


STUB = {
    "__init__.py": "from .main import main",
    "downloader.py": """
import hashlib, io, json, tarfile
import pyarrow as pa, pyarrow.parquet as pq

def is_disallowed(headers, token, directives):
    return token == "clicv2lite" and headers.get("X-Robots-Tag") in directives

def download_image(row, timeout, token, directives):
    raise AssertionError("not guarded")

class Downloader:
    def __init__(self, folder):
        self.folder = folder

    def __call__(self, shard):
        number, table, rows = shard[0], shard[1].to_pylist(), []
        with tarfile.open(f"{self.folder}/{number:05d}.tar", "w") as tar:
            for k, row in enumerate(table):
                key = f"{number:05d}{k:04d}"
                _, stream, error = download_image((k, row["url"]), 1, "clicv2lite", {"noai"})
                data = stream.read() if stream else b""
                if stream:
                    member = tarfile.TarInfo(f"{key}.jpg")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                status, sha256 = ("failed_to_download", None) if error else ("success", hashlib.sha256(data).hexdigest())
                rows.append({**row, "key": key, "status": status, "error_message": error, "sha256": sha256})
        pq.write_table(pa.Table.from_pylist(rows), f"{self.folder}/{number:05d}.parquet")
        open(f"{self.folder}/{number:05d}_stats.json", "w").write("{}")
""",
    "main.py": """
import multiprocessing, os, sys
import pyarrow.parquet as pq
from .downloader import Downloader

def main():
    o = dict(word[2:].split("=", 1) for word in sys.argv[1:])
    assert o["retries"] == "0" and o["disable_all_reencoding"] == "True" and "disallowed_header_directives" not in o
    assert o["user_agent_token"] == "clicv2lite" and o["processes_count"] == "3" and o["distributor"] == "pyspark"
    os.makedirs(o["output_folder"], exist_ok=True)
    table, size = pq.read_table(o["url_list"]), int(o["number_sample_per_shard"])
    shards = [(k, table.slice(k * size, size)) for k in range(-(-len(table) // size))]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(Downloader(o["output_folder"]), shards)
""",
}


@pytest.fixture
def program(tmp_path) -> Path:
    """An environment whose img2dataset has the parts of the real one that matter here, and processes of its own."""
    (tmp_path / "lib/img2dataset").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    for name, text in STUB.items():
        (tmp_path / "lib/img2dataset" / name).write_text(text)
    (tmp_path / "bin/python").write_text(f"#!/bin/sh\nPYTHONPATH='{tmp_path}/lib' exec '{sys.executable}' \"$@\"\n")
    (tmp_path / "bin/python").chmod(0o755)
    (tmp_path / "bin/img2dataset").touch()
    return tmp_path / "bin/img2dataset"


def test_the_command_says_what_it_made(site, tmp_path, program, capsys, monkeypatch):
    monkeypatch.setattr("clicv2lite.data.ic1m.engine.POLL", 0.05)
    tables = metadata(tmp_path / "in", [site.url("ok" if i else "404", i) for i in range(5)])
    out = tmp_path / "out"
    words = ["--out", out, "--img2dataset", program, "--side", 48, "--jobs", 1]
    words += ["--processes", 3, "--distributor", "pyspark", "--allow-private"]
    assert command("--metadata", *tables, *words) == 0
    digest = hashlib.sha256((out / "manifest.csv").read_bytes()).hexdigest()
    assert capsys.readouterr().out.splitlines() == [
        *(str(out / "manifest.csv"), "4 of 5 photos; 1 gone", f"sha256 of the manifest: {digest}"),
        f"--images {out}/shards/000000.tar",
    ]


def test_a_line_without_failures_ends_after_the_photos(site, tmp_path, program, capsys, monkeypatch):
    monkeypatch.setattr("clicv2lite.data.ic1m.engine.POLL", 0.05)
    tables = metadata(tmp_path / "in", [site.url("ok", i) for i in range(2)])
    words = ["--out", tmp_path / "it's", "--img2dataset", program, "--jobs", 1, "--processes", 3, "--distributor", "pyspark"]
    assert command("--metadata", *tables, *words, "--allow-private") == 0
    _, photos, _, images = capsys.readouterr().out.splitlines()
    assert photos == "2 of 2 photos" and shlex.split(images) == ["--images", f"{tmp_path}/it's/shards/000000.tar"]


def test_every_process_of_the_engine_is_guarded(site, tmp_path, program, monkeypatch, capsys):
    """Without `--allow-private` no server on this machine is asked for anything, in whatever process that would be."""
    monkeypatch.setattr("clicv2lite.data.ic1m.engine.POLL", 0.05)
    tables = metadata(tmp_path / "in", [site.url("ok", i) for i in range(5)])
    words = ["--out", tmp_path / "out", "--img2dataset", program, "--processes", 3, "--distributor", "pyspark"]
    with pytest.raises(UserError, match=rf"no image came \(not allowed: port {site.server_port}\)"):
        command("--metadata", *tables, *words)
    assert not site.asked


def test_a_photo_larger_than_allowed_is_left_out_and_said(site, tmp_path, program, monkeypatch, capsys):
    monkeypatch.setattr("clicv2lite.data.ic1m.engine.POLL", 0.05)
    sizes = [len(photograph(i)) for i in range(4)]
    most = sorted(sizes)[1]
    tables = metadata(tmp_path / "in", [site.url("ok", i) for i in range(4)])
    words = ["--out", tmp_path / "out", "--img2dataset", program, "--processes", 3, "--distributor", "pyspark", "--jobs", 1]
    assert command("--metadata", *tables, *words, "--allow-private", "--max-megabytes", most / 1e6) == 0
    photos = by_url(read_manifest(tmp_path / "out/manifest.csv"))
    for i, size in enumerate(sizes):
        photo = photos[f"ok/{i}.jpg"]
        want = ("ok", "") if size <= most else ("error", f"not allowed: more than {most:,} bytes")
        assert (photo.status, photo.error) == want


def test_a_downloader_that_fails_is_one_line_with_its_last_words(site, tmp_path, monkeypatch):
    monkeypatch.setattr("clicv2lite.data.ic1m.engine.POLL", 0.05)
    (tmp_path / "bad").write_text("#!/bin/sh\necho one\necho 'ValueError: no such thing' >&2\nexit 1\n")
    (tmp_path / "bad").chmod(0o755)
    tables = metadata(tmp_path / "in", [site.url("ok", 0)])
    with pytest.raises(UserError, match=r"img2dataset failed \(ValueError: no such thing\); see .*log\.txt"):
        build(tables, tmp_path / "out", Draw(1), FORM, PACE, Engine((str(tmp_path / "bad"),)))
    (tmp_path / "bad").write_text("#!/bin/sh\nexit 0\n")  # img2dataset without ray says nothing and does nothing
    with pytest.raises(UserError, match="is ray installed beside it"):
        build(tables, tmp_path / "out", Draw(1), FORM, PACE, Engine((str(tmp_path / "bad"),), "ray"))


def test_an_interrupt_ends_the_downloader_and_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr("clicv2lite.data.ic1m.engine.POLL", 0.05)
    (tmp_path / "long").write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/child\nwait\n")
    (tmp_path / "long").chmod(0o755)

    def interrupt():
        if (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Engine((str(tmp_path / "long"),))(tmp_path / "urls.parquet", tmp_path / "images", PACE, 10, interrupt)
    child = int((tmp_path / "child").read_text())
    for _ in range(20 * HANG):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text(encoding="utf-8").split()[2] == "Z":
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("a child was left behind")


def test_what_img2dataset_names_is_found_or_refused(tmp_path):
    limits = guard.Limits(size=5)
    assert find_engine(sys.executable, "ray", limits).command[:2] == (sys.executable, guard.__file__)
    assert guard.Limits(**json.loads(find_engine(sys.executable, "ray", limits).command[2])) == limits
    (tmp_path / "venv/bin").mkdir(parents=True)
    program = tmp_path / "venv/bin/img2dataset"
    program.touch()
    for name in (tmp_path / "venv", program):  # a program without its python could not be guarded
        with pytest.raises(UserError, match=r"no virtual environment \(there is no .*venv/bin/python\)"):
            find_engine(str(name), "multiprocessing", limits)
    (tmp_path / "venv/bin/python").symlink_to(sys.executable)
    for name in (tmp_path / "venv", program):
        assert find_engine(str(name), "ray", limits).command[0] == str(tmp_path / "venv/bin/python")
    with pytest.raises(UserError, match="there is no such program or folder"):
        find_engine("no-such-python", "multiprocessing", limits)


REAL = os.environ.get("CLICV2LITE_IMG2DATASET")  # a python that has img2dataset


@pytest.mark.skipif(not REAL, reason="CLICV2LITE_IMG2DATASET names no python with img2dataset")
def test_img2dataset_itself_gets_every_kind_of_answer(site, tmp_path):
    pace = Pace(processes=1, threads=4, attempts=3, round=30)
    tables = metadata(tmp_path / "in", mixed(site))
    engine = find_engine(REAL, "multiprocessing", guard.Limits(timeout=2, private=True))
    built = build(tables, tmp_path / "out", Draw(100), FORM, pace, engine)
    check_mixed(built, site)
    assert all("clicv2lite" in agent for agent in site.agents)


@pytest.mark.skipif(not REAL, reason="CLICV2LITE_IMG2DATASET names no python with img2dataset")
def test_img2dataset_ends_with_us(site, tmp_path):
    """We are killed while it waits for slow answers; it does not go on by itself."""
    tables = metadata(tmp_path / "in", [site.url("slow", i) for i in range(40)])
    words = ["data", "ic1m", "--metadata", *tables, "--out", str(tmp_path / "out"), "--img2dataset", str(REAL)]
    words += ["--allow-private"]
    process = subprocess.Popen([sys.executable, "-m", "clicv2lite", *words, "--threads", "1", "--processes", "1"])
    while not site.asked and process.poll() is None:
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert len(children) > 1 and psutil.wait_procs(children, timeout=HANG)[1] == []


@pytest.mark.parametrize("option, name, line", [
    ("--metadata", "", "no .parquet file in this folder or below"), ("--metadata", "none", "there is no such file or folder"),
    ("--manifest", "none.csv", "there is no such file"),
])  # fmt: skip
def test_nothing_is_installed_for_metadata_that_cannot_be_read(tmp_path, monkeypatch, capsys, option, name, line):
    monkeypatch.setattr("clicv2lite.data.ic1m.engine._environment", lambda distributor: pytest.fail("an environment is made"))
    assert main_command(["data", "ic1m", option, str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
    assert f"{option} {tmp_path / name}: {line}" in capsys.readouterr().err
