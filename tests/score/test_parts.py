import csv
import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.errors import UserError
from clicv2lite.models.model import load_model
from clicv2lite.score import parts
from clicv2lite.score.arguments import ImageRow
from clicv2lite.score.columns import COLUMNS
from clicv2lite.score.parts import Part, finished, identity, plan, read_header, write_part
from clicv2lite.score.table import write_csv

pq = pytest.importorskip("pyarrow.parquet", reason="the extra ray is not installed")
HEADER = {"source": "a.tar", "model": "m", "images": 1, "failed": 0}


def shard(path, side=8):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (side, side)).save(path.parent / "one.png")
    with tarfile.open(path, "w") as tar:
        tar.add(path.parent / "one.png", "one.png")
    (path.parent / "one.png").unlink()


def test_a_tar_is_a_part_of_its_name_and_image_files_are_taken_by_the_thousand(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parts, "FILES", 4)
    shard(Path("shards/000.tar"))
    found = plan(["shards/000.tar", "s3://bucket/7.tar", str(photos), "x.png", "y.png"], Path("out"))
    assert [part.path.as_posix() for part in found] == [
        "out/000.parquet", "out/7.parquet", "out/photos-00000.parquet", "out/photos-00001.parquet", "out/photos-00002.parquet",
        "out/images-00000.parquet",
    ]  # fmt: skip
    assert [row.image for row in found[0].opened().rows] == ["shards/000.tar/one.png"]
    files = [row.image for part in found[2:5] for row in part.opened().rows]
    assert files == sorted(str(path) for path in photos.iterdir()) and len(files) == 9
    assert [row.image for row in found[5].opened().rows] == ["x.png", "y.png"]


def test_a_tar_that_is_missing_or_has_the_name_of_another_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/0.tar", "b/0.tar", "a/2.tar"):
        shard(Path(name))
    with pytest.raises(UserError, match=r"^a/1\.tar: there is no such tar \(1 of 3 are missing\); correct the name or"):
        plan(["a/0.tar", "a/1.tar", "a/2.tar"], Path("out"))
    with pytest.raises(UserError, match=r"^--out out: a/0\.tar and b/0\.tar would both be 0\.parquet; score them into two"):
        plan(["a/0.tar", "b/0.tar"], Path("out"))
    Path("a/1.tar").write_bytes(b"no tar")
    with pytest.raises(UserError, match=r"^a/1\.tar: a damaged or truncated tar"):
        plan(["a/1.tar"], Path("out"))[0].opened()


def test_an_empty_folder_or_a_pattern_that_fits_nothing_costs_the_other_images_nothing(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    shard(Path("a/0.tar"))
    found = plan(["empty", str(photos), "no*.png"], Path("out"))
    assert [part.path.name for part in found] == ["empty-00000.parquet", "photos-00000.parquet", "images-00000.parquet"]
    errors = [[row.error for row in part.rows if row.error] for part in found]
    assert errors == [["empty: no image is in this folder"], [], ["no*.png: no image fits this pattern"]]
    assert len(plan(["empty", "a/0.tar"], Path("out"))) == 2
    with pytest.raises(UserError, match=r"^nothing to score: no image is in empty, no\*\.png; name image files"):
        plan(["empty", "no*.png"], Path("out"))


def test_a_folder_with_other_images_than_its_parts_hold_is_refused(tmp_path, photos):
    for part in plan([str(photos)], tmp_path):
        write_part(part, part.rows, None, {**HEADER, "source": part.source})
    assert set(finished(plan([str(photos)], tmp_path), tmp_path, "m")) == {"photos-00000.parquet"}
    (photos / "0.png").unlink()
    with pytest.raises(UserError, match=r"photos-00000\.parquet is of .*\(9 images, \w+\) from 0 on, not of .*\(8 images"):
        finished(plan([str(photos)], tmp_path), tmp_path, "m")


def test_a_tar_or_file_that_another_has_taken_the_place_of_is_not_taken_as_finished(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shard(Path("tt/r.tar"))
    out = tmp_path / "out"
    out.mkdir()
    for part in plan(["tt/r.tar", "photos"], out):
        opened = part.opened()
        write_part(opened, opened.rows, None, {**HEADER, "source": opened.source})
    assert set(finished(plan(["tt/r.tar", "photos"], out), out, "m")) == {"r.parquet", "photos-00000.parquet"}
    Path("copy/tt").mkdir(parents=True)
    shutil.copy("tt/r.tar", "copy/tt/r.tar")
    monkeypatch.chdir("copy")  # the same tar elsewhere
    assert set(finished(plan(["tt/r.tar"], out), out, "m")) == {"r.parquet"}
    shard(Path("tt/r.tar"), side=300)
    with pytest.raises(UserError, match=r"r\.parquet is of tt/r\.tar \(1 images, \w+\), not of tt/r\.tar \(1 images, "):
        finished(plan(["tt/r.tar"], out), out, "m")
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save(photos / "0.png")
    with pytest.raises(UserError, match=r"photos-00000\.parquet is of photos \(9 images, \w+\) from 0 on, not of photos \(9"):
        finished(plan(["photos"], out), out, "m")


def test_a_part_has_the_cells_of_the_table_and_null_where_they_are_empty(tmp_path):
    norms = load_model("default", "cpu").norms
    rows = [
        ImageRow("a.tar/1.png", Path(), 0.4567891, flags=("drawn", "text")),
        ImageRow("=a.tar/2.png", Path(), 0.1, flags=()),
        ImageRow("a.tar/\udcff.png", Path(), error="a.tar/3.png: broken"),
    ]
    part = Part(tmp_path / "a.parquet", "a.tar")
    write_part(part, rows, norms, HEADER)
    write_csv(tmp_path / "a.csv", rows, norms=norms)
    found = pq.read_table(part.path)
    assert found.column_names == COLUMNS
    assert [str(kind) for kind in found.schema.types] == ["string", "double", "double", "double", "string", "string"]
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        want = [[cell or None for cell in row] for row in list(csv.reader(file))[1:]]
    assert want[0][1:5] == ["0.456789", want[0][2], want[0][3], "drawn text"] and want[2][1:5] == [None] * 4
    for got, row in zip(found.to_pylist(), want, strict=True):
        numbers = [None if cell is None else float(cell) for cell in row[1:4]]
        assert list(got.values()) == [row[0], *numbers, *row[4:]]
    assert read_header(part.path) == HEADER


def test_parts_of_another_model_or_source_and_foreign_files_are_refused(tmp_path):
    part = Part(tmp_path / "a.parquet", "a.tar", ())
    assert finished([part], tmp_path, "m") == {}
    write_part(part, [ImageRow("a.tar/1.png", Path(), 0.5)], None, HEADER)
    (tmp_path / ".a.parquet.0123abcd.tmp").touch()  # of a killed worker
    (tmp_path / ".b.parquet.lock").touch()
    assert finished([part], tmp_path, "m") == {"a.parquet": HEADER}
    assert {path.name for path in tmp_path.iterdir()} == {"a.parquet", ".b.parquet.lock"}
    with pytest.raises(UserError, match=r"a\.parquet is of another model or norms; name another folder"):
        finished([part], tmp_path, "n")
    with pytest.raises(UserError, match=r"a\.parquet is of a\.tar, not of b/a\.tar; name another folder"):
        finished([replace(part, source="b/a.tar")], tmp_path, "m")
    part.path.rename(tmp_path / "kept")
    for content in (b"", b"PAR1 and no more", b"x" * 100):
        part.path.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.parquet: this is no part that clicv2lite score wrote; remove it or"):
            finished([part], tmp_path, "m")
    other = pq.read_table(tmp_path / "kept").replace_schema_metadata({"clicv2lite": json.dumps({"source": "a.tar"})})
    pq.write_table(other, part.path)
    with pytest.raises(UserError, match="this is no part"):
        finished([part], tmp_path, "m")


def test_identity_tells_models_and_norms_apart(models):
    one, two = (load_model(model, "cpu") for model in models)
    norms = load_model("default", "cpu").norms
    found = [identity(one, None), identity(two, None), identity(one, norms), identity(one, replace(norms, half=norms.half + 1))]
    assert len(set(found)) == 4
    assert identity(one, replace(norms, reference="other words")) == found[2]


WITH_RAY = ["--engine", "ray"]


@pytest.mark.parametrize(
    "words, said",
    [
        (WITH_RAY, "--engine ray: there is no folder for its parts; name one with --out DIR"),
        (["--out", "out"], "--out out: there are no parts without --engine ray; add that, or name a table with --csv F"),
        *(
            ([*WITH_RAY, "--out", "out", option, *value], f"{option}: --engine ray writes Parquet parts into --out and nothing")
            for option, value in {
                "--csv": ["a.csv"], "--json": ["a.json"], "--map": ["m"], "--map-format": ["npy"], "--excel": [],
                "--top": ["3"], "--html": ["a.html"],
            }.items()
        ),
        ([*WITH_RAY, "--out", "s3://bucket/out"], "parts are written into a folder that all machines share; name one, no"),
        ([*WITH_RAY, "--out", "out", "--device", "cuda:1"], "--device cuda:1: with --engine ray, write auto, cpu or cuda"),
        ([*WITH_RAY, "--out", "file.txt"], "--out file.txt: this folder cannot be made (File exists); name another"),
        ([*WITH_RAY, "--out", "photos/out"], "--out photos/out: this is in the folder photos that is to be scored"),
        ([*WITH_RAY, "--out", "out", "--jobs", "0"], "--jobs 0: give 1 or more"),
        (["--engine", "spark", "--out", "out"], "argument --engine: invalid choice: 'spark'"),
    ],
)  # fmt: skip
def test_what_the_engine_does_not_do_is_one_line(words, said, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").touch()
    assert main(["score", "photos", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"file.txt", "photos"}
