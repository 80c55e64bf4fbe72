import csv
import json
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.data.images import read_square
from clicv2lite.data.names import as_text
from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.heads.bounds import bounded
from clicv2lite.heads.icnet import IcnetHead, IcnetShape
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.method.encoder import EncoderConfig, build_vit
from clicv2lite.models.by_name import SHIPPED, load_encoder
from clicv2lite.models.model import Model, load_model
from clicv2lite.score import scoring
from clicv2lite.score.arguments import ImageRow, find_images
from clicv2lite.score.maps import BAR
from clicv2lite.score.scoring import score_rows
from clicv2lite.score.table import write_csv

GOOD = (
    "alpha.png",
    "animated.gif",
    "cmyk.jpg",
    "deep.png",
    "exif.jpg",
    "long.png",
    "one.png",
    "palette.png",
    "Plain.JPG",
)
BAD = ("bomb.png", "corrupt.jpg", "empty.png", "page.jpg", "truncated.jpg")


def noise(seed, size=(40, 30)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def bomb():
    """A PNG that says it is 20,000 x 20,000."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What people's folders hold: every kind of image, files that are broken, files that are no images."""
    here = tmp_path_factory.mktemp("images")
    (here / "sub.jpg").mkdir()
    noise(1).save(here / "sub.jpg" / "Plain.JPG")
    noise(2).save(here / "Plain.JPG")
    noise(3).convert("CMYK").save(here / "cmyk.jpg")
    noise(4).quantize(16).save(here / "palette.png")
    noise(5).convert("RGBA").save(here / "alpha.png")
    Image.fromarray(np.random.default_rng(6).integers(0, 65536, (30, 40), dtype=np.uint16)).save(here / "deep.png")
    noise(7).save(here / "animated.gif", save_all=True, append_images=[noise(8)])
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(9).save(here / "exif.jpg", exif=exif)
    noise(10, (1, 1)).save(here / "one.png")
    noise(11, (20_000, 3)).save(here / "long.png")
    (here / "bomb.png").write_bytes(bomb())
    (here / "truncated.jpg").write_bytes((here / "Plain.JPG").read_bytes()[:900])
    (here / "corrupt.jpg").write_bytes(b"\xff\xd8\xff" + bytes(range(200)))
    (here / "empty.png").touch()
    (here / "page.jpg").write_text("<!DOCTYPE html><html></html>")
    (here / "notes.txt").write_text("not an image, and nobody said so")
    (here / ".hidden.png").write_bytes(b"")
    (here / ".git").mkdir()
    (here / ".git" / "x.png").touch()
    return here


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    here = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    config = EncoderConfig(size=32, patch=8, width=16, depth=1, heads=2)
    encoder = FrozenEncoder("tiny", build_vit(config), FrozenConfig(config))
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    for name, head in (
        ("ridge", fit_ridge(encoder.features(images), np.linspace(0.3, 0.7, 20))),
        ("icnet", IcnetHead(IcnetShape(16, 4, channels=4))),
    ):
        (here / name).mkdir()
        Model(encoder, head).save(here / name)
    return here


def score_all(*arguments):
    """The rows of all batches."""
    return [row for part in score_rows(*arguments) for row in part]


def scored(path):
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == ["image", "score", "percentile", "uncertainty", "flags", "error"]
        return {row["image"]: row for row in reader}


@pytest.mark.parametrize("head", ["ridge", "icnet"])
def test_a_folder_of_everything_gives_a_row_for_every_image(folder, models, head, tmp_path, capsys):
    assert main(["score", "--model", str(models / head), str(folder), "--csv", str(tmp_path / "s.csv")]) == 1
    rows = scored(tmp_path / "s.csv")
    assert set(rows) == {str(folder / name) for name in (*GOOD, *BAD, "sub.jpg/Plain.JPG")}
    for name in (*GOOD, "sub.jpg/Plain.JPG"):
        row = rows[str(folder / name)]
        assert 0 <= float(row["score"]) <= 1 and row["error"] == "", name
    for name in BAD:
        row = rows[str(folder / name)]
        assert row["score"] == "" and name in row["error"] and "\n" not in row["error"]
    errors = [line for line in capsys.readouterr().err.splitlines() if "no norms" not in line and "look drawn" not in line]
    assert len(errors) == len(BAD) + 1 and all(line.startswith("clicv2lite: ") for line in errors)


def test_a_score_is_the_models_on_the_squared_image_between_0_and_1(folder, models, tmp_path):
    model = load_model(str(models / "ridge"))
    squares = [read_square(folder / name, 32)[None] for name in GOOD]
    model.head.weight[:] *= 3 / np.ptp([model.scores(square)[0] for square in squares])  # far out of 0..1
    rows = find_images([str(folder / name) for name in GOOD])
    raw = [model.scores(square)[0] for square in squares]
    got = [row.score for row in score_all(rows, model, 4)]
    assert min(raw) < 0 or max(raw) > 1
    np.testing.assert_allclose(got, bounded(torch.tensor(raw)), atol=1e-4)
    assert min(got) > 0 and max(got) < 1


@pytest.mark.parametrize("head", ["ridge", "icnet"])
def test_scores_depend_on_neither_batch_size_nor_order_nor_jobs(folder, models, head):
    model = load_model(str(models / head))
    names = [str(folder / name) for name in GOOD]
    want = {r.image: r.score for r in score_all(find_images(names), model, 1)}
    for batch_size, order, jobs in ((3, names, 1), (64, names[::-1], 1), (2, names, 3), (64, names[::-1], 16)):
        got = score_all(find_images(order), model, batch_size, None, jobs)
        assert [row.image for row in got] == order
        for row in got:
            assert row.score == pytest.approx(want[row.image], abs=1e-5)


@pytest.mark.posix
def test_named_files_get_a_row_whatever_they_are(folder, models, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    names = [
        str(folder / "notes.txt"),
        str(folder / "none.png"),
        str(tmp_path / "pipe.png"),
        str(folder / ".hidden.png"),
    ]
    arguments = ["score", "--model", str(models / "ridge"), *names, str(folder / "one.png")]
    assert main([*arguments, "--csv", str(tmp_path / "s.csv")]) == 1
    rows = scored(tmp_path / "s.csv")
    assert list(rows) == [*names, str(folder / "one.png")]
    assert all(rows[name]["error"] for name in names) and rows[str(folder / "one.png")]["score"]


@pytest.mark.posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_errors(models, tmp_path):
    noise(0).save(tmp_path / "a.png")
    noise(1).save(tmp_path / "b.png")
    (tmp_path / "closed").mkdir()
    (tmp_path / "b.png").chmod(0)
    (tmp_path / "closed").chmod(0)
    assert main(["score", "--model", str(models / "ridge"), str(tmp_path), "--csv", f"{tmp_path}.csv"]) == 1
    rows = scored(f"{tmp_path}.csv")
    assert rows[str(tmp_path / "a.png")]["score"]
    assert "permission" in rows[str(tmp_path / "b.png")]["error"] and rows[str(tmp_path / "closed")]["error"]


def test_a_folder_that_cannot_be_listed_is_an_error_row(models, tmp_path, monkeypatch):
    noise(0).save(tmp_path / "a.png")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def closed(path):
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    rows = find_images([str(tmp_path)])
    assert [bool(row.error) for row in rows] == [False, True] and "closed: cannot be listed" in rows[1].error


def test_an_empty_folder_beside_images_is_an_error_row_and_alone_a_mistake(folder, models, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    model = ["score", "--model", str(models / "ridge")]
    assert main([*model, str(tmp_path / "none"), str(folder / "one.png")]) == 1
    assert f"{tmp_path / 'none'}: no image is in this folder" in capsys.readouterr().err
    assert main([*model, str(tmp_path / "none")]) == 2
    assert "nothing to score" in capsys.readouterr().err


@pytest.mark.parametrize("arguments, message", [
    ([], "IMAGE_OR_FOLDER"),
    (["x.png", "--batch-size", "0"], "--batch-size 0"),
    (["x.png", "--csv", "a", "--json", "b"], "not allowed with"),
    (["x.png", "--csv", "{tmp}"], "this is a folder"),
    (["x.png", "--model", "{tmp}"], "there is no head.safetensors"),
    (["x.png", "--model", "defualt"], "model defualt: there is no such folder; name one, or default, plus or lite; `"),
])  # fmt: skip
def test_mistakes_are_one_line_and_status_2(arguments, message, tmp_path, capsys):
    assert main(["score", *(a.format(tmp=tmp_path) for a in arguments)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and len(captured.err.splitlines()) == 1 and captured.out == ""


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["one.png", "alpha.png"], "2 images scored: {}"),
        (["one.png"], "1 image scored: {}"),
        (["one.png", "broken.png"], "1 of 2 images could not be scored; the others are in {}"),
        (["broken.png"], "1 of 1 images could not be scored"),
    ],
)
def test_where_the_scores_are_is_said_at_the_end(names, said, folder, models, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"no image")
    images = [str((tmp_path if name == "broken.png" else folder) / name) for name in names]
    words = ["score", "--model", str(models / "ridge"), "--csv", str(tmp_path / "s.csv"), *images]
    assert main(words) == ("broken.png" in names)
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines()[-1] == "clicv2lite: " + said.format(tmp_path / "s.csv")


def test_without_a_file_the_scores_are_a_table(folder, models, capsys):
    assert main(["score", "--model", str(models / "ridge"), str(folder / "one.png"), str(folder / "alpha.png")]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].split() == ["score", "image"] and captured.err == ""
    assert [line.split()[1] for line in lines[1:]] == [str(folder / "one.png"), str(folder / "alpha.png")]
    assert all(0 <= float(line.split()[0]) <= 1 for line in lines[1:])


def test_json_holds_the_same_rows_as_csv(folder, models, tmp_path):
    base = ["score", "--model", str(models / "ridge"), str(folder)]
    main([*base, "--csv", str(tmp_path / "s.csv")])
    main([*base, "--json", str(tmp_path / "s.json")])
    got = json.loads((tmp_path / "s.json").read_text())
    rows = scored(tmp_path / "s.csv")
    assert got["n"] == len(rows) == len(got["images"]) and got["failed"] == len(BAD)
    for row in got["images"]:
        want = rows[row["image"]]
        assert (row["error"] or "") == want["error"] and " ".join(row["flags"] or []) == want["flags"]
        assert row["percentile"] is None and row["uncertainty"] is None and want["percentile"] == want["uncertainty"] == ""
        assert row["score"] is None if want["score"] == "" else row["score"] == pytest.approx(float(want["score"]), abs=1e-6)


def test_odd_file_names_survive(models, tmp_path, capsys):
    names = ['quo"te, comma.png', "two\nlines.png", "日本 ü.png", os.fsdecode(b"latin\xfc.png")]
    for i, name in enumerate(names):
        noise(i).save(tmp_path / name)
    assert main(["score", "--model", str(models / "ridge"), str(tmp_path), "--csv", f"{tmp_path}.csv"]) == 0
    assert set(scored(f"{tmp_path}.csv")) == {as_text(str(tmp_path / name)) for name in names}
    assert main(["score", "--model", str(models / "ridge"), str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(names)


@pytest.mark.parametrize("head", ["ridge", "icnet"])
def test_maps_are_pictures_with_the_images_aspect_above_their_bar_one_for_each_score(folder, models, head, tmp_path):
    arguments = ["score", "--model", str(models / head), str(folder), str(folder / "Plain.JPG"), "--map", str(tmp_path)]
    assert main(arguments) == 1
    made = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert made == {f"{name}.png" for name in (*GOOD, "sub.jpg/Plain.JPG")} | {"Plain.JPG-2.png"}
    assert Image.open(tmp_path / "exif.jpg.png").size == (30, 40 + BAR)  # stored as 40 x 30, turned by its EXIF
    assert Image.open(tmp_path / "long.png.png").size == (1024, 1 + BAR)


def test_a_model_that_gives_no_number_is_an_error_not_a_score(folder, models):
    model = load_model(str(models / "ridge"))
    model.head.weight[:] = np.nan
    (row,) = score_all(find_images([str(folder / "one.png")]), model, 1)
    assert row.score is None and "no finite score" in row.error


def test_a_failure_while_writing_leaves_the_old_file(models, tmp_path):
    target = tmp_path / "s.csv"
    target.write_text("old")
    broken = [ImageRow("a.png", tmp_path, score="not a number")]
    with pytest.raises(ValueError):
        write_csv(target, broken)
    assert target.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["s.csv"]


def test_the_default_model_is_asked_for_by_name(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SHIPPED, "default", tmp_path)
    assert main(["score", str(folder / "one.png")]) == 2
    assert "probe --encoder E" in capsys.readouterr().err


def test_features_of_the_shipped_shape_do_not_depend_on_the_batch_size(folder):
    encoder = load_encoder("random")  # large enough for low-precision arithmetic to show, by 1e-4 and more
    images = torch.stack([read_square(folder / name, encoder.size) for name in GOOD])
    alone = torch.cat([encoder.features(image[None]) for image in images])
    torch.testing.assert_close(encoder.features(images), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fault", ["full", "in the way"])
def test_a_map_that_cannot_be_written_costs_no_score(models, tmp_path, monkeypatch, capsys, fault):
    (tmp_path / "in").mkdir()
    for i, name in enumerate(["a.png", "b.png"]):
        noise(i).save(tmp_path / "in" / name)
    if fault == "in the way":
        (tmp_path / "m" / "b.png.png" / "x").mkdir(parents=True)
    if fault == "full":
        original = scoring.overlay

        def full(picture, complexity):
            if full.calls:
                raise OSError(28, "No space left on device")
            full.calls.append(1)
            return original(picture, complexity)

        full.calls = []
        monkeypatch.setattr(scoring, "overlay", full)
    words = ["score", "--model", str(models / "ridge"), str(tmp_path / "in"), "--map", str(tmp_path / "m"), "--jobs", "1"]
    assert main([*words, "--csv", str(tmp_path / "s.csv")]) == 1
    assert all(row["score"] and not row["error"] for row in scored(tmp_path / "s.csv").values())
    lines = [line for line in capsys.readouterr().err.splitlines() if "no norms" not in line]
    assert len(lines) == 3 and "--map" in lines[0] and "clicv2lite: 1 of 2 maps could not be written" in lines
    assert f"clicv2lite: 2 images scored: {tmp_path / 's.csv'}" in lines
    assert [p.name for p in (tmp_path / "m").iterdir() if p.is_file()] == ["a.png.png"]


def test_a_map_does_not_replace_an_image(models, tmp_path, capsys):
    for name in ("a.jpg", "a.jpg.png"):
        noise(1).save(tmp_path / name)
    before = (tmp_path / "a.jpg.png").read_bytes()
    words = [str(tmp_path / "a.jpg"), str(tmp_path / "a.jpg.png"), "--map", str(tmp_path)]
    assert main(["score", "--model", str(models / "ridge"), *words]) == 2
    assert "a.jpg.png: this file is read" in capsys.readouterr().err and (tmp_path / "a.jpg.png").read_bytes() == before


def test_scores_whose_page_cannot_be_written_are_printed(folder, models, tmp_path, monkeypatch, capsys):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clicv2lite.score.gallery.write_bytes", full)
    words = [str(folder / "one.png"), "--top", "1", "--html", str(tmp_path / "p.html")]
    assert main(["score", "--model", str(models / "ridge"), *words]) == 2
    captured = capsys.readouterr()
    assert "one.png" in captured.out and "p.html: cannot be written (the disk is full)" in captured.err
    monkeypatch.undo()
    monkeypatch.setattr("clicv2lite.files.write_bytes", full)
    words = [str(folder / "one.png"), "--json", str(tmp_path / "p.json")]
    assert main(["score", "--model", str(models / "ridge"), *words]) == 2
    assert json.loads(capsys.readouterr().out)["images"][0]["score"] > 0


@pytest.mark.parametrize("words, said", [
    (["--norms", "n.json"], "--norms n.json: there are no percentiles without --csv F, --json F or --top N; add one"),
    (["--kind", "photo"], "--kind photo: there are no percentiles without --csv F, --json F or --top N; add one"),
    (["--null"], "--null: no names are read without - among the images; add that, or leave it out"),
])  # fmt: skip
def test_an_option_that_would_change_nothing_is_one_line(photos, capsys, words, said):
    assert main(["score", str(photos), *words]) == 2
    assert capsys.readouterr().err == f"clicv2lite: {said}\n"
