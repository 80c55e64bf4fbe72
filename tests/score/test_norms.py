import csv
import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.data.inputs import squares
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.models.model import load_model
from clicv2lite.models.norms import read_norms
from clicv2lite.probe.conformal import coverage
from clicv2lite.probe.crossval import folds
from clicv2lite.score.arguments import find_images
from clicv2lite.score.norms import kinds


@pytest.fixture
def shard(tmp_path):
    """A tar of 60 pictures, 50 of them photographs by their key.json, and a table of ratings of 40."""
    folder = tmp_path / "rated"
    folder.mkdir()
    with tarfile.open(tmp_path / "s.tar", "w") as tar, (folder / "r.csv").open("w") as table:
        table.write("image,score,category\n")
        for i in range(60):
            pixels = np.random.default_rng(i).integers(0, 4 * (i + 1), (20, 30, 3), dtype=np.uint8)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            for name, data in (
                (f"{i}.png", file.getvalue()),
                (f"{i}.json", json.dumps({"kind": "photo" if i < 50 else "art"}).encode()),
            ):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
            if i < 40:
                (folder / f"{i}.png").write_bytes(file.getvalue())
                table.write(f"{i}.png,{i / 40},{'ab'[i % 2]}\n")
    return tmp_path / "s.tar"


@pytest.mark.parametrize("name", ["s.tar", "./s.tar", "rated//../s.tar", "{}"])
def test_kinds_are_found_however_the_tar_is_named(shard, monkeypatch, name):
    monkeypatch.chdir(shard.parent)
    assert kinds(find_images([name.format(shard), "rated"])) == ["photo"] * 50 + ["art"] * 10 + [None] * 40


def test_only_texts_are_kinds(tmp_path):
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for i, about in enumerate((b'{"kind": null}', b"[" * 100_000, b"[3]", b"{}", b'{"kind": "art"}')):
            for name, data in ((f"{i}.png", b"no image"), (f"{i}.json", about)):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    assert kinds(find_images([str(tmp_path / "s.tar")])) == [None] * 4 + ["art"]


def test_too_few_ratings_for_the_coverage_are_told_before_the_scoring(shard, models, tmp_path, capsys):
    few = tmp_path / "rated" / "few.csv"
    few.write_text("\n".join((tmp_path / "rated" / "r.csv").read_text().splitlines()[:13]))
    words = ["norms", "--images", str(shard), "--name", "noise", "--model", models[0], "--out", str(tmp_path / "n.json")]
    assert main([*words, "--ratings", str(few), "--csv", str(tmp_path / "s.csv")]) == 2
    assert "few.csv: 9 rated images are left for 5 inner folds, which need 10 or more" in capsys.readouterr().err
    assert not (tmp_path / "s.csv").exists()


def test_ratings_of_another_scale_give_the_same_intervals(shard, models, tmp_path, capsys, on_seven):
    tables = {"r": tmp_path / "rated" / "r.csv"}
    tables["to7"] = on_seven(tables["r"])
    words = ["norms", "--images", str(shard), "--name", "noise", "--model", models[0], "--csv", str(tmp_path / "s.csv")]
    found = {}
    for name, more in (("r", []), ("to7", ["--score-range", "1", "7"])):
        out = tmp_path / f"{name}.json"
        assert main([*words, "--out", str(out), "--ratings", str(tables[name]), *more]) == 0
        found[name] = json.loads(out.read_text())["interval"]
    np.testing.assert_allclose(found["to7"]["half"], found["r"]["half"], atol=2e-6)
    np.testing.assert_allclose(found["to7"]["edges"], found["r"]["edges"], atol=2e-6)
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "no.json"), "--score-range", "1", "7"]) == 2
    assert "--score-range: this says what --ratings mean; give a table of them" in capsys.readouterr().err


def test_a_rated_image_that_cannot_be_read_is_skipped(shard, models, tmp_path, capsys):
    (tmp_path / "rated" / "7.png").write_bytes(b"no image")
    words = ["norms", "--images", str(shard), "--name", "noise", "--model", models[0], "--out", str(tmp_path / "n.json")]
    assert main([*words, "--ratings", str(tmp_path / "rated" / "r.csv"), "--within-categories"]) == 0
    interval = json.loads((tmp_path / "n.json").read_text())["interval"]
    assert interval["n"] == 39 and interval["skipped"] == [str(tmp_path / "rated" / "7.png")]
    assert "1 of 40 images skipped" in capsys.readouterr().err


def test_too_small_a_reference_is_told_before_anything_is_scored(shard, models, tmp_path, capsys):
    words = ["norms", "--images", str(tmp_path / "rated"), "--name", "noise", "--model", models[0]]
    assert main([*words, "--out", str(tmp_path / "n.json"), "--csv", str(tmp_path / "s.csv")]) == 2
    assert capsys.readouterr().err == "clicv2lite: --images: there are 40; a reference needs 50 or more\n"
    assert not (tmp_path / "s.csv").exists()


def test_norms_are_the_quantiles_of_the_scores_and_turn_a_score_into_its_rank(shard, models, tmp_path, capsys):
    out, ratings = tmp_path / "norms.json", tmp_path / "rated" / "r.csv"
    words = ["norms", "--images", str(shard), "--name", "noise", "--model", models[0], "--out", str(out)]
    assert main([*words, "--ratings", str(ratings), "--within-categories", "--csv", str(tmp_path / "s.csv")]) == 0
    norms, stored = read_norms(out), json.loads(out.read_text())
    with (tmp_path / "s.csv").open() as file:
        scores = {row["image"].rsplit("/")[-1]: float(row["score"]) for row in csv.DictReader(file)}
    values = np.array(list(scores.values()))
    np.testing.assert_allclose(norms.quantiles, np.quantile(values, np.linspace(0, 1, 201)), atol=2e-6)
    for score in (values.min(), np.median(values), values.max()):
        below = 100 * np.mean(values < score)
        assert abs(norms.percentile(score) - below) <= 100 / len(values) + 0.5
    photos = np.array([score for name, score in scores.items() if int(name.split(".")[0]) < 50])
    assert list(norms.kinds) == ["photo"]  # ten of art are too few
    np.testing.assert_allclose(norms.of_kind("photo").quantiles, np.quantile(photos, np.linspace(0, 1, 201)), atol=2e-6)
    assert stored["interval"]["n"] == 40 and set(stored["interval"]["coverage"]["share"]) == {"overall", "a", "b"}
    assert {"command", "commit", "hardware", "seconds"} <= set(stored)

    before = (tmp_path / "s.csv").read_bytes()
    assert main([*words[:-1], str(tmp_path / "again.json"), "--csv", str(tmp_path / "s.csv")]) == 0
    assert (tmp_path / "s.csv").read_bytes() == before
    np.testing.assert_allclose(read_norms(tmp_path / "again.json").quantiles, norms.quantiles, atol=2e-6)
    assert load_model(models[0]).norms is None


def test_the_interval_is_that_of_predictions_by_heads_that_did_not_see_the_image(shard, models, tmp_path):
    ratings, out = tmp_path / "rated" / "apart.csv", tmp_path / "norms.json"
    paths, names = [tmp_path / "rated" / f"{i}.png" for i in range(40)], np.array(["a", "b"] * 20)
    scores = np.arange(40) / 80 + 0.45 * (names == "b")
    lines = [f"{path.name},{score},{name}" for path, score, name in zip(paths, scores, names, strict=True)]
    ratings.write_text("\n".join(["image,score,category", *lines]))
    words = ["norms", "--images", str(shard), "--name", "noise", "--model", models[0], "--out", str(out)]
    assert main([*words, "--ratings", str(ratings), "--within-categories"]) == 0
    interval = json.loads(out.read_text())["interval"]

    encoder = load_model(models[0], "cpu").encoder
    features = torch.cat([encoder.features(batch) for batch in squares(paths, encoder.size)])
    predictions = np.zeros(40)
    for test in folds(40, 5, names.tolist(), 0):
        rest = np.delete(np.arange(40), test)
        predictions[test] = fit_ridge(features[rest], scores[rest], names[rest]).predict(features[test])
    edges = np.quantile(predictions, [0.25, 0.5, 0.75])
    errors = [np.abs(scores - predictions)[np.digitize(predictions, edges) == quarter] for quarter in range(4)]
    np.testing.assert_allclose(interval["edges"], edges, atol=2e-6)
    np.testing.assert_allclose(interval["half"], [max(part) for part in errors], atol=2e-6)  # the 10th of 10: 0.9 * 11
    pcc = [np.corrcoef(scores[rows], predictions[rows])[0, 1] for rows in (names == "a", names == "b", names != "")]
    np.testing.assert_allclose([interval["within"], interval["pooled"]], [np.mean(pcc[:2]), pcc[2]], atol=1e-5)
    want = coverage(features, scores, names.tolist(), names, 5, (0, 1, 2))
    assert {**interval["coverage"], "half": 0} == {**want, "half": 0}
    np.testing.assert_allclose(interval["coverage"]["half"], want["half"], atol=1e-6)


def test_score_reads_norms_of_its_own_model_only(shard, models, tmp_path, capsys, photos):
    out, table = tmp_path / "norms.json", tmp_path / "t.csv"
    assert main(["norms", "--images", str(shard), "--name", "noise", "--model", models[0], "--out", str(out)]) == 0
    words = ["score", str(photos), "--csv", str(table), "--norms", str(out)]
    assert main([*words, "--model", models[1]]) == 2 and not table.exists()
    assert "another model" in capsys.readouterr().err
    assert main([*words, "--model", models[0], "--kind", "cat"]) == 2
    assert "its kinds are photo" in capsys.readouterr().err
    assert main([*words, "--model", models[0]]) == 0
    norms = read_norms(out)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["percentile"] for row in rows] == [f"{norms.percentile(float(row['score'])):.1f}" for row in rows]
    assert {row["uncertainty"] for row in rows} == {""}  # no ratings were given


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"kinds": {}, "interval": null, "quantiles": [1, 0], "reference": "", "head": ""}']
)
def test_a_file_that_holds_no_norms_is_one_line(photos, models, tmp_path, capsys, text):
    (tmp_path / "n.json").write_text(text)
    words = ["score", str(photos), "--model", models[0], "--norms", str(tmp_path / "n.json")]
    assert main([*words, "--json", str(tmp_path / "s.json")]) == 2
    error = capsys.readouterr().err
    assert "no norms of clicv2lite" in error and len(error.splitlines()) == 1
