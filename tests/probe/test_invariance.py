"""Class probe, neighbours and map against loops; the command's file and its one-line errors."""

import csv
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.method.encoder import EncoderConfig, build_vit
from clicv2lite.probe import invariance as module
from clicv2lite.probe.crossval import folds
from clicv2lite.probe.invariance import class_probe, class_report, invariance, neighbourhood, tsne, unseen_category
from clicv2lite.probe.metrics import pcc
from clicv2lite.probe.task import Task


def clusters(n=90, width=6, gap=8.0, seed=0):
    """Three categories around centres that lie `gap` apart, (n, width) features and (n,) names."""
    rng = np.random.default_rng(seed)
    names = [("a", "b", "c")[i % 3] for i in range(n)]
    centre = {name: rng.normal(size=width) * gap for name in "abc"}
    return torch.from_numpy(np.stack([centre[name] + rng.normal(size=width) for name in names])), names


def test_the_class_probe_finds_categories_that_lie_apart_and_not_those_that_are_names_only():
    features, names = clusters()
    tests = folds(90, 5, names, 0)
    apart = class_probe(features, names, tests)
    assert apart["accuracy"] == apart["balanced_accuracy"] == 1 and apart["accuracy_ci"] == [1, 1]
    shuffled = list(np.random.default_rng(1).permutation(names))
    none = class_probe(features, shuffled, folds(90, 5, shuffled, 0))
    low, high = none["accuracy_ci"]
    assert none["accuracy"] < 0.5 and low <= none["accuracy"] <= high and none["chance"] == pytest.approx(1 / 3)


def test_chance_is_the_largest_category_and_balanced_accuracy_the_mean_over_categories():
    names = ["a"] * 70 + ["b"] * 20
    found = class_probe(torch.zeros(90, 3), names, folds(90, 5, names, 0))  # features that say nothing
    assert found["chance"] == found["accuracy"] == pytest.approx(70 / 90) and found["balanced_accuracy"] == 0.5


def test_the_interval_of_the_accuracy_is_that_of_a_share():
    found = class_report(["a"] * 100, np.repeat(["a", "b"], [80, 20]))
    low, high = found["accuracy_ci"]
    assert found["accuracy"] == 0.8 and high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 100), rel=0.15)


def test_no_image_is_classified_by_a_probe_that_saw_it():
    """Each image has a feature of its own, so only a probe that was fitted on it can name its random category."""
    names = list(np.random.default_rng(0).permutation(["a", "b"] * 20))
    assert class_probe(torch.eye(40), names, folds(40, 5, names, 0))["accuracy"] < 0.8


def test_rows_to_fit_on_leave_the_others_out():
    """Each image has a feature of its own: fitted on the tested rows, too, the probe would be right."""
    names, train, test = ["a", "b", "b", "c"] * 10, np.arange(0, 20), np.arange(20, 36)
    found = class_probe(torch.eye(40), names, [test], train=train)
    assert found["accuracy"] == 0.5 == found["chance"]  # it knows only which category is the largest


@given(st.integers(0, 999), st.integers(1, 6))
def test_neighbourhood_matches_loops(seed, k):
    rng = np.random.default_rng(seed)
    points, scores, names = rng.normal(size=(12, 3)), rng.random(12), ["a", "b", "b", "c"] * 3
    agree, guesses = [], []
    for i in range(12):
        others = sorted((j for j in range(12) if j != i), key=lambda j: np.linalg.norm(points[i] - points[j]))[:k]
        agree += [names[j] == names[i] for j in others]
        guesses.append(np.mean([scores[j] for j in others]))
    chance = np.mean([names[i] == names[j] for i in range(12) for j in range(12) if i != j])
    unexplained = sum((scores - guesses) ** 2) / sum((scores - scores.mean()) ** 2)
    got = neighbourhood(points, names, scores, k)
    assert got["class_agreement"] == pytest.approx(np.mean(agree))
    assert got["class_chance"] == pytest.approx(chance) and got["score_r2"] == pytest.approx(1 - unexplained)


def test_of_scores_that_are_all_the_same_the_neighbours_explain_nothing_that_is_known():
    assert neighbourhood(torch.rand(12, 3), ["a", "b"] * 6, [0.1] * 12, 3)["score_r2"] is None


def test_an_unseen_category_is_predicted_from_the_others():
    rng = np.random.default_rng(0)
    features, names = torch.from_numpy(rng.normal(size=(60, 4))), list("aabbcc" * 10)
    scores = features[:, 0].numpy() * np.array([-1 if name == "c" else 1 for name in names])  # the rule is reversed in c
    got = unseen_category(features, names, scores)
    mine = np.array(names) == "b"
    alone = fit_ridge(features[~mine], scores[~mine]).predict(features[mine])
    assert got["per_category"]["b"]["pcc"] == pytest.approx(pcc(scores[mine], alone))
    assert got["per_category"]["c"]["pcc"] < -0.9 and got["per_category"]["a"]["pcc"] < 0.9
    assert got["mean_pcc"] == pytest.approx(np.mean([entry["pcc"] for entry in got["per_category"].values()]))


def test_an_unseen_category_is_predicted_from_differences_within_the_others():
    rng = np.random.default_rng(0)
    features, names = torch.from_numpy(rng.normal(size=(90, 3))), np.array(list("abc" * 30))
    level = np.array([{"a": 0.0, "b": 5.0, "c": -5.0}[name] for name in names])
    features[:, 1] += torch.from_numpy(level)  # says which category it is, and nothing of differences within
    scores = features[:, 0].numpy() + 3 * level
    got = unseen_category(features, names, scores, within=True)
    for name in "abc":
        mine = names == name
        head = fit_ridge(features[~mine], scores[~mine], names[~mine])
        assert got["per_category"][name]["pcc"] == pytest.approx(pcc(scores[mine], head.predict(features[mine])))
    assert got["mean_pcc"] > 0.98 > unseen_category(features, names, scores)["mean_pcc"] + 0.1


def test_the_map_keeps_clusters_together_and_is_the_same_at_the_same_seed():
    features, names = clusters()
    points = tsne(features, seed=3)
    assert points.shape == (90, 2) and neighbourhood(points, names, np.arange(90))["class_agreement"] > 0.95
    assert np.array_equal(points, tsne(features, seed=3))


def test_neighbours_are_those_of_the_standardised_features_and_of_the_map():
    features, names = clusters(gap=1.0)
    scores = features[:, 0].numpy()
    features[:, 1] *= 1000  # as it comes, this number alone says who is near
    found, points = invariance(features, Task([], scores, names, np.ones(90, bool), None))
    standardised = (features - features.mean(0)) / features.std(0)
    assert found["neighbours"]["features"] == pytest.approx(neighbourhood(standardised, names, scores))
    assert found["neighbours"]["tsne"] == pytest.approx(neighbourhood(points, names, scores))
    assert found["neighbours"]["features"]["score_r2"] != pytest.approx(found["neighbours"]["tsne"]["score_r2"])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """40 images of noise whose contrast is their score, red or blue by category, and a small encoder."""
    folder = tmp_path_factory.mktemp("invariance")
    rng = np.random.default_rng(0)
    rows = ["image,score,category"]
    for i in range(40):
        score = rng.uniform()
        pixels = 128 + score * rng.uniform(-127, 127, (40, 48, 3)) * np.array([(1, 0.2, 0.2), (0.2, 0.2, 1)][i % 2])
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
        rows.append(f"{i}.png,{score:.4f},{('red', 'blue')[i % 2]}")
    (folder / "ratings.csv").write_text("\n".join(rows))
    (folder / "plain.csv").write_text("\n".join(row.rsplit(",", 1)[0] for row in rows))
    (folder / "few.csv").write_text("\n".join(rows[:21]))
    torch.manual_seed(0)
    config = EncoderConfig(size=32, patch=8, width=16, depth=1, heads=2)
    FrozenEncoder("tiny", build_vit(config), FrozenConfig(config)).save(folder / "encoder")
    return folder


def words(data, table="ratings.csv", **options):
    chosen = {"encoder": data / "encoder", "ratings": data / table} | options
    return ["invariance", *(word for name, value in chosen.items() for word in (f"--{name}", str(value)))]


def test_the_command_writes_a_report_and_a_map(data, tmp_path):
    out, points = tmp_path / "new" / "r.json", tmp_path / "map.csv"
    assert main(words(data, json=out, tsne=points)) == 0
    got = json.loads(out.read_text())
    assert got["n"] == 40 and got["mean_pcc"] > 0.8 and set(got["per_category"]) == {"blue", "red"}
    assert all(entry["pcc_ci"][0] < entry["pcc"] < entry["pcc_ci"][1] for entry in got["per_category"].values())
    assert got["class_probe"]["accuracy"] > 0.6 and set(got["neighbours"]) == {"features", "tsne"}
    assert {"command", "commit", "hardware", "seconds", "seed", "encoder", "skipped"} <= got.keys()
    rows = list(csv.DictReader(points.open()))
    assert len(rows) == 40 and rows[3]["image"] == "3.png" and rows[3]["category"] == "blue"
    assert all(np.isfinite([float(row["x"]), float(row["y"])]).all() for row in rows)


def test_a_split_column_says_what_is_fitted_and_what_is_tested(data, tmp_path):
    lines = (data / "ratings.csv").read_text().splitlines()
    parts = ["split", *("test" if i % 4 == 0 else "train" for i in range(40))]
    (data / "split.csv").write_text("".join(f"{line},{part}\n" for line, part in zip(lines, parts, strict=True)))
    assert main(words(data, "split.csv", json=tmp_path / "i.json")) == 0
    got = json.loads((tmp_path / "i.json").read_text())
    probe = ["probe", "--encoder", str(data / "encoder"), "--ratings", str(data / "split.csv")]
    assert main([*probe, "--json", str(tmp_path / "p.json")]) == 0
    assert got["n"] == 10 and got["mean_pcc"] == json.loads((tmp_path / "p.json").read_text())["mean_pcc"]
    assert got["class_probe"]["chance"] == 1.0  # every fourth image is red
    assert sum(part["n"] for part in got["unseen_category"]["per_category"].values()) == 40


def test_without_a_file_the_report_is_printed_and_repeats_itself(data, capsys):
    assert main(words(data)) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(words(data)) == 0
    again = json.loads(capsys.readouterr().out)
    assert first | {"seconds": 0, "command": ""} == again | {"seconds": 0, "command": ""}


def test_a_map_that_cannot_be_written_costs_no_report(data, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "map.csv")

    monkeypatch.setattr(module, "write_map", full)
    assert main(words(data, json=tmp_path / "r.json", tsne=tmp_path / "map.csv")) == 2
    assert json.loads((tmp_path / "r.json").read_text())["n"] == 40
    assert capsys.readouterr().err.splitlines()[-1].startswith("clicv2lite: map.csv: the disk is full")


def test_a_map_needs_more_images_than_it_looks_at():
    with pytest.raises(UserError, match="30 readable images; t-SNE needs more than 30"):
        tsne(torch.rand(30, 4))


@pytest.mark.parametrize("kinds, parts, message", [
    (["A"] * 39 + ["B"], None, "a category probe would be fitted on images of category A alone; give two or more of another"),
    (["A"] * 20 + ["B"] * 20, ["train"] * 20 + ["test"] * 20, "a category probe would be fitted on images of category A alone"),
    (["A"] * 39 + ["B"], ["test"] * 20 + ["train"] * 20, "1 image is of another category than all others; give two or more"),
])  # fmt: skip
def test_a_second_category_of_too_few_images_is_refused_before_the_encoding(data, capsys, kinds, parts, message):
    rows = [f"{i}.png,{i / 40},{kind},{part}" for i, (kind, part) in enumerate(zip(kinds, parts or [""] * 40, strict=True))]
    (data / "one.csv").write_text("\n".join(["image,score,category,split", *rows]))
    assert main(words(data, "one.csv", encoder="nothing-there")) == 2
    assert f"one.csv: {message}" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"^--ratings: a category probe would be fitted on images of category A alone"):
        class_probe(torch.eye(40), ["A"] * 39 + ["B"], [np.arange(20), np.arange(20, 40)])


@pytest.mark.parametrize("table, options, message", [
    ("plain.csv", {}, "needs a category column"), ("few.csv", {}, "20 images; t-SNE needs more than 30"),
    ("ratings.csv", {"json": "."}, "is a folder"), ("ratings.csv", {"tsne": "."}, "is a folder"),
    ("ratings.csv", {"seed": -1}, "--seed -1"), ("ratings.csv", {"encoder": "nothing-there"}, "nothing-there"),
])  # fmt: skip
def test_a_mistake_is_one_line(data, capsys, table, options, message):
    assert main(words(data, table, **options)) == 2
    error = capsys.readouterr().err
    assert error.startswith("clicv2lite: ") and error.count("\n") == 1 and message in error
