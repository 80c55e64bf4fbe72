import csv
import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from pathlib import Path

import bracex
import filelock
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clicv2lite.data.images import read_image
from clicv2lite.data.packing import shards
from clicv2lite.data.packing.form import Form
from clicv2lite.data.packing.pack import STATE, Opened, Packed, pack, shard_pattern
from clicv2lite.data.packing.shards import FIELDS, small_jpeg
from clicv2lite.data.sources import open_images
from clicv2lite.data.worlds import sample
from clicv2lite.errors import UserError


def picture(seed: int, width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve pictures of several formats and sizes."""
    root = tmp_path / "in"
    root.mkdir()
    for i in range(12):
        kind = ("jpg", "png", "webp")[i % 3]
        picture(i, 40 + 17 * i, 60 + 5 * i).save(root / f"{i:02d}.{kind}")
    return root


def packed(source: object, out: Path, jobs: int = 1, **form: int) -> Packed:
    return pack(Opened(open_images([str(source)])), out, Form(**form), jobs)


def rows(out: Path) -> list[dict[str, str]]:
    with open(out / "manifest.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tree(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "lock"}


def test_what_is_packed_opens_as_a_source_and_agrees_with_the_manifest_and_the_json(folder, tmp_path):
    done = packed(folder, tmp_path / "out", side=64, shard=5)
    assert done.pattern == str(tmp_path / "out/{000000..000002}.tar") and done.good == 12 == done.made
    images, table = open_images([done.pattern]), rows(tmp_path / "out")
    assert len(images) == 12 == len(table) and tuple(table[0]) == FIELDS
    for i, row in enumerate(table):
        data = images.read(i)
        with tarfile.open(tmp_path / "out" / row["shard"]) as tar:
            about = json.load(tar.extractfile(f"{row['id']}.json"))
        image = Image.open(io.BytesIO(data))
        assert hashlib.sha256(data).hexdigest() == row["sha256"] == about["sha256"]
        assert [str(side) for side in image.size] == [row["width"], row["height"]] and image.format == "JPEG"
        source = (folder / f"{i:02d}.{('jpg', 'png', 'webp')[i % 3]}").read_bytes()
        assert row["source_sha256"] == hashlib.sha256(source).hexdigest() == about["source"]["sha256"]
        assert (about["source"]["width"], about["source"]["height"]) == (40 + 17 * i, 60 + 5 * i)
        assert row["name"] == about["name"] == str(folder / f"{i:02d}.{('jpg', 'png', 'webp')[i % 3]}")


@given(st.integers(16, 300), st.integers(16, 300), st.sampled_from(["JPEG", "PNG"]))
def test_the_short_side_and_the_aspect_ratio_are_kept_and_nothing_is_enlarged(width, height, kind):
    small = small_jpeg(encoded(picture(0, width, height), kind), "x", 64, 90)
    assert min(small.width, small.height) == min(64, width, height)
    long = max(width, height) * min(small.width, small.height) / min(width, height)
    assert abs(max(small.width, small.height) - long) <= 0.5 and (small.width >= small.height or width < height)
    assert (small.source_width, small.source_height) == (width, height)


@pytest.mark.parametrize("size", [(1200, 900), (333, 500)])
def test_pixels_are_those_of_a_full_decode_and_a_lanczos_resize(size):
    data = encoded(picture(3, *size), quality=95)
    small = small_jpeg(data, "x", 128, 95)
    got = np.asarray(Image.open(io.BytesIO(small.data)), float)
    want = np.asarray(Image.open(io.BytesIO(data)).resize((small.width, small.height), Image.Resampling.LANCZOS), float)
    assert np.abs(got - want).mean() < 1.5 and small.data != data


def test_a_small_upright_jpeg_is_kept_byte_for_byte_and_others_are_not():
    plain, gray = encoded(picture(1, 90, 64), quality=35), encoded(picture(1, 90, 64).convert("L"))
    assert small_jpeg(plain, "x", 64, 90).data == plain and small_jpeg(gray, "x", 64, 90).data == gray
    assert small_jpeg(plain, "x", 63, 90).data != plain
    assert small_jpeg(encoded(picture(1, 90, 64).convert("CMYK")), "x", 64, 90).data[:3] == b"\xff\xd8\xff"
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    lying = encoded(picture(1, 90, 64), exif=exif)
    small = small_jpeg(lying, "x", 64, 90)
    assert (small.width, small.height) == (64, 90) == (small.source_width, small.source_height)
    assert Image.open(io.BytesIO(small.data)).getexif().get(0x0112, 1) == 1
    upright = read_image(lying)
    assert np.abs(np.asarray(read_image(small.data), float) - np.asarray(upright, float)).mean() < 2
    odd = b"Exif\0\0MM\0*\0\0\0\x08\0\2\1\x12\0\3\0\0\0\1\0\6\0\0\1\x1a\0\2\0\0\0\4abc\0\0\0\0\0"  # a resolution in letters
    small = small_jpeg(encoded(picture(1, 640, 160), exif=odd), "x", 64, 90)
    assert (small.width, small.height) == (64, 256)


def test_an_image_too_long_for_a_jpeg_is_a_failed_image(tmp_path):
    (tmp_path / "long.png").write_bytes(encoded(Image.new("L", (70_000, 16)), "PNG"))
    (tmp_path / "good.png").write_bytes(encoded(picture(0, 20, 20), "PNG"))
    done = packed(tmp_path, tmp_path / "out", side=16)
    assert done.good == 1 and "cannot be a JPEG" in done.failed[0]


def test_a_comment_in_a_file_is_not_packed_and_may_be_longer_than_one_of_a_jpeg(tmp_path):
    for name, size in (("long.gif", 70_000), ("short.gif", 7)):
        (tmp_path / name).write_bytes(encoded(picture(0, 40, 30).quantize(16), "GIF", comment=b"x" * size))
    done = packed(tmp_path, tmp_path / "out")
    images = open_images([done.pattern])
    assert done.good == 2 and images.read(0) == images.read(1)
    assert "comment" not in Image.open(io.BytesIO(images.read(0))).info


def test_bad_images_are_listed_with_the_reason_and_leave_the_others_alone(folder, tmp_path):
    (folder / "00.jpg").write_bytes(b"<html>no</html>")
    (folder / "04.png").write_bytes((folder / "04.png").read_bytes()[:100])
    (folder / "11.webp").write_bytes(b"")
    done = packed(folder, tmp_path / "out", side=32, shard=4)
    assert (done.good, done.n_failed) == (9, 3) and len(done.failed) == 3
    bad = {Path(row["name"]).name: row for row in rows(tmp_path / "out") if row["status"] == "failed"}
    assert set(bad) == {"00.jpg", "04.png", "11.webp"}
    assert "web page" in bad["00.jpg"]["error"] and "truncated" in bad["04.png"]["error"] and bad["00.jpg"]["shard"] == ""
    assert bad["00.jpg"]["source_sha256"] == hashlib.sha256(b"<html>no</html>").hexdigest()
    assert len(open_images([done.pattern])) == 9


def test_a_shard_without_a_good_image_is_no_tar_and_not_in_the_pattern(folder, tmp_path):
    for name in ("03.jpg", "04.png", "05.webp"):
        (folder / name).write_bytes(b"x")
    done = packed(folder, tmp_path / "out", side=32, shard=3)
    assert sorted(p.name for p in (tmp_path / "out").glob("*.tar")) == ["000000.tar", "000002.tar", "000003.tar"]
    assert len(open_images([done.pattern])) == 9
    assert packed(folder, tmp_path / "out", side=32, shard=3).made == 0  # an empty shard is a finished one


def test_no_good_image_at_all_is_one_line(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match=r"none of the 1 images could be packed; the first: .*a\.jpg"):
        packed(tmp_path, tmp_path / "out")


@given(st.sets(st.integers(0, 40), min_size=1))
def test_a_pattern_names_the_shards_and_no_others(numbers):
    got = bracex.expand(shard_pattern(sorted(numbers)))
    assert sorted(got) == [f"{k:06d}.tar" for k in sorted(numbers)] and len(got) == len(numbers)


def test_each_member_has_one_header_so_its_bytes_lie_where_the_offsets_say(folder, tmp_path):
    packed(folder, tmp_path / "out", side=32)
    data, at, names = (tmp_path / "out/000000.tar").read_bytes(), 0, []
    while data[at]:  # a zero block ends the tar
        name, size = data[at : at + 100].rstrip(b"\0").decode(), int(data[at + 124 : at + 135], 8)
        assert data[at + 156 : at + 157] == b"0" and data[at + 257 : at + 262] == b"ustar"  # regular, no extension
        assert int(data[at + 136 : at + 147], 8) == 0  # time stamp
        names.append(name)
        at += 512 + (size + 511) // 512 * 512
    assert names == [f"{i:09d}.{kind}" for i in range(12) for kind in ("jpg", "json")]


def test_a_killed_run_of_two_processes_leaves_whole_shards_and_goes_on_to_the_bytes_of_one(tmp_path):
    source, out, whole = "worlds:60:3", tmp_path / "out", tmp_path / "whole"
    packed(source, whole, side=32, shard=5)
    command = [sys.executable, "-m", "clicv2lite", "data", "pack", "--images", source, "--out", str(out), "--jobs", "2"]
    process = subprocess.Popen([*command, "--side", "32", "--shard", "5"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while len(list(out.glob("0*.tar"))) < 3 and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    there = {path.name: path.read_bytes() for path in out.glob("*.tar")}
    assert there and all((whole / name).read_bytes() == data for name, data in there.items())
    done = packed(source, out, side=32, shard=5)
    assert done.made < 60  # each process may have lacked the word that its last shard is done: of three, one counts
    assert tree(out) == tree(whole)


def test_ctrl_c_ends_two_processes_in_the_middle_of_their_shards_and_the_next_run_goes_on(tmp_path):
    out = tmp_path / "out"
    script = f"""
        import signal, sys
        from clicv2lite.cli import main
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is born deaf to it
        sys.exit(main("data pack --images worlds:40000:3 --out {out} --jobs 2 --side 32 --shard 20000".split()))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.PIPE, text=True)
    while not list(out.glob(".0*.tmp")) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=120)[1] == "" and process.returncode == 130
    assert not list((out / STATE).glob("*.csv"))  # no shard was whole
    assert packed("worlds:20:3", tmp_path / "small", jobs=2, side=32, shard=5).good == 20


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no process groups")
def test_ctrl_c_of_a_terminal_while_its_processes_start_is_heard_by_the_command_alone(tmp_path):
    script = f"""
        import signal, sys
        from clicv2lite.cli import main
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.exit(main("data pack --images worlds:400:3 --out {tmp_path}/out --jobs 2 --side 32 --shard 20".split()))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    about = psutil.Process(process.pid)
    while not any("forkserver" in " ".join(child.cmdline()) for child in about.children()) and process.poll() is None:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to every process of the command
    assert process.communicate(timeout=120)[1] == "" and process.returncode == 130


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(folder, tmp_path, monkeypatch):
    packed(folder, tmp_path / "whole", side=32, shard=4)
    add, left = shards.add_member, [10]

    def full(tar, name, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(tar, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "add_member", full)
        with pytest.raises(UserError, match=r"out: the disk is full; make room and run the command again"):
            packed(folder, tmp_path / "out", side=32, shard=4)
    assert [p.name for p in (tmp_path / "out").glob("*.tar")] == ["000000.tar"]
    assert packed(folder, tmp_path / "out", side=32, shard=4).made == 8
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_leftovers_of_a_killed_run_are_removed_and_no_other_hidden_file(folder, tmp_path):
    out = tmp_path / "out"
    left = [out / ".000000.tar.0123abcd.tmp", out / ".manifest.csv.0123abcd.tmp", out / ".pack/.000000.csv.0123abcd.tmp"]
    mine = [out / ".notes.tmp", out / ".thesis.tex.0123abcd.tmp"]
    (out / ".pack").mkdir(parents=True)
    for path in (*left, *mine):
        path.write_bytes(b"half")
    packed(folder, out, side=32)
    assert not any(path.exists() for path in left) and all(path.read_bytes() == b"half" for path in mine)


def test_a_folder_of_other_images_or_another_form_is_refused(folder, tmp_path):
    packed(folder, tmp_path / "out", side=32)
    with pytest.raises(UserError, match="packed with --side 32, not 48"):
        packed(folder, tmp_path / "out", side=48)
    with pytest.raises(UserError, match=r"other images, or the same by another path \(give it as the first time\); choose"):
        packed(f"{folder}/../in", tmp_path / "out", side=32)
    (folder / "new.png").write_bytes((folder / "01.png").read_bytes())
    with pytest.raises(UserError, match="packed with other images; choose"):
        packed(folder, tmp_path / "out", side=32)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/000000.tar").write_bytes(b"mine")
    with pytest.raises(UserError, match="tars that this command did not write"):
        packed(folder, tmp_path / "other")
    assert (tmp_path / "other/000000.tar").read_bytes() == b"mine"


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("damage", [
    os.remove, lambda tar: os.truncate(tar, 0), lambda tar: os.truncate(tar, 700), lambda tar: os.truncate(tar, 10_240),
    lambda tar: os.truncate(tar, tar.stat().st_size - 1024),
])  # fmt: skip
def test_a_shard_that_is_damaged_or_gone_is_made_again(folder, tmp_path, damage, jobs):
    packed(folder, tmp_path / "out", side=32, shard=4)
    before = tree(tmp_path / "out")
    assert packed(folder, tmp_path / "out", side=32, shard=4).made == 0
    damage(tmp_path / "out/000001.tar")
    assert packed(folder, tmp_path / "out", jobs, side=32, shard=4).made == 4
    assert tree(tmp_path / "out") == before


def test_a_file_that_was_mended_is_packed_by_the_same_command(folder, tmp_path):
    packed(folder, tmp_path / "whole", side=32, shard=4)
    good = {name: (folder / name).read_bytes() for name in ("01.png", "06.jpg")}
    for name, data in good.items():
        (folder / name).write_bytes(data[:100])
    assert packed(folder, tmp_path / "out", side=32, shard=4).n_failed == 2
    assert packed(folder, tmp_path / "out", side=32, shard=4).made == 0  # they are as they were
    (folder / "01.png").write_bytes(good["01.png"])
    done = packed(folder, tmp_path / "out", side=32, shard=4)
    assert (done.made, done.good, done.n_failed) == (4, 11, 1) and "06.jpg" in done.failed[0]
    (folder / "06.jpg").write_bytes(good["06.jpg"])
    assert packed(folder, tmp_path / "out", side=32, shard=4).good == 12
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_a_file_that_can_be_read_by_now_is_packed_by_the_same_command(folder, tmp_path, monkeypatch):
    packed(folder, tmp_path / "whole", side=32, shard=4)
    with monkeypatch.context() as patch:
        patch.delitem(Image.OPEN, "WEBP")  # as if its plugin were not installed
        assert packed(folder, tmp_path / "out", side=32, shard=4).n_failed == 4
        assert packed(folder, tmp_path / "out", side=32, shard=4).made == 0
    done = packed(folder, tmp_path / "out", side=32, shard=4)
    assert (done.made, done.good) == (12, 12) and tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_a_shard_whose_images_are_all_bad_now_leaves_no_tar(folder, tmp_path):
    packed(folder, tmp_path / "out", side=32, shard=4)
    for path in sorted(folder.iterdir())[4:8]:
        path.write_bytes(b"x")
    os.truncate(tmp_path / "out/000001.tar", 700)
    assert packed(folder, tmp_path / "out", side=32, shard=4).good == 8
    assert sorted(p.name for p in (tmp_path / "out").glob("*.tar")) == ["000000.tar", "000002.tar"]


def test_two_at_once_are_refused(folder, tmp_path):
    (tmp_path / "out/.pack").mkdir(parents=True)
    with filelock.FileLock(tmp_path / "out/.pack/lock"), pytest.raises(UserError, match="another process"):
        packed(folder, tmp_path / "out")


@pytest.mark.parametrize("form", [{"side": 8}, {"quality": 0}, {"quality": 96}, {"shard": 0}])
def test_a_form_out_of_range_names_its_option(form):
    with pytest.raises(UserError, match=f"--{next(iter(form))} "):
        Form(**form)


def test_jobs_and_an_unwritable_folder_are_one_line(folder, tmp_path):
    with pytest.raises(UserError, match="--jobs 0"):
        packed(folder, tmp_path / "out", jobs=0)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"--out .*file"):
        packed(folder, tmp_path / "file/out")


def test_procedural_worlds_are_packed_as_they_are_drawn(tmp_path):
    done = packed("worlds:6:1", tmp_path / "out", quality=95)
    images = open_images([done.pattern])
    for i, world in enumerate(sample(6, 1)[0]):
        difference = np.abs(np.asarray(read_image(images.read(i)), float) - np.asarray(world, float)).mean()
        assert difference < 8, i


def test_no_cell_of_the_manifest_is_a_formula(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "=in").mkdir()
    Image.new("RGB", (20, 20)).save("=in/a.png")
    Path("=in/b.png").write_bytes(b"no image")
    done = packed("=in", tmp_path / "out")
    good, bad = rows(tmp_path / "out")
    assert (good["name"], bad["name"], bad["error"][:10]) == ("./=in/a.png", "./=in/b.png", "'=in/b.png")
    assert done.failed[0].startswith("=in/b.png: ")
    assert packed("=in", tmp_path / "out").made == 0  # and it is found again


def test_a_manifest_of_somebody_else_is_not_replaced(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.csv").write_text("mine")
    with pytest.raises(UserError, match=r"it holds a manifest\.csv that this command did not write"):
        packed(folder, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.csv").read_text() == "mine"
