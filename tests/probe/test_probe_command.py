import argparse
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite.data.batches import batches
from clicv2lite.encoders.config import FrozenConfig, PoolConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.method.encoder import EncoderConfig, build_vit
from clicv2lite.models.by_name import load_encoder
from clicv2lite.models.model import load_model
from clicv2lite.models.norms import fingerprint
from clicv2lite.outputs import claimed, inputs_of, outputs_of
from clicv2lite.probe import command, fitting

CONTRACT = {"n", "pcc", "srcc", "pcc_ci", "per_category", "mean_pcc", "pcc_variance"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """30 images of noise whose contrast is their score, two categories, and an encoder that never learned anything."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(30):
        score, category = rng.uniform(), "ab"[i % 2]
        pixels = 128 + score * rng.uniform(-127, 127, (40, 48, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
        rows.append(f"{i}.png,{score:.4f},{category},{'test' if i >= 20 else 'train'}")
    (folder / "cv.csv").write_text("image,score,category\n" + "".join(r.rsplit(",", 1)[0] + "\n" for r in rows))
    (folder / "split.csv").write_text("image,score,category,split\n" + "\n".join(rows) + "\n")
    for name, part in (("train", rows[:20]), ("test", rows[20:])):
        (folder / f"{name}.csv").write_text("image,score,category,split\n" + "\n".join(part) + "\n")
    torch.manual_seed(0)
    config = EncoderConfig(size=32, patch=8, width=16, depth=1, heads=2)
    FrozenEncoder("tiny", build_vit(config), FrozenConfig(config)).save(folder / "encoder")
    return folder


def probe(data, *options, ratings="cv.csv"):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    arguments = ["--encoder", str(data / "encoder"), "--ratings", str(data / ratings), *map(str, options)]
    args = parser.parse_args(arguments)
    with claimed(outputs_of(args), inputs_of(args)):  # as the command line does
        return command.run(args)


def result(path):
    return json.loads(path.read_text())


def test_cross_validation_writes_the_contract(data, tmp_path, capsys):
    assert probe(data, "--json", tmp_path / "new" / "r.json", "--folds", 3) == 0
    got = result(tmp_path / "new" / "r.json")
    assert set(got) >= CONTRACT | {"mean_pcc_ci", "srcc_ci", "head", "encoder", "seed", "folds", "command", "commit",
                                   "seconds", "hardware", "skipped", "evaluation"}  # fmt: skip
    assert got["n"] == 30 and got["evaluation"] == "cross-validation" and got["skipped"] == []
    assert [f["n"] for f in got["folds"]] == [10, 10, 10] and set(got["per_category"]) == {"a", "b"}
    assert got["mean_pcc"] > 0.9  # contrast is in any features
    out = capsys.readouterr()
    assert "mean PCC" in out.out and out.err == ""


def test_the_numbers_of_a_fold_are_those_of_its_rows(data, tmp_path, monkeypatch):
    made, real = [], command.cross_validate
    monkeypatch.setattr(command, "cross_validate", lambda *given: made.append((given[3], real(*given))) or made[0][1])
    probe(data, "--json", tmp_path / "r.json", "--folds", 3)
    ((tests, predictions),) = made
    scores = np.loadtxt(data / "cv.csv", delimiter=",", skiprows=1, usecols=1)
    want = [np.corrcoef(scores[rows], predictions[rows])[0, 1] for rows in tests]
    assert [fold["pcc"] for fold in result(tmp_path / "r.json")["folds"]] == pytest.approx(want)


def test_the_same_seed_gives_the_same_result(data, tmp_path):
    for name in "ab":
        probe(data, "--json", tmp_path / name, "--seed", 3)
    first, again = (result(tmp_path / name) for name in "ab")
    assert {**first, "seconds": 0} == {**again, "seconds": 0}


def test_a_split_column_and_two_tables_give_the_same_result(data, tmp_path):
    probe(data, "--json", tmp_path / "split", ratings="split.csv")
    probe(data, "--json", tmp_path / "tables", "--test", data / "test.csv", ratings="train.csv")
    split, tables = result(tmp_path / "split"), result(tmp_path / "tables")
    assert split["evaluation"] == "test" and split["n"] == 10 and split["n_train"] == 20 and split["folds"] is None
    assert {**split, "seconds": 0} == {**tables, "seconds": 0}


@pytest.mark.parametrize("head", ["ridge", "icnet"])
def test_out_alone_is_a_model_that_predicts_what_was_reported(data, tmp_path, head):
    options = ["--epochs", 2, "--channels", 4] if head == "icnet" else []
    probe(data, "--head", head, "--out", tmp_path / "m", *options, ratings="split.csv")
    assert {p.name for p in (tmp_path / "m").iterdir()} == {"encoder.safetensors", "head.safetensors", "probe.json"}
    model = load_model(str(tmp_path / "m"))
    images = [batches([data / f"{i}.png" for i in range(20, 30)], 32, 10, "")]
    scores = np.loadtxt(data / "test.csv", delimiter=",", skiprows=1, usecols=1)
    got = model.scores(next(images[0]).images)
    assert np.corrcoef(got, scores)[0, 1] == pytest.approx(result(tmp_path / "m" / "probe.json")["pcc"], abs=1e-3)
    assert result(tmp_path / "m" / "probe.json")["head_digest"] == fingerprint(load_model(tmp_path / "m").head)


def test_the_model_of_a_cross_validation_is_fitted_on_all_rows(data, tmp_path):
    probe(data, "--out", tmp_path / "cv")
    whole = tmp_path / "whole.csv"
    lines = (data / "cv.csv").read_text().splitlines()
    whole.write_text("\n".join([lines[0], *(f"{data}/{line}" for line in lines[1:])]) + "\n")
    other = tmp_path / "other.csv"
    for i, level in enumerate((10, 200)):
        Image.new("RGB", (9, 9), (level,) * 3).save(tmp_path / f"o{i}.png")
    other.write_text("image,score\no0.png,0.1\no1.png,0.9\n")
    probe(data, "--out", tmp_path / "all", "--test", other, ratings=whole)
    weights = [load_model(str(tmp_path / name)).head.weight for name in ("cv", "all")]
    np.testing.assert_allclose(*weights, atol=1e-6)


def test_unreadable_images_are_skipped_counted_and_named(data, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"not an image")
    table = tmp_path / "t.csv"
    lines = (data / "cv.csv").read_text().splitlines()
    table.write_text("\n".join([lines[0], "bad.png,0.5,a", *(f"{data}/{line}" for line in lines[1:])]) + "\n")
    assert probe(data, "--json", tmp_path / "r", ratings=table) == 0
    assert result(tmp_path / "r")["skipped"] == [str(tmp_path / "bad.png")] and result(tmp_path / "r")["n"] == 30
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "bad.png" in lines[0] and "1 of 31" in lines[1]


def test_nothing_readable_is_one_line(data, tmp_path):
    for i in range(10):
        (tmp_path / f"{i}.png").touch()
    (tmp_path / "t.csv").write_text("image,score\n" + "".join(f"{i}.png,0.{i}\n" for i in range(10)))
    with pytest.raises(UserError, match="none of the 10 rated images could be read"):
        probe(data, ratings=tmp_path / "t.csv")


def test_a_head_that_reads_one_encoder_refuses_two_before_the_encoding(data, monkeypatch):
    monkeypatch.setattr(command, "encode_task", lambda *_: pytest.fail("encoded"))
    with pytest.raises(UserError, match="ICNet's head reads the tokens of one encoder"):
        probe(data, "--encoder", "{0}+{0}".format(data / "encoder"), "--head", "icnet")


@pytest.mark.parametrize("options, message", [
    (["--batch-size", 0], "--batch-size 0"),
    (["--epochs", 5], "only --head icnet"),
    (["--head", "icnet", "--lr", -1], "--lr -1.0: give a number above 0"),
    (["--folds", 1], "--folds 1"),
    (["--folds", 0], "--folds 0"),
    (["--folds", 16], "30 rated images are too few for 16 folds, which need 32 or more"),
    (["--json", "{tmp}"], "this is a folder"),
    (["--out", "{tmp}/file"], "cannot be made"),
    (["--encoder", "{tmp}"], "encoder"),
    (["--seed", -1], "--seed -1"),
    (["--set", "pool_size=20"], "--set pool_size=20: patches of 8 px do not tile it"),
    (["--set", "pool_halvings=3"], "--set pool_size=32: patches of 8 px do not tile it halved 3 times"),
    (["--set", "pool_blocks=1"], "pool_blocks: with depth=1 they must be in -1..0"),
    (["--set", "depth=2"], "--set depth=2"),
    (["--head", "icnet", "--set", "pool_size=40", "pool_read=likeness"], "--set pool_read=likeness: --head icnet reads the"),
])  # fmt: skip
def test_mistakes_are_one_line_each(data, tmp_path, options, message):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=message) as error:
        probe(data, *[str(o).format(tmp=tmp_path) for o in options])
    assert "\n" not in str(error.value)


def test_the_encoder_of_a_pretraining_is_not_overwritten(data, tmp_path):
    (tmp_path / "metrics.jsonl").touch()  # of a run, with or without its checkpoints
    with pytest.raises(UserError, match="encoder of this pretraining"):
        probe(data, "--out", tmp_path)
    load_encoder("random").save(tmp_path)
    shutil.copy(data / "encoder" / "encoder.safetensors", tmp_path / "best.safetensors")
    before = (tmp_path / "encoder.safetensors").read_bytes()
    with pytest.raises(UserError, match="encoder of this pretraining"):
        probe(data, "--encoder", tmp_path / "best.safetensors", "--out", tmp_path)
    probe(data, "--encoder", tmp_path / "encoder.safetensors", "--out", tmp_path)
    assert (tmp_path / "encoder.safetensors").read_bytes() == before


def test_a_full_disk_costs_the_model_and_not_the_result(data, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "head.safetensors")

    monkeypatch.setattr(command.Model, "save", full)
    with pytest.raises(OSError, match="No space left"):
        probe(data, "--out", tmp_path / "m", "--json", tmp_path / "r.json")
    assert result(tmp_path / "r.json")["n"] == 30 and "mean PCC" in capsys.readouterr().out


def test_set_reads_the_same_weights_in_another_way(data, tmp_path):
    reading = ["pool_read=likeness", "pool_size=64", "pool_halvings=1", "pool_statistics=mean,std", "pool_blocks=0"]
    probe(data, "--set", *reading, "--json", tmp_path / "r.json", "--out", tmp_path / "model")
    pool = PoolConfig((0,), ("mean", "std"), 64, "likeness", 1)
    stored = load_encoder(str(tmp_path / "model"))
    assert stored.config.pool == pool and result(tmp_path / "r.json")["set"] == reading
    config = load_encoder(str(data / "encoder")).config.encoder
    by_hand = FrozenEncoder("by hand", load_encoder(str(data / "encoder")).net, FrozenConfig(config, pool))
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    assert stored.features(images).equal(by_hand.features(images))
    with pytest.raises(UserError, match="is read otherwise; name another"):
        probe(data, "--encoder", tmp_path / "model", "--set", "pool_read=tokens", "--out", tmp_path / "model")


def test_an_encoder_that_diverged_is_refused(data, tmp_path):
    torch.manual_seed(0)
    config = EncoderConfig(size=32, patch=8, width=16, depth=1, heads=2)
    vit = build_vit(config)
    vit.patch_embed.proj.bias.data.fill_(float("nan"))
    FrozenEncoder("diverged", vit, FrozenConfig(config)).save(tmp_path)
    with pytest.raises(UserError, match=f"^encoder {re.escape(str(tmp_path))}.*: what it makes .* is not finite"):
        probe(data, "--encoder", tmp_path)


def test_within_categories_is_what_ridge_gets_as_groups(data, tmp_path, monkeypatch):
    given = []

    def spy(features, scores, groups=None):
        given.append((len(scores), groups))
        return fit_ridge(features, scores, groups)

    monkeypatch.setattr(fitting, "fit_ridge", spy)
    assert probe(data, "--within-categories", "--json", tmp_path / "r.json", "--out", tmp_path / "model", "--folds", 3) == 0
    assert [n for n, _ in given] == [20, 20, 20, 30]  # three folds and the head that is kept
    assert all(sorted(set(groups)) == ["a", "b"] and len(groups) == n for n, groups in given)
    assert given[-1][1].tolist() == ["a", "b"] * 15
    assert result(tmp_path / "r.json")["within_categories"] is True
    probe(data, "--json", tmp_path / "plain.json", "--folds", 3)
    assert given[-1] == (20, None) and result(tmp_path / "plain.json")["within_categories"] is False


def test_within_categories_of_what_has_none_or_cannot_is_one_line(data, tmp_path):
    rows = (data / "cv.csv").read_text().splitlines()
    table = data / "plain.csv"
    table.write_text("\n".join(row.rsplit(",", 1)[0] for row in rows) + "\n")
    with pytest.raises(UserError, match=r"--within-categories: .*plain.csv has no column category"):
        probe(data, "--within-categories", ratings="plain.csv")
    with pytest.raises(UserError, match="--within-categories: only --head ridge has it, not icnet"):
        probe(data, "--within-categories", "--head", "icnet")
