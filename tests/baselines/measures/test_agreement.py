"""The agreement of measures with ratings: correlations by scipy, JSON without nan, one line for a mistake."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.stats import pearsonr

from clicv2lite.baselines.measures.agreement import agreement, squares
from clicv2lite.baselines.measures.basic import MEASURES, edge_density
from clicv2lite.cli import main
from clicv2lite.data.rated.table import read_ratings


@pytest.fixture
def table(rated):
    return rated(8, 48)


def test_agreement_is_pearsons_correlation_per_category():
    rng = np.random.default_rng(0)
    scores, values = rng.random(20), rng.random(20)
    found = agreement({"a": values}, scores, ["x"] * 10 + ["y"] * 10, resamples=10)["a"]
    each = [pearsonr(scores[part], values[part])[0] for part in (slice(10), slice(10, 20))]
    assert found["pcc"] == pytest.approx(pearsonr(scores, values)[0])
    assert found["mean_pcc"] == pytest.approx(np.mean(each))
    assert found["pcc_variance"] == pytest.approx(np.var(each))


def test_squares_are_in_the_order_of_the_table(table):
    ratings = read_ratings(table)
    images = list(squares(ratings, 48))
    assert all(np.array_equal(image, np.array(Image.open(p))) for image, p in zip(images, ratings.paths, strict=True))


def test_the_command_writes_a_report_per_measure(table, tmp_path):
    out = tmp_path / "results" / "measures.json"
    assert main(["measures", "--ratings", str(table), "--size", "48", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert list(result["measures"]) == list(MEASURES) and result["n"] == 8
    ratings = read_ratings(table)
    want = pearsonr(ratings.scores, [edge_density(image) for image in squares(ratings, 48)])[0]
    assert result["measures"]["edge_density"]["pcc"] == pytest.approx(want)


def test_without_a_file_the_report_is_printed(table, capsys):
    assert main(["measures", "--ratings", str(table), "--size", "16"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == 16


def test_an_image_that_cannot_be_read_is_skipped_and_named(table, tmp_path, capsys):
    (tmp_path / "3.png").write_bytes(b"no image")
    assert main(["measures", "--ratings", str(table), "--size", "48"]) == 0
    out, err = capsys.readouterr()
    result, ratings = json.loads(out), read_ratings(table)
    assert result["n"] == 7 and result["skipped"] == [str(ratings.paths[3])] and "1 of 8 images skipped" in err
    rows = [i for i in range(8) if i != 3]
    want = [edge_density(np.array(Image.open(ratings.paths[i]))) for i in rows]
    assert result["measures"]["edge_density"]["pcc"] == pytest.approx(pearsonr(ratings.scores[rows], want)[0])


def test_a_set_of_measures_can_be_chosen_and_keeps_the_eight(table, tmp_path):
    for name in ("eight", "plain"):
        assert main(["measures", "--ratings", str(table), "--size", "32", "--set", name, "--json", str(tmp_path / name)]) == 0
    eight, plain = (json.loads((tmp_path / name).read_text())["measures"] for name in ("eight", "plain"))
    assert list(plain)[8:] == ["gradient_energy", "sobel_gradient", "unique_colors"]
    assert {name: plain[name] for name in eight} == eight


@pytest.mark.parametrize("words, message", [(["--size", "8"], "at least 16"), (["--json", "."], "is a folder")])
def test_a_mistake_is_one_line(table, capsys, words, message):
    assert main(["measures", "--ratings", str(table), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("clicv2lite: ") and error.count("\n") == 1 and message in error
