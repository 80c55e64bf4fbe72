"""Encoders on one's own ratings: the numbers are those of `probe`, the differences those of the paired bootstrap."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.evaluate import leaderboard as module
from clicv2lite.evaluate.leaderboard import as_markdown, leaderboard
from clicv2lite.evaluate.paired import paired_difference
from clicv2lite.method.encoder import EncoderConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """30 images of noise whose contrast is their score, in two categories, and two encoders."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows = ["image,score,category"]
    for i in range(30):
        score = rng.uniform()
        pixels = 128 + score * rng.uniform(-127, 127, (40, 48, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
        rows.append(f"{i}.png,{score:.4f},{'ab'[i % 2]}")
    (folder / "r.csv").write_text("\n".join(rows), encoding="utf-8")
    for seed in (0, 1):
        torch.manual_seed(seed)
        config = EncoderConfig(size=32, patch=8, width=16, depth=1, heads=2)
        FrozenEncoder("tiny", PlainViT(config), FrozenConfig(config)).save(folder / f"e{seed}")
    return folder


def board(data, out, *more, encoders=("e0", "e1")):
    names = [str(data / name) if name[0] == "e" else name for name in encoders]
    words = ["leaderboard", "--ratings", str(data / "r.csv"), "--encoder", *names, "--json", str(out / "b.json"), *more]
    assert main(words) == 0
    return json.loads((out / "b.json").read_text())


@pytest.mark.parametrize("more", [(), ("--within-categories",), ("--folds", "3", "--seed", "2")])
def test_the_numbers_are_those_of_probe(data, tmp_path, more):
    rows = {row["encoder"]: row for row in board(data, tmp_path, *more)["rows"]}
    for name in ("e0", "e1"):
        words = ["probe", "--ratings", str(data / "r.csv"), "--encoder", str(data / name), "--json", str(tmp_path / "p.json")]
        assert main([*words, *more]) == 0
        probed = json.loads((tmp_path / "p.json").read_text())
        row = rows[str(data / name)]
        for key in ("mean_pcc", "mean_pcc_ci", "pcc", "srcc", "per_category", "n"):
            assert row[key] == probed[key]


def test_the_formulas_are_those_of_handcrafted(data, tmp_path):
    (row,) = board(data, tmp_path, encoders=("handcrafted",))["rows"]
    words = ["handcrafted", "--set", "plain", "--ratings", str(data / "r.csv"), "--json", str(tmp_path / "h.json")]
    assert main(words) == 0
    want = json.loads((tmp_path / "h.json").read_text())["mean_pcc"]
    assert row["mean_pcc"] == pytest.approx(want, abs=1e-7), "features are float32, values of formulas are not"
    assert (row["features"], row["to_best"]) == (11, None)


def test_the_table_the_file_and_the_predictions_agree(data, tmp_path, capsys):
    more = ["--markdown", str(tmp_path / "b.md"), "--predictions", str(tmp_path / "p.csv")]
    found = board(data, tmp_path, *more, encoders=("e0", "handcrafted", "e1"))
    assert capsys.readouterr().out == (tmp_path / "b.md").read_text() == as_markdown(found["rows"]) + "\n"
    with (tmp_path / "p.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    names = [row["encoder"] for row in found["rows"]]
    assert len(table) == 30 and set(table[0]) == {"image", "score", "category", *names}
    predictions = {name: np.array([float(line[name]) for line in table]) for name in names}
    scores, categories = np.array([float(line["score"]) for line in table]), [line["category"] for line in table]
    again = leaderboard(predictions, scores, categories)
    for row, want in zip(again, found["rows"], strict=True):
        assert row["encoder"] == want["encoder"] and row["mean_pcc"] == pytest.approx(want["mean_pcc"], abs=1e-4)


def test_a_table_that_cannot_be_written_costs_no_result(data, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(module, "write_bytes", full)
    words = ["leaderboard", "--ratings", str(data / "r.csv"), "--encoder", str(data / "e0"), "--json", str(tmp_path / "b.json")]
    assert main([*words, "--markdown", str(tmp_path / "b.md")]) == 2
    assert json.loads((tmp_path / "b.json").read_text())["n"] == 30


def test_differences_are_paired_with_the_best():
    rng = np.random.default_rng(1)
    scores = rng.uniform(size=60)
    predictions = {name: scores + rng.normal(0, noise, 60) for name, noise in (("poor", 1.0), ("good", 0.05), ("fair", 0.3))}
    rows = leaderboard(predictions, scores, ["a", "b"] * 30)
    assert [row["encoder"] for row in rows] == ["good", "fair", "poor"] and rows[0]["to_best"] is None
    for row in rows[1:]:
        want = paired_difference(predictions[row["encoder"]][None], predictions["good"][None], scores, ["a", "b"] * 30)
        assert row["to_best"] == {"mean": want.mean, "ci": want.over_images}
        assert row["to_best"]["mean"] == pytest.approx(row["mean_pcc"] - rows[0]["mean_pcc"]) and row["to_best"]["ci"][1] < 0


def test_constant_predictions_come_last_without_numbers():
    scores = np.linspace(0, 1, 12)
    rows = leaderboard({"flat": np.zeros(12), "line": scores}, scores)
    assert [row["encoder"] for row in rows] == ["line", "flat"] and rows[1]["to_best"] is None
    assert as_markdown(rows).splitlines()[-1] == "| flat |  |  |  |  |  |  |"


def test_two_images_have_no_difference():
    rows = leaderboard({"up": np.array([0.1, 0.9]), "down": np.array([0.9, 0.1])}, np.array([0.2, 0.8]))
    assert [row["to_best"] for row in rows] == [None, None]
    json.dumps(rows, allow_nan=False)


def test_an_image_that_cannot_be_read_is_left_out_for_all(data, tmp_path):
    for path in data.glob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "r.csv").write_bytes((data / "r.csv").read_bytes())
    (tmp_path / "7.png").write_bytes(b"no image")
    names = [str(data / "e0"), "handcrafted", str(data / "e1")]
    words = ["leaderboard", "--ratings", str(tmp_path / "r.csv"), "--encoder", *names, "--json", str(tmp_path / "b.json")]
    assert main(words) == 0
    found = json.loads((tmp_path / "b.json").read_text())
    assert [row["n"] for row in found["rows"]] == [29, 29, 29] and len(found["skipped"]) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--encoder", "default", "default"], "--encoder default: it is named twice"),
        (["--encoder", "default", "nowhere/at/all.safetensors"], "nowhere/at/all.safetensors: not a readable"),
        (["--encoder", "default", "--head", "icnet", "--within-categories"], "only --head ridge"),
        (["--encoder", "nowhere_at_all:f"], "No module named"),
        (["--encoder", "default", "--folds", "20"], "30 rated images are too few for 20 folds, which need 40 or more"),
    ],
)
def test_a_mistake_is_one_line(data, more, said, capsys):
    assert main(["leaderboard", "--ratings", str(data / "r.csv"), *more]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and said in err


def test_a_head_that_reads_one_encoder_refuses_two_before_the_encoding(data, monkeypatch, capsys):
    monkeypatch.setattr("clicv2lite.evaluate.leaderboard.encode_task", lambda *_: pytest.fail("encoded"))
    words = ["--ratings", str(data / "r.csv"), "--head", "icnet", "--encoder", "handcrafted", str(data / "e0"), "default+lite"]
    assert main(["leaderboard", *words]) == 2
    assert "--encoder default+lite: ICNet's head reads the tokens of one encoder" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--ratings", "few.csv"], ["--ratings", "less.csv", "--test", "rest.csv"]])
def test_nested_asks_for_enough_ratings_before_the_encoding(data, more, monkeypatch, capsys):
    monkeypatch.chdir(data)
    head, *rows = (data / "r.csv").read_text().splitlines()
    for name, part in (("few", rows[:12]), ("less", rows[:9]), ("rest", rows[9:])):
        (data / f"{name}.csv").write_text("\n".join([head, *part]))
    assert main(["leaderboard", "--encoder", "nowhere/at/all.safetensors", "--nested", *more]) == 2
    said = "--nested: 9 rated images are left for 5 inner folds, which need 10 or more; rate more"
    assert said in capsys.readouterr().err


def test_nested_says_what_choosing_is_worth(data, tmp_path, capsys):
    found = board(data, tmp_path, "--nested", "--within-categories", encoders=("e0", "handcrafted"))
    chosen = found["nested"]
    assert len(chosen["chosen"]) == 5 and set(chosen["chosen"]) <= {row["encoder"] for row in found["rows"]}
    assert chosen["n"] == 30 and set(chosen["per_category"]) == {"a", "b"}
    assert f"Chosen on inner folds: mean PCC {chosen['mean_pcc']:.3f}, " in capsys.readouterr().out
    assert "nested" not in board(data, tmp_path, encoders=("e0",)), "only if it is asked for"
