"""Accuracy against scikit-learn's; features that survive a kill and do not depend on ranks; one-line errors."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clicv2lite.cli import main
from clicv2lite.distributed import Ranks
from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import untrained_encoder
from clicv2lite.errors import UserError
from clicv2lite.heads.classifier import LinearClassifier
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.models.by_name import load_encoder
from clicv2lite.probe import class_folders as class_folders_module
from clicv2lite.probe import feature_shards, imagenet
from clicv2lite.probe.class_folders import class_folders
from clicv2lite.probe.feature_shards import FeatureShards
from clicv2lite.probe.imagenet import ImagenetProbe, measure_imagenet

SCRIPT = Path(__file__).parent / "small_shards.py"
TEN = [f"n{i:02d}" for i in range(10)]


def picture(kind, rng, blur):
    """A texture of one of ten colours and stripe widths, in noise."""
    stripes = np.sin(np.arange(48) * (kind + 1) / 4 + rng.uniform(0, 6))[None, :, None]
    colour = np.array([kind % 2, kind // 2 % 3 / 2, kind / 9]) * 160 + 40
    return (colour + 30 * stripes + rng.normal(0, blur, (40, 48, 3))).clip(0, 255).astype(np.uint8)


def make(folder, blur, train=24, val=8):
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("val", val)):
        for kind, name in enumerate(TEN):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(picture(kind, rng, blur)).save(folder / part / name / f"{name}_{i}.JPEG")
    return folder


def tiny(seed):
    config = EncoderConfig(size=32, patch=8, width=16, depth=1, heads=2)
    return untrained_encoder("tiny", FrozenConfig(config), seed)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten classes that lie apart, ten that overlap, and an encoder that never learned anything."""
    here = tmp_path_factory.mktemp("imagenet")
    make(here / "apart", 10)
    make(here / "overlap", 150)
    for seed, name in enumerate(("encoder", "other")):
        tiny(seed).save(here / name)
    return here


def words(data, images, *more):
    return ["probe", "--encoder", str(data / "encoder"), "--imagenet", str(images), *map(str, more)]


def kept(out):
    """The files of features, name -> bytes."""
    return {path.name: path.read_bytes() for path in (out / "features").glob("*/*.npy")}


def by_scikit_learn(out, images):
    """Accuracy of a weakly penalised logistic regression on the same features."""
    (folder,) = (out / "features").iterdir()
    x, x_val = (np.load(folder / f"{part}-00000.npy").astype(float) for part in ("train", "val"))
    y, y_val = (np.repeat(TEN, len(rows) // 10) for rows in (x, x_val))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1, max_iter=3000)).fit(x, y)
    return (model.predict(x_val) == y_val).mean()


@pytest.mark.parametrize(("images", "off", "least"), [("apart", 0, 1), ("overlap", 0.05, 0.5)])
def test_the_accuracy_is_that_of_logistic_regression_on_the_same_features(data, tmp_path, capsys, images, off, least):
    assert main(words(data, data / images, "--out", tmp_path, "--json", tmp_path / "new" / "r.json")) == 0
    got = json.loads((tmp_path / "new" / "r.json").read_text())
    assert got == json.loads((tmp_path / "imagenet.json").read_text())
    wanted = by_scikit_learn(tmp_path, data / images)
    assert wanted >= least and abs(got["top1"] - wanted) <= off
    assert got["top1_ci"][0] <= got["top1"] <= got["top1_ci"][1] and got["top1"] <= got["top5"] <= 1
    assert (got["n"], got["n_train"], got["classes"], got["skipped"]) == (80, 240, 10, [])
    assert {"command", "commit", "hardware", "seconds", "seed", "encoder", "imagenet", "rates"} <= got.keys()
    parts = got["per_class"]
    assert list(parts) == TEN and all((one["n_train"], one["n"]) == (24, 8) for one in parts.values())
    assert np.mean([one["top1"] for one in parts.values()]) == pytest.approx(got["top1"])
    assert np.mean([one["top5"] for one in parts.values()]) == pytest.approx(got["top5"])
    assert got["rates"][f"{got['rate']:g}"] == max(got["rates"].values())
    assert f"top-1  {100 * got['top1']:5.1f} %" in capsys.readouterr().out


def test_a_given_rate_is_not_searched_for(data, tmp_path):
    assert main(words(data, data / "apart", "--out", tmp_path, "--lr", 1, "--epochs", 3, "--imagenet-batch", 50)) == 0
    got = json.loads((tmp_path / "imagenet.json").read_text())
    assert (got["rate"], got["rates"], got["epochs"], got["batch"]) == (1, None, 3, 50)


def test_features_are_made_once_an_encoder_and_a_way_to_read_it(data, tmp_path, monkeypatch):
    common = [data / "apart", "--out", tmp_path, "--lr", 1, "--epochs", 1]
    assert main(words(data, *common)) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "features").glob("*/*.npy")}
    assert main(words(data, *common)) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "features").glob("*/*.npy")}
    assert main(words(data, *common, "--set", "pool_statistics=mean")) == 0
    assert len(list((tmp_path / "features").iterdir())) == 2
    assert main(words(data, *common, "--encoder", data / "other")) == 0
    assert len(list((tmp_path / "features").iterdir())) == 3


def test_features_are_not_those_of_other_images_of_the_same_names(tmp_path):
    one, other = make(tmp_path / "one", 10, 2, 1), make(tmp_path / "other", 150, 2, 1)
    copied = shutil.copytree(one, tmp_path / "copied")
    listing = class_folders(one).listing()
    assert listing == class_folders(copied).listing() != class_folders(other).listing()
    (copied / "val" / "n00" / "n00_0.JPEG").unlink()
    (copied / "val" / "n00" / "n00_0.JPEG").symlink_to("nowhere")  # it is passed over where it is read
    assert class_folders(copied).listing() != listing


def test_without_out_features_are_kept_in_the_cache(data, tmp_path, monkeypatch):
    monkeypatch.setenv("CLICV2LITE_CACHE", str(tmp_path))
    assert main(words(data, data / "apart", "--lr", 1, "--epochs", 1)) == 0
    assert sorted(kept(tmp_path)) == ["train-00000.npy", "val-00000.npy"]


def quick(data, out):
    return words(data, data / "apart", "--out", out, "--lr", 1, "--epochs", 2)


def start(launcher, data, out, **environment):
    known = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment}
    command = [sys.executable, *launcher, str(SCRIPT), *quick(data, out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=known)


def outcome(out):
    got = json.loads((out / "imagenet.json").read_text())
    return {key: got[key] for key in ("top1", "top5", "per_class", "n", "n_train", "skipped")}


@pytest.fixture
def small(monkeypatch):
    """Shards of 16 images, as in the script."""
    monkeypatch.setattr(feature_shards, "ROWS", 16)


def test_a_killed_run_goes_on_with_the_shards_that_are_missing(data, tmp_path, small):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(quick(data, whole)) == 0 and len(kept(whole)) == 15 + 5
    assert start([], data, killed, DIE_AT="train-00007.npy").returncode == -9
    assert sorted(kept(killed)) == [f"train-{k:05d}.npy" for k in range(7)]
    before = {path: path.stat().st_mtime_ns for path in (killed / "features").glob("*/*.npy")}
    assert main(quick(data, killed)) == 0
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert kept(killed) == kept(whole) and outcome(killed) == outcome(whole)


def test_two_ranks_have_the_features_and_the_accuracy_of_one(data, tmp_path, small):
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(quick(data, one)) == 0
    done = start(["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"], data, two)
    assert done.returncode == 0, done.stderr
    assert kept(two) == kept(one) and outcome(two) == outcome(one)
    assert json.loads((two / "imagenet.json").read_text())["ranks"] == 2 and done.stdout.count("top-1") == 1


def test_a_damaged_shard_is_made_again(data, tmp_path):
    common = words(data, data / "apart", "--out", tmp_path, "--lr", 1, "--epochs", 1)
    assert main(common) == 0
    before = kept(tmp_path)
    (shard,) = (tmp_path / "features").glob("*/val-00000.npy")
    shard.write_bytes(before["val-00000.npy"][:300])
    assert main(common) == 0
    assert kept(tmp_path) == before


def test_unreadable_images_are_named_counted_and_left_out_also_when_their_shard_is_there(data, tmp_path, capsys):
    make(tmp_path / "some", 10, train=3, val=2)
    bad = [tmp_path / "some" / "train" / "n03" / "broken.JPEG", tmp_path / "some" / "val" / "n00" / "empty.png"]
    bad[0].write_bytes(b"no image")
    bad[1].touch()
    for _ in range(2):
        assert main(words(data, tmp_path / "some", "--out", tmp_path, "--lr", 1)) == 0
        got = json.loads((tmp_path / "imagenet.json").read_text())
        assert got["skipped"] == [str(path) for path in bad] and (got["n"], got["n_train"]) == (20, 30)
        assert "2 images could not be read, " in capsys.readouterr().err


def test_an_image_that_was_repaired_is_encoded_by_the_next_run(data, tmp_path, monkeypatch):
    monkeypatch.setattr(class_folders_module, "ASKED", 1)  # as of a million images: this one's size is not asked for
    some = make(tmp_path / "some", 10, train=3, val=2)
    path = some / "val" / "n00" / "n00_1.JPEG"
    whole = path.read_bytes()
    path.write_bytes(b"no image")
    common = words(data, some, "--out", tmp_path, "--lr", 1, "--epochs", 1)
    for content, skipped in ((b"no image", [str(path)]), (whole, [])):
        path.write_bytes(content)
        assert main(common) == 0 and json.loads((tmp_path / "imagenet.json").read_text())["skipped"] == skipped
    assert main([*common, "--out", str(tmp_path / "anew")]) == 0 and kept(tmp_path) == kept(tmp_path / "anew")


def test_names_that_are_not_utf8_or_have_two_lines_are_reported(data, tmp_path, capsys):
    root = make(tmp_path / "some", 10, train=3, val=2)
    odd = os.fsencode(root) + b"/%s/odd\xff\nname"
    for part in (b"train", b"val"):
        os.mkdir(odd % part)
        Path(os.fsdecode(odd % part), "broken.png").touch()
    assert main(words(data, root, "--out", tmp_path, "--lr", 1)) == 0
    got = json.loads((tmp_path / "imagenet.json").read_text())
    assert got["per_class"]["odd\\udcff\nname"] == {"n_train": 0, "n": 0, "top1": None, "top5": None}
    assert len(got["skipped"]) == 2 and "odd\\udcff\\nname" in capsys.readouterr().err.splitlines()[-1]


def test_labels_are_those_of_imagefolder(data, tmp_path):
    folder = pytest.importorskip("torchvision.datasets").ImageFolder(data / "apart" / "train")
    found = class_folders(data / "apart")
    assert list(found.classes) == folder.classes
    got = {str(path): int(label) for path, label in zip(found.train.paths(slice(None)), found.train.labels, strict=True)}
    assert got == dict(folder.samples)


def test_a_class_without_images_in_val_has_no_accuracy(data, tmp_path):
    make(tmp_path / "some", 10, train=2, val=1)
    for path in (tmp_path / "some" / "val" / "n09").iterdir():
        path.unlink()
    (tmp_path / "some" / "val" / "n09").rmdir()
    encoder = ["--encoder", str(data / "encoder")]
    assert main(["probe", *encoder, "--imagenet", str(tmp_path / "some"), "--out", str(tmp_path), "--lr", "1"]) == 0
    got = json.loads((tmp_path / "imagenet.json").read_text())
    assert got["per_class"]["n09"] == {"n_train": 2, "n": 0, "top1": None, "top5": None} and got["n"] == 9


def broken(data, tmp_path, fault):
    """A small folder of images with one fault."""
    root = make(tmp_path / "images", 10, train=1, val=1)
    match fault:
        case "no val":
            (root / "val").rename(root / "validation")
        case "flat val":
            for path in list((root / "val").glob("*/*")):
                path.rename(root / "val" / path.name)
                if path.parent.exists():
                    path.parent.rmdir()
        case "unknown class":
            (root / "train" / "n04").rename(root / "train" / "n99")
        case "empty class":
            (root / "train" / "n10").mkdir()
        case "one class":
            for name in TEN[1:]:
                for part in ("train", "val"):
                    (root / part / name / f"{name}_0.JPEG").unlink()
                    (root / part / name).rmdir()
        case "nothing readable":
            for path in root.glob("val/*/*"):
                path.write_bytes(b"no image")
    return root


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no val", "there is no folder val in it; give the folder of train/CLASS/ and val/CLASS/"),
        ("flat val", "the 10 images of val lie flat; move each into the folder of its class, val/CLASS/, as the ground truth"),
        ("unknown class", "1 classes of val are not in train (n04)"),
        ("empty class", "n10: a class without images"),
        ("one class", "train has one class, n00"),
        ("nothing readable", "too few readable images"),
    ],
)
def test_folders_that_cannot_be_used_are_one_line(data, tmp_path, capsys, fault, said):
    assert main(words(data, broken(data, tmp_path, fault), "--out", tmp_path / "out", "--lr", 1)) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "skipped" not in line and "features are" not in line]
    assert len(error) == 1 and error[0].startswith("clicv2lite: ") and said in error[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--ratings", "r.csv"], "not allowed with argument"),
        (["--test", "t.csv"], "--test: an option of --ratings; leave it out with --imagenet"),
        (["--folds", "3"], "--folds: an option of --ratings"),
        (["--head", "icnet"], "--head icnet: an option of --ratings"),
        (["--channels", "4"], "--channels: an option of --ratings"),
        (["--within-categories"], "--within-categories: an option of --ratings"),
        (["--score-range", "0", "1"], "--score-range: an option of --ratings"),
        (["--imagenet-batch", "0"], "--imagenet-batch 0: give 1 or more"),
        (["--epochs", "0"], "--epochs 0"),
        (["--lr", "0"], "--lr 0"),
        (["--lr", "nan"], "--lr nan"),
        (["--seed", "-1"], "--seed -1"),
        (["--json", "."], "is a folder"),
        (["--encoder", "nothing-there"], "nothing-there"),
        (["--set", "pool_blocks=9"], "--set pool_blocks: with depth=1"),
    ],
)
def test_options_that_cannot_be_used_are_one_line(data, capsys, more, said):
    assert main(words(data, data / "apart", *more)) == 2
    error = capsys.readouterr().err
    assert error.startswith("clicv2lite: ") and error.count("\n") == 1 and said in error


def test_one_of_ratings_and_imagenet_is_needed(data, capsys):
    assert main(["probe", "--encoder", str(data / "encoder")]) == 2
    error = capsys.readouterr().err
    assert "one of the arguments --ratings --imagenet is required" in error and error.count("\n") == 1
    assert main(["probe", "--encoder", "random", "--ratings", "r.csv", "--imagenet-batch", "9"]) == 2
    assert "--imagenet-batch 9: an option of --imagenet" in capsys.readouterr().err


def test_features_that_are_not_finite_are_refused_and_not_kept(data, tmp_path):
    encoder = tiny(0)
    encoder.features = lambda images: torch.full((len(images), 4), 1e9)  # infinite as float16
    with pytest.raises(UserError, match=f"^encoder {encoder.name}: .* is not finite as float16"):
        FeatureShards(tmp_path, "val", class_folders(data / "apart").val).encode(encoder, 8, Ranks())
    assert not list(tmp_path.iterdir())


def test_the_function_is_the_command(data, tmp_path):
    assert main(words(data, data / "overlap", "--out", tmp_path)) == 0
    got = measure_imagenet(load_encoder(str(data / "encoder")), class_folders(data / "overlap"), tmp_path, ImagenetProbe())
    assert got["top1"] == json.loads((tmp_path / "imagenet.json").read_text())["top1"]


def test_top_1_its_interval_and_top_5_are_those_of_the_logits_and_of_wilsons_formula(data, tmp_path, monkeypatch):
    guess = LinearClassifier(torch.randn(10, 32, generator=torch.Generator().manual_seed(0)), torch.zeros(10))  # often wrong
    monkeypatch.setattr(imagenet, "fit_classifiers", lambda *given: [guess])
    got = measure_imagenet(tiny(0), class_folders(data / "overlap"), tmp_path, ImagenetProbe(rate=1.0))
    (shard,) = (tmp_path / "features").glob("*/val-00000.npy")
    logits = np.load(shard).astype(float) @ guess.weight.numpy().T
    right = np.argsort(-logits, axis=1) == np.repeat(range(10), 8)[:, None]
    assert got["top1"] == right[:, 0].mean() < got["top5"] == right[:, :5].any(1).mean()
    p, n, z = got["top1"], 80, 1.959964
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    assert got["top1_ci"] == pytest.approx([(middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)], abs=1e-6)
