"""The curve of labels against fits by hand; the command's file and its one-line errors."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.probe.label_curve import label_curve


def known(n, rng):
    """Features that hold the score, and some that do not."""
    score = rng.uniform(size=n)
    return torch.from_numpy(np.column_stack([score + 0.05 * rng.normal(size=n), rng.normal(size=(n, 4))])), score


def test_each_value_is_the_correlation_of_a_head_with_the_images_that_it_did_not_see():
    features, score = known(60, np.random.default_rng(0))
    curve = label_curve(features, score, counts=(10, 20), draws=3, seed=5)
    rng = np.random.default_rng(5)
    for count in (10, 20):
        for found in curve[count]:
            order = rng.permutation(60).tolist()
            head = fit_ridge(features[order[:count]], score[order[:count]])
            said = [float(head.predict(features[i])) for i in order[count:]]
            assert found == pytest.approx(np.corrcoef(score[order[count:]], said)[0, 1])


def test_more_ratings_agree_better_and_counts_that_leave_too_few_are_left_out():
    features, score = known(80, np.random.default_rng(1))
    curve = label_curve(features, score)
    assert list(curve) == [5, 10, 20]  # 50 would leave 30
    assert np.median(curve[20]) > np.median(curve[5])
    assert label_curve(features, score) == curve != label_curve(features, score, seed=1)


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["image,score,category"]
    for i in range(50):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{i / 49},{'few' if i > 46 else 'many'}")
    (tmp_path / "ratings.csv").write_text("\n".join(lines))
    return tmp_path / "ratings.csv"


def test_the_command_stores_a_curve_of_each_category_that_is_large_enough(table, tmp_path):
    out = tmp_path / "curve.json"
    assert main(["label-curve", "--encoder", "random", "--ratings", str(table), "--device", "cpu", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert list(found["per_category"]) == ["many"] and found["per_category"]["many"]["n"] == 47
    assert [len(values) for values in found["per_category"]["many"]["curve"].values()] == [found["draws"]]
    assert found["skipped"] == [] and found["encoder"] == "random"


def test_a_correlation_that_is_not_defined_is_null(table, tmp_path):
    rows = [f"{i}.png,{1 if i < 2 else 0}" for i in range(50)]  # most draws of 10 leave out both, but not all
    table.write_text("\n".join(["image,score", *rows]))
    out = tmp_path / "c.json"
    assert main(["label-curve", "--encoder", "random", "--ratings", str(table), "--device", "cpu", "--json", str(out)]) == 0
    rng, curve = np.random.default_rng(0), json.loads(out.read_text())["per_category"][""]["curve"]
    undefined = []
    for count in (5, 10):
        for value in curve[str(count)]:
            high = (rng.permutation(50)[:count] < 2).sum()  # of the images that are fitted on
            assert (value is None) == (high in (0, 2))
            undefined.append(value is None)
    assert any(undefined) and not all(undefined)


def test_too_few_images_of_every_category_are_one_clear_line(table, tmp_path, capsys):
    table.write_text("\n".join(table.read_text().splitlines()[:40]))
    assert main(["label-curve", "--encoder", "random", "--ratings", str(table), "--json", str(tmp_path / "c.json")]) == 2
    assert f"--ratings {table}: no category has 45 readable images; rate more of one kind" in capsys.readouterr().err
    assert not (tmp_path / "c.json").exists()
