"""Ridge on hand-made measures: the folds of the probe, scikit-learn's ridge, one line for a mistake."""

import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clicv2lite.baselines.measures import handcrafted
from clicv2lite.baselines.measures.basic import MEASURES
from clicv2lite.baselines.measures.handcrafted import predict_by_measures
from clicv2lite.cli import main
from clicv2lite.data.images import read_square
from clicv2lite.data.rated.table import read_ratings
from clicv2lite.errors import UserError
from clicv2lite.heads.ridge import ALPHAS
from clicv2lite.models.by_name import load_encoder
from clicv2lite.probe.crossval import folds
from clicv2lite.probe.metrics import pcc


@pytest.fixture
def table(rated):
    return rated(20, 48)


def test_each_fold_is_predicted_by_a_ridge_that_did_not_see_it():
    rng = np.random.default_rng(0)
    values = {"a": rng.random(40), "b": 100 * rng.random(40)}
    scores, names = rng.random(40), ["x"] * 25 + ["y"] * 15
    got = predict_by_measures(values, scores, names, k=4, seed=3)
    x = np.stack(list(values.values()), axis=1)
    for test in folds(40, 4, names, 3):
        train = [i for i in range(40) if i not in test]
        model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(x[train], scores[train])
        np.testing.assert_allclose(got[test], model.predict(x[test]))


def test_what_one_measure_knows_is_found_and_noise_is_not():
    rng = np.random.default_rng(1)
    scores = rng.random(200)
    noise = {f"noise{i}": rng.random(200) for i in range(7)}
    assert pcc(scores, predict_by_measures({"good": 3 * scores + 0.1 * rng.random(200), **noise}, scores, None)) > 0.98
    assert abs(pcc(scores, predict_by_measures(noise, scores, None))) < 0.3


def test_the_command_writes_a_report_like_the_probes(table, tmp_path):
    out = tmp_path / "handcrafted.json"
    assert main(["handcrafted", "--ratings", str(table), "--size", "48", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["n"] == 20 and result["measures"] == list(MEASURES) and result["folds"] == 5
    assert set(result["per_category"]) == {"cells", "glyphs"}
    assert result["mean_pcc"] == pytest.approx(np.mean([c["pcc"] for c in result["per_category"].values()]))
    assert result["command"].startswith("clicv2lite ")


def test_scores_on_another_scale_give_the_same_report(table, tmp_path, capsys):
    other = tmp_path / "five.csv"
    lines = [line.split(",") for line in table.read_text().splitlines()]
    scaled = [f"{image},{1 + 4 * float(score):.9f},{name}" for image, score, name in lines[1:]]
    other.write_text("\n".join([",".join(lines[0]), *scaled]))
    found = []
    for words in ([str(table)], [str(other), "--score-range", "1", "5"]):
        assert main(["handcrafted", "--size", "16", "--ratings", *words]) == 0
        found.append(json.loads(capsys.readouterr().out)["mean_pcc"])
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_an_encoders_features_join_the_measures(table, tmp_path, monkeypatch):
    seen = []

    def watched(values, *rest):
        seen.append(values)
        return predict_by_measures(values, *rest)

    monkeypatch.setattr(handcrafted, "predict_by_measures", watched)
    out, csv = tmp_path / "both.json", str(table)
    words = ["handcrafted", "--ratings", csv, "--size", "48", "--encoder", "random", "--seed", "3"]
    assert main([*words, "--json", str(out)]) == 0
    encoder = load_encoder("random", 3)
    want = encoder.features(torch.stack([read_square(path, encoder.size) for path in read_ratings(csv).paths]))
    (values,) = seen
    assert list(values)[: len(MEASURES)] == list(MEASURES) and len(values) == len(MEASURES) + want.shape[1]
    np.testing.assert_allclose(values["feature 7"], want[:, 7], atol=1e-5)
    result = json.loads(out.read_text())
    assert result["encoder"] == "random" and result["measures"] == list(MEASURES)


def test_an_image_that_cannot_be_read_is_skipped_beside_an_encoder_too(table, tmp_path, capsys):
    (tmp_path / "3.png").write_bytes(b"no image")
    assert main(["handcrafted", "--ratings", str(table), "--size", "48", "--encoder", "random"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["n"] == 19 and result["skipped"] == [str(tmp_path / "3.png")] and "1 of 20 images skipped" in err


@pytest.mark.parametrize("words, hardware", [([], None), (["--encoder", "random"], torch.device("cpu"))])
def test_the_hardware_is_the_device_of_the_encoder(table, monkeypatch, words, hardware):
    seen = []
    monkeypatch.setattr(handcrafted, "stamped", lambda result, began, device=None: seen.append(device) or result)
    assert main(["handcrafted", "--ratings", str(table), "--size", "16", "--device", "cpu", *words]) == 0
    assert seen == [hardware]


def test_without_a_file_the_report_is_printed(table, capsys):
    assert main(["handcrafted", "--ratings", str(table), "--size", "16"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == 16


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--size", "8"], "at least 16"), (["--seed", "-1"], "whole number"), (["--json", "."], "is a folder")],
)
def test_a_mistake_is_one_line(table, capsys, words, message):
    assert main(["handcrafted", "--ratings", str(table), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("clicv2lite: ") and error.count("\n") == 1 and message in error


def test_too_few_images_for_five_folds_are_refused():
    with pytest.raises(UserError, match="too few"):
        predict_by_measures({"a": [1, 2, 3]}, [0, 1, 2], None)


def test_within_categories_ignores_what_differs_between_them():
    rng = np.random.default_rng(2)
    names = np.repeat(["a", "b"], 100).tolist()
    shift = np.repeat([0.0, 5.0], 100)
    scores = rng.random(200)
    values = {"within": scores + 0.2 * rng.random(200) + shift, "category": shift + 0.01 * rng.random(200)}
    lifted = scores - shift  # ratings whose level between the categories goes the other way
    plain, moved = (predict_by_measures(values, y, names, within=True) for y in (scores, lifted))
    np.testing.assert_allclose(moved, plain - 2.5, atol=1e-9)  # half of each fold is lower by 5
    assert abs(predict_by_measures(values, lifted, names) - plain + 2.5).max() > 1
    with pytest.raises(UserError, match="no column category"):
        predict_by_measures(values, scores, None, within=True)
