import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.data import worlds
from clicv2lite.data.inputs import square
from clicv2lite.data.rated.table import read_ratings
from clicv2lite.encoders.side_by_side import SideBySide
from clicv2lite.evaluate.card import card
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.models.by_name import DEFAULT, SHIPPED
from clicv2lite.models.model import load_model
from clicv2lite.models.norms import fingerprint
from clicv2lite.pretrain.engine import Pretraining, pretrain
from clicv2lite.pretrain.export import load_recipe
from clicv2lite.recipes.library import ci


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model folder made of a tiny run and thirty ratings."""
    root = tmp_path_factory.mktemp("made")
    assert pretrain(
        Pretraining(replace(ci(), passes=64, save_every=2), ["worlds:20"], root / "runs" / "tiny", device="cpu", progress=False)
    )
    pictures, levels, categories = worlds.sample(40, seed=0, size=40)
    rows = ["image,score,category"]
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(root / f"{i}.png")
        rows.append(f"{i}.png,{levels[i]:.4f},{categories[i]}")
    (root / "ratings.csv").write_text("\n".join(rows) + "\n")
    assert main(words(root, "ratings.csv")) == 0
    return root


def words(root, table):
    """The command line that makes the model folder."""
    return ["release", str(root / "runs" / "tiny"), "--ratings", str(root / table), "--out", str(root / "model")]


def test_one_command_makes_the_whole_folder(made):
    files = sorted(p.name for p in (made / "model").iterdir())
    weights = ["encoder.safetensors", "head.safetensors", "pretraining.safetensors"]
    assert files == sorted([*weights, "config.json", "model_card.md", "probe.json", "release.json"])
    release = json.loads((made / "model" / "release.json").read_text())
    assert release["float16"]["images"] == 8 and 0 < release["float16"]["largest_difference"] < 0.01
    assert release["key"]["mean_cosine"] > 0.5 and release["pretraining"]["passes"] == 64
    assert release["bytes"] == {name: (made / "model" / name).stat().st_size for name in weights}
    assert 0 <= load_model(made / "model").score(made / "0.png") <= 1


def test_a_second_run_joins_the_first(made, tmp_path):
    out = tmp_path / "both"
    shutil.copytree(made / "model", out)
    first = {name: (out / name).read_bytes() for name in ("encoder.safetensors", "pretraining.safetensors", "config.json")}
    run = tmp_path / "runs" / "pooled"
    recipe = replace(ci(), passes=64, save_every=2, seed=1).changed({"patch_embed": "conv-pool", "max_shift": 0})
    assert pretrain(Pretraining(recipe, ["worlds:20"], run, device="cpu", progress=False))
    assert main(["release", str(run), "--ratings", str(made / "ratings.csv"), "--out", str(out), "--add"]) == 0
    assert all((out / name).read_bytes() == data for name, data in first.items())
    model, release = load_model(out, "cpu"), json.loads((out / "release.json").read_text())
    assert isinstance(model.encoder, SideBySide) and model.head.config()["width"] == model.encoder.feature_count
    assert release["same_folds"]["alone"][0]["mean_pcc"] == pytest.approx(
        json.loads((made / "model" / "probe.json").read_text())["mean_pcc"], abs=1e-9
    ), "the first alone is the model before"
    assert release["added"][0]["passes"] == 64 and "encoder_2.safetensors" in release["bytes"]
    assert json.loads((out / "config_2.json").read_text())["recipe"]["patch_embed"] == "conv-pool"
    text = (out / "model_card.md").read_text()
    assert "| 1 | linear | to " in text and "| 2 | conv-pool | none | 64 (3) |" in text and "encoder 2 alone" in text
    assert text.count("clicv2lite release ") == 1 and "--add" not in text


def test_a_run_whose_crops_were_cut_from_the_files_is_released(made, tmp_path):
    run, recipe = tmp_path / "run", replace(ci(), passes=64, save_every=2, store=0)
    assert pretrain(Pretraining(recipe, ["embedded"], run, device="cpu", progress=False))
    assert main(["release", str(run), "--ratings", str(made / "ratings.csv"), "--out", str(tmp_path / "model")]) == 0
    assert json.loads((tmp_path / "model" / "release.json").read_text())["key"]["mean_cosine"] > 0.5


def test_two_runs_at_once_are_one_and_then_another(made, tmp_path):
    run, table = str(made / "runs" / "tiny"), ["--ratings", str(made / "ratings.csv")]
    assert main(["release", run, run, *table, "--out", str(tmp_path / "at once")]) == 0
    shutil.copytree(made / "model", tmp_path / "in turn")
    assert main(["release", run, *table, "--out", str(tmp_path / "in turn"), "--add"]) == 0
    for name in ("encoder.safetensors", "encoder_2.safetensors", "head.safetensors", "config_2.json"):
        assert (tmp_path / "at once" / name).read_bytes() == (tmp_path / "in turn" / name).read_bytes()


def test_an_added_run_that_an_interrupted_call_left_does_not_count(made, tmp_path):
    out = tmp_path / "model"
    shutil.copytree(made / "model", out)
    shutil.copy(out / "encoder.safetensors", out / "encoder_2.safetensors")
    words = ["release", str(made / "runs" / "tiny"), "--ratings", str(made / "ratings.csv"), "--out", str(out), "--add"]
    assert main(words) == 0
    assert len(load_model(out, "cpu").encoder.parts) == 2 and len(list(out.glob("encoder*.safetensors"))) == 2


def test_adding_to_nothing_is_one_line(made, tmp_path, capsys):
    words = ["release", str(made / "runs" / "tiny"), "--ratings", str(made / "ratings.csv"), "--out", str(tmp_path / "model")]
    assert main([*words, "--add"]) == 2
    assert "holds no released model" in capsys.readouterr().err and not (tmp_path / "model").exists()


def test_a_run_that_is_none_is_one_line(made, tmp_path, capsys):
    assert main(["release", str(tmp_path), "--ratings", str(made / "ratings.csv"), "--out", str(tmp_path / "model")]) == 2
    assert "no configuration of a pretraining" in capsys.readouterr().err and not (tmp_path / "model").exists()


def test_the_folder_of_a_run_is_refused(made, capsys):
    run = made / "runs" / "tiny"
    before = (run / "encoder.safetensors").read_bytes()
    assert main(["release", str(run), "--ratings", str(made / "ratings.csv"), "--out", str(run)]) == 2
    assert "the encoder of this pretraining would be lost; name another folder" in capsys.readouterr().err
    assert (run / "encoder.safetensors").read_bytes() == before


def test_a_table_that_is_none_leaves_the_model_that_was_there(made, capsys):
    before = {p.name: p.read_bytes() for p in (made / "model").iterdir()}
    assert main(words(made, "typo.csv")) == 2
    assert "typo.csv" in capsys.readouterr().err and before == {p.name: p.read_bytes() for p in (made / "model").iterdir()}


@pytest.mark.parametrize("name", ["default", "lite"])
def test_the_card_of_a_shipped_model_is_made_of_its_files(name):
    text = (SHIPPED[name] / "model_card.md").read_text(encoding="utf-8")
    assert text == card(SHIPPED[name]) and text.startswith(f"# Model card: clicv2lite {name}\n")
    assert not re.search(r"\{[a-z]|/tmp|/work|\bnan\b", text)


def test_a_card_says_of_the_ratings_of_others_only_what_was_measured(made, tmp_path):
    text = (made / "model" / "model_card.md").read_text()
    before, _, after = re.split("## (?:Flags|What was rounded)", text)
    assert not re.search(
        r"Savoias|seven|hand-crafted|EfficientNet|chosen among|one CPU thread|Suprematism|(?m:^%)", before + after
    )
    categories = json.loads((made / "model" / "probe.json").read_text())["per_category"]
    assert f"40 ratings of `ratings.csv`, 5-fold cross-validation, mean over its {len(categories)} categories" in text
    assert all(f"| {name} | {found['n']} |" in before for name, found in categories.items())
    assert re.search(r'--ratings "\S+/ratings\.csv" ', after) and "input 32 x 32 px" in before
    shutil.copytree(made / "model", tmp_path / "plain")
    probe = json.loads((tmp_path / "plain" / "probe.json").read_text()) | {"per_category": {}}
    (tmp_path / "plain" / "probe.json").write_text(json.dumps(probe))
    plain = card(tmp_path / "plain")
    assert "categor" not in re.split("## (?:What a score|Use)", plain)[0] and "| head | ridge |" in plain


def test_a_card_reads_options_of_stored_commands_in_both_forms_and_quotes_folders(made, tmp_path):
    shutil.copytree(made / "model", tmp_path / "model")

    def again(trained, probed):
        for name, command in (("config.json", trained), ("probe.json", probed)):
            path = tmp_path / "model" / name
            path.write_text(json.dumps(json.loads(path.read_text()) | {"command": command}))
        return card(tmp_path / "model")

    text = again("clicv2lite pretrain --out 'my run'", "clicv2lite release --ratings=mine/foo.csv")
    assert "clicv2lite release 'my run' " in text and '--ratings "mine/foo.csv"' in text and "ratings of `foo.csv`" in text
    assert "clicv2lite release runs/a " in again("clicv2lite pretrain --out=runs/a", "clicv2lite release --ratings foo.csv")
    assert "clicv2lite release RUN " in again("clicv2lite pretrain", "clicv2lite release --ratings foo.csv")


@pytest.mark.parametrize("name", ["default", "lite"])
def test_a_shipped_model_is_what_its_files_say(name):
    folder = SHIPPED[name]
    recipe, release = load_recipe(name), json.loads((folder / "release.json").read_text())
    assert (recipe.name, recipe.passes) == ("lite", release["pretraining"]["passes"])
    assert release["bytes"] == {p.name: p.stat().st_size for p in sorted(folder.glob("*.safetensors"))}
    assert release["float16"]["largest_difference"] < 0.01
    probe, unseen = json.loads((folder / "probe.json").read_text()), release["same_folds"]["unseen_category"]
    assert np.mean([entry["pcc"] for entry in probe["per_category"].values()]) == pytest.approx(probe["mean_pcc"])
    assert unseen["per_category"].keys() == probe["per_category"].keys() and unseen["mean_pcc"] < probe["mean_pcc"]
    assert not any("/tmp" in p.read_text() for p in folder.glob("*.json"))


def test_a_released_model_is_read_in_another_way_with_its_weights_as_they_are(made, tmp_path, capsys, on_seven):
    run, table = str(made / "runs" / "tiny"), ["--ratings", str(made / "ratings.csv")]
    two, again = tmp_path / "two", tmp_path / "again"
    assert main(["release", run, run, *table, "--out", str(two)]) == 0
    settings = ["pool_read=nearest", "pool_blocks=0,1", "pool_statistics=mean,std"]
    to7 = ["--ratings", str(on_seven(made / "ratings.csv")), "--score-range", "1", "7"]
    assert main(["release", str(two), *to7, "--set", *settings, "--out", str(again)]) == 0
    assert "--score-range 1.0 7.0" in json.loads((again / "probe.json").read_text())["command"]
    assert {p.name for p in again.iterdir()} == {p.name for p in two.iterdir()}
    assert (again / "pretraining.safetensors").read_bytes() == (two / "pretraining.safetensors").read_bytes()
    before, after = load_model(two, "cpu"), load_model(again, "cpu")
    for old, new in zip(before.encoder.parts, after.encoder.parts, strict=True):
        assert new.config.pool.read == "nearest" and new.config.pool.blocks == (0, 1) and old.config.pool.read == "tokens"
        assert all(torch.equal(ours, old.net.state_dict()[name]) for name, ours in new.net.state_dict().items())
    assert [load_recipe(str(again)).pool.read] * 2 == [
        json.loads((again / name).read_text())["recipe"]["pool_read"] for name in ("config.json", "config_2.json")
    ]
    was, now = (json.loads((folder / "release.json").read_text()) for folder in (two, again))
    kept = ("float16", "key", "pretraining", "added")  # what the runs are needed for
    assert {name: now[name] for name in kept} == {name: was[name] for name in kept}
    plain = [one["same_folds"]["pooling_of_the_run"]["mean_pcc"] for one in (was, now)]
    assert plain[0] == pytest.approx(plain[1], abs=0.02)  # of the same encoder, its weights rounded
    assert now["same_folds"]["untrained"] != was["same_folds"]["untrained"]
    assert now["same_folds"]["alone"] != was["same_folds"]["alone"]
    assert now["bytes"]["head.safetensors"] == (again / "head.safetensors").stat().st_size
    text = (again / "model_card.md").read_text()
    assert "how rare it is, with and without the mean token, in the image; their means and deviations, " in text
    assert "float16 moved a score" in text and "with the reading of its first release" in text
    assert text.rstrip().endswith(
        "--set pool_blocks=0,1 pool_statistics=mean,std pool_size=0 pool_read=nearest pool_halvings=0 \\\n"
        "    --out models/again\n```"  # `release` without it writes over the package's model
    )
    (two / "config_2.json").unlink()
    assert main(["release", str(two), *table, "--out", str(tmp_path / "third")]) == 2
    assert capsys.readouterr().err == (
        f"clicv2lite: {two}: config_2.json is not in it; name a whole folder that `release` wrote, or the runs\n"
    )
    assert not (tmp_path / "third" / "encoder.safetensors").exists()


def test_a_released_model_without_heads_is_read_again_and_its_card_says_so(made, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(made / "model", bare)
    (bare / "pretraining.safetensors").unlink()
    release = json.loads((bare / "release.json").read_text())
    del release["key"], release["bytes"]["pretraining.safetensors"]
    (bare / "release.json").write_text(json.dumps(release))
    shutil.copytree(made / "model", tmp_path / "again")  # whose heads are of another encoder
    assert main(["release", str(bare), "--ratings", str(made / "ratings.csv"), "--out", str(tmp_path / "again")]) == 0
    assert not (tmp_path / "again" / "pretraining.safetensors").exists()
    before, after = (load_model(folder, "cpu").score(made / "0.png") for folder in (made / "model", tmp_path / "again"))
    assert after == before
    text = (tmp_path / "again" / "model_card.md").read_text()
    assert "the projection head and the decoder are not stored" in text and "decoder, " not in text.split("## ")[0]


def test_what_a_release_says_of_an_unseen_category_is_a_head_of_the_others(made):
    model, table = load_model(made / "model", "cpu"), read_ratings(str(made / "ratings.csv"))
    found = json.loads((made / "model" / "release.json").read_text())["same_folds"]["unseen_category"]
    kinds = np.array(table.categories)
    features = torch.cat([model.encoder.features(square(path, 32)[None]) for path in table.paths])
    for kind, got in found["per_category"].items():
        mine = kinds == kind
        head = fit_ridge(features[~mine], table.scores[~mine], kinds[~mine])
        assert got["pcc"] == pytest.approx(np.corrcoef(table.scores[mine], head.predict(features[mine]))[0, 1], abs=1e-6)


def test_a_released_model_is_named_alone(made, capsys):
    model, table = str(made / "model"), ["--ratings", str(made / "ratings.csv"), "--out", str(made / "nowhere")]
    for words in (
        [model, str(made / "runs" / "tiny"), *table],
        [model, model, *table],
        [model, *table[:2], "--add", "--out", model],
    ):
        assert main(["release", *words]) == 2
        assert capsys.readouterr().err == (
            f"clicv2lite: {model}: a released model; name it alone and without --add, or the runs that it was made of\n"
        )
    assert not (made / "nowhere").exists()


def test_a_model_is_read_again_in_its_place_whatever_its_folder_is_called(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made / "model", tmp_path / "default")
    mine = load_model(tmp_path / "default", "cpu")
    norms = json.loads((DEFAULT / "norms.json").read_text()) | {"head": fingerprint(mine.head)}
    (tmp_path / "default" / "norms.json").write_text(json.dumps(norms))
    assert load_model(tmp_path / "default", "cpu").norms is not None
    words = ["release", "default", "--ratings", str(made / "ratings.csv"), "--out", "default"]
    assert main([*words, "--set", "pool_blocks=9"]) == 2 and (tmp_path / "default" / "norms.json").exists()
    assert main([*words, "--set", "pool_read=nearest"]) == 0
    read = load_model(tmp_path / "default", "cpu")
    assert read.encoder.config.pool.read == "nearest" and len(read.encoder.parts) == 1, "not the model of the package"
    assert torch.equal(read.encoder.net.state_dict()["pos_embed"], mine.encoder.net.state_dict()["pos_embed"])
    assert read.norms is None and "This model has no norms" in (tmp_path / "default" / "model_card.md").read_text()
