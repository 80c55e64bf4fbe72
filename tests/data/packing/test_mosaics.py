"""CLIC's mosaics: every pixel of a cell found in the image, copies by Pillow's own operations, sets, names, resuming."""

import argparse
import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from clicv2lite.data.command import add_arguments, run
from clicv2lite.data.images import read_image
from clicv2lite.data.packing import mosaics
from clicv2lite.data.packing.form import Form
from clicv2lite.data.packing.mosaics import MOSAICS, Mosaic, WithMosaics, changed, draw_mosaic
from clicv2lite.data.packing.pack import Opened, pack
from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError


def every_pixel_differs(width: int, height: int) -> Image.Image:
    """Red and green are the column and the row, so a pixel says where it comes from."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width), np.arange(height)[:, None]
    return Image.fromarray(pixels)


def command(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(["pack", *map(str, arguments)]))


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "in"
    root.mkdir()
    rng = np.random.default_rng(0)
    for i, (width, height) in enumerate([(90, 60), (60, 75), (120, 120)]):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(root / f"{i}.png")
    return root


def rows(out: Path) -> list[dict[str, str]]:
    with open(out / "manifest.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def shards(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (*out.glob("*.tar"), out / "manifest.csv")}


def test_the_sets_are_what_clics_loops_make_and_what_its_file_names_leave():
    made, left = [], {}
    for scale, count in (("l", 3), ("m", 6), ("s", 12)):  # a third crop of the largest scale has no partner
        for pair in range(count // 2):
            made.append((f"{scale}{pair}", count))
            left[f"image_{scale}.jpg"] = f"{scale}{pair}"  # written again and again under one name
    assert [(m.name, m.parts) for m in MOSAICS["published"]] == made and len(made) == 10
    assert [m.name for m in MOSAICS["as-written"]] == list(left.values())
    assert [m.number for m in MOSAICS["published"]] == list(range(10))
    assert set(MOSAICS["as-written"]) < set(MOSAICS["published"])


@given(st.integers(12, 200), st.integers(12, 200), st.sampled_from(MOSAICS["published"]), st.integers(0, 999))
def test_a_cell_is_a_square_of_the_image_in_its_own_pixels_and_a_copy_of_it(width, height, mosaic, seed):
    patch = pytest.MonkeyPatch()
    patch.setattr(mosaics, "changed", lambda crop, rng: ImageOps.invert(crop))
    with patch.context():
        got = np.asarray(draw_mosaic(every_pixel_differs(width, height), mosaic, np.random.default_rng(seed))).astype(int)
    patch.undo()
    side = min(width, height) // mosaic.parts
    assert got.shape == (2 * side, 2 * side, 3)
    cells = [got[y : y + side, x : x + side] for y in (0, side) for x in (0, side)]
    plain = [cell for cell in cells if (cell[..., 2] == 0).all()]
    copies = [255 - cell for cell in cells if (cell[..., 2] == 255).all()]
    assert len(plain) == len(copies) == 2
    for cell in plain:
        left, top = cell[0, 0, :2]
        assert 0 <= left <= width - side and 0 <= top <= height - side
        for y, x in np.ndindex(side, side):
            assert tuple(cell[y, x]) == (left + x, top + y, 0)
    assert sorted(c.tobytes() for c in copies) == sorted(c.tobytes() for c in plain)


def test_crops_reach_every_place_and_cells_every_order(monkeypatch):
    monkeypatch.setattr(mosaics, "changed", lambda crop, rng: ImageOps.invert(crop))
    corners, orders = set(), set()
    for seed in range(400):
        got = np.asarray(draw_mosaic(every_pixel_differs(10, 9), MOSAICS["published"][0], np.random.default_rng(seed)))
        cells = [got[y, x] for y in (0, 3) for x in (0, 3)]
        corners |= {(int(cell[0]), int(cell[1])) for cell in cells if cell[2] == 0}
        orders.add(tuple(int(cell[2]) for cell in cells))
    assert corners == {(x, y) for x in range(8) for y in range(7)} and len(orders) == 6


def by_pillow(crop: Image.Image, rng: np.random.Generator) -> Image.Image:
    if rng.random() < 0.5:
        crop = ImageOps.mirror(crop)
    if rng.random() < 0.5:
        crop = ImageOps.flip(crop)
    if rng.random() < 0.5:
        crop = crop.rotate(rng.uniform(-20, 20))
    if rng.random() < 0.5:
        for which in rng.permutation(4):
            strength = rng.uniform(-0.2, 0.2)
            if which < 3:
                enhance = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[which]
                crop = enhance(crop).enhance(1 + strength)
            else:
                hue, saturation, value = (np.asarray(band) for band in crop.convert("HSV").split())
                hue = ((hue.astype(int) + int(strength * 255)) % 256).astype(np.uint8)
                crop = Image.merge("HSV", [Image.fromarray(band) for band in (hue, saturation, value)]).convert("RGB")
    return crop


def test_a_copy_is_changed_as_pillow_does_it():
    crop = Image.fromarray(np.random.default_rng(1).integers(0, 256, (17, 17, 3), np.uint8))
    kept = 0
    for seed in range(200):
        got, want = (f(crop, np.random.default_rng(seed)) for f in (changed, by_pillow))
        assert got.size == (17, 17)
        np.testing.assert_array_equal(np.asarray(got), np.asarray(want))
        kept += got.tobytes() == crop.tobytes()
    assert 3 < kept < 25  # one in sixteen meets none of the four


@pytest.mark.parametrize("kind", MOSAICS)
def test_mosaics_are_packed_beside_their_image_under_names_that_say_what_they_are(folder, tmp_path, kind):
    names = [m.name for m in MOSAICS[kind]]
    assert command("--images", folder, "--out", tmp_path / "out", "--mosaics", kind, "--shard", 7, "--jobs", 1) == 0
    table = rows(tmp_path / "out")
    plain = [str(folder / f"{i}.png") for i in range(3)]
    assert [row["name"] for row in table] == [n for p in plain for n in (p, *(f"{p}#mosaic-{m}" for m in names))]
    images, sides = open_images([str(path) for path in sorted((tmp_path / "out").glob("*.tar"))]), [60, 60, 120]
    assert len(images) == 3 * (1 + len(names)) and {row["status"] for row in table} == {"ok"}
    for i, row in enumerate(table):
        source, place = divmod(i, 1 + len(names))
        width, height = read_image(images.read(i)).size
        with tarfile.open(tmp_path / "out" / row["shard"]) as tar:
            about = json.load(tar.extractfile(f"{i:09d}.json"))
        assert about.get("mosaic") == (names[place - 1] if place else None)
        assert (about["source"]["width"], about["source"]["height"]) == [(90, 60), (60, 75), (120, 120)][source]
        assert row["source_sha256"] == table[source * (1 + len(names))]["source_sha256"]
        if place:
            parts = {"l": 3, "m": 6, "s": 12}[names[place - 1][0]]
            assert width == height == 2 * (sides[source] // parts)


def test_the_three_that_are_left_are_the_same_pictures_as_among_the_ten(folder, tmp_path):
    images = Opened(open_images([str(folder)]))
    data = {}
    for kind in MOSAICS:
        every = WithMosaics(images, kind, 5)
        for i in range(len(every)):
            if make := every.make(i):
                data[kind, every.name(i)] = make(every.read(i), every.name(i)).tobytes()
    left = {name: pixels for (kind, name), pixels in data.items() if kind == "as-written"}
    assert len(left) == 9 and all(data["published", name] == pixels for name, pixels in left.items())
    assert len(set(data.values())) == 30  # no mosaic is drawn twice


def test_no_two_mosaics_share_random_numbers(folder, monkeypatch):
    drawn = []
    monkeypatch.setattr(mosaics, "draw_mosaic", lambda image, mosaic, rng: drawn.extend(rng.random(64)))
    data = (folder / "0.png").read_bytes()
    for index in range(4):
        for mosaic in MOSAICS["published"][:2]:
            mosaics._from_bytes(data, "0.png#mosaic", mosaic, 0, index)
    assert len(set(drawn)) == 4 * 2 * 64


def test_the_seed_alone_decides_and_an_interrupted_run_goes_on_to_the_same_bytes(folder, tmp_path):
    arguments = ["--images", folder, "--mosaics", "published", "--shard", 4, "--jobs"]
    for name, jobs, *more in (("whole", 1), ("two", 2), ("other", 1, "--seed", 1)):
        command("--out", tmp_path / name, *arguments, jobs, *more)
    whole = shards(tmp_path / "whole")
    assert shards(tmp_path / "two") == whole != shards(tmp_path / "other") and len(whole) == 10
    for gone in ("000003.tar", ".pack/000003.csv", "manifest.csv", "000008.tar", ".pack/000008.csv"):
        (tmp_path / "two" / gone).unlink()
    command("--out", tmp_path / "two", *arguments, 1)
    assert shards(tmp_path / "two") == whole
    with pytest.raises(UserError, match="packed with --seed 0, not 1; choose another folder"):
        command("--out", tmp_path / "two", *arguments, 1, "--seed", 1)
    with pytest.raises(UserError, match="packed with --mosaics published, not as-written"):
        command("--out", tmp_path / "two", *arguments, 1, "--mosaics", "as-written")
    with pytest.raises(UserError, match="packed with --mosaics published, not none"):
        command("--out", tmp_path / "two", *arguments, 1, "--mosaics", "none")


def test_a_folder_packed_without_mosaics_goes_on_as_before(folder, tmp_path):
    pack(Opened(open_images([str(folder)])), tmp_path / "out", Form())
    assert "mosaics" not in json.loads((tmp_path / "out/.pack/asked.json").read_text())
    command("--images", folder, "--out", tmp_path / "out", "--jobs", 1)
    with pytest.raises(UserError, match="packed with --mosaics none, not published"):
        command("--images", folder, "--out", tmp_path / "out", "--mosaics", "published", "--jobs", 1)


def test_an_image_is_read_and_decoded_once_for_all_its_mosaics(folder, tmp_path, monkeypatch):
    images, read, decoded = Opened(open_images([str(folder)])), [], []
    monkeypatch.setattr(Opened, "read", lambda self, i: (read.append(i), self.images.read(i))[1])
    monkeypatch.setattr(mosaics, "read_image", lambda data, name: (decoded.append(name), read_image(data, name))[1])
    pack(WithMosaics(images, "published"), tmp_path / "out", Form())
    assert read == [0, 1, 2] and decoded == [str(folder / f"{i}.png") for i in range(3)]


def test_a_large_mosaic_becomes_as_small_as_any_image(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 420, 3), np.uint8)).save(tmp_path / "a.png")
    command("--images", tmp_path / "a.png", "--out", tmp_path / "out", "--mosaics", "published", "--side", 64, "--jobs", 1)
    assert [int(row["width"]) for row in rows(tmp_path / "out")] == [90] + [64] * 4 + [50] * 6
    assert [int(row["height"]) for row in rows(tmp_path / "out")] == [64] * 5 + [50] * 6


def test_an_image_too_small_for_a_mosaic_is_one_line_in_the_manifest_and_is_packed_itself(tmp_path, capsys):
    Image.new("RGB", (7, 30), "red").save(tmp_path / "thin.png")
    assert command("--images", tmp_path / "thin.png", "--out", tmp_path / "out", "--mosaics", "published", "--jobs", 1) == 0
    bad = [row for row in rows(tmp_path / "out") if row["status"] == "failed"]
    assert [row["name"].rpartition("-")[2] for row in bad] == [f"s{i}" for i in range(6)]
    assert all(row["error"].endswith("a short side of 7 pixels has no 12 parts; leave the image out") for row in bad)
    assert "6 could not be used" in capsys.readouterr().out


def test_a_broken_image_has_no_mosaics_and_the_error_names_the_file(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    every = WithMosaics(Opened(open_images([str(tmp_path / "bad.jpg")])), "published")
    with pytest.raises(UserError, match=r"^[^#]*bad\.jpg: "):
        every.make(3)(every.read(3), every.name(3))


def test_gray_and_transparent_images_have_mosaics_in_colour():
    for mode in ("L", "RGBA"):
        buffer = io.BytesIO()
        Image.new(mode, (24, 24), 100 if mode == "L" else (9, 9, 9, 255)).save(buffer, "PNG")
        image = mosaics._from_bytes(buffer.getvalue(), "x", Mosaic(0, "l0", 3), 0, 0)
        assert image.mode == "RGB" and image.size == (16, 16)


@pytest.mark.parametrize("name", ["a.tga", "a#mosaic-1.tga"])
@pytest.mark.parametrize("kind, count", [("none", 1), ("as-written", 4)])
def test_a_format_that_only_its_name_tells_has_mosaics_too(tmp_path, name, kind, count):
    every_pixel_differs(60, 48).save(tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-26])  # without the footer, which tells, too
    assert command("--images", tmp_path / name, "--out", tmp_path / "out", "--mosaics", kind, "--jobs", 1) == 0
    assert [(row["status"], row["source_width"], row["source_height"]) for row in rows(tmp_path / "out")] == [
        ("ok", "60", "48")
    ] * count
