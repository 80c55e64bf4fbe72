import csv
import json
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import clicv2lite
from clicv2lite.cli import main
from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import read_square
from clicv2lite.encoders.config import FrozenConfig, PoolConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.place_shares import shares
from clicv2lite.errors import UserError
from clicv2lite.heads.bounds import bounded
from clicv2lite.heads.icnet import IcnetHead, IcnetShape
from clicv2lite.heads.ridge import RidgeHead, fit_ridge
from clicv2lite.method.encoder import EncoderConfig, build_vit
from clicv2lite.models import model as module
from clicv2lite.models.by_name import DEFAULT, SHIPPED
from clicv2lite.models.model import Model, load_model, read_by
from clicv2lite.models.norms import Norms, Rating, fingerprint

IMAGES = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def tiny_encoder(seed=0):
    torch.manual_seed(seed)
    config = EncoderConfig(size=32, patch=8, width=16, depth=2, heads=2)
    return FrozenEncoder("tiny", build_vit(config), FrozenConfig(config, PoolConfig((-1,))))


def ridge_model():
    encoder = tiny_encoder()
    return Model(encoder, fit_ridge(encoder.features(IMAGES), np.linspace(0.1, 0.9, 6)))


def icnet_model():
    torch.manual_seed(1)
    return Model(tiny_encoder(), IcnetHead(IcnetShape(width=16, grid=4, channels=4)))


@pytest.mark.parametrize("make", [ridge_model, icnet_model])
def test_a_saved_model_is_the_same_model_and_needs_only_its_folder(make, tmp_path):
    model = make()
    model.save(tmp_path)
    again = load_model(str(tmp_path))
    assert again.head.kind == model.head.kind
    np.testing.assert_allclose(again.scores(IMAGES), model.scores(IMAGES), atol=1e-6)
    np.testing.assert_allclose(again.maps(IMAGES), model.maps(IMAGES), atol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["encoder.safetensors", "head.safetensors"]


def test_scores_of_whatever_people_hold_are_those_of_its_squares(tmp_path):
    model = ridge_model()
    pixels = [np.random.default_rng(i).integers(0, 256, (20 + i, 50 - i, 3), dtype=np.uint8) for i in range(40)]
    paths = [tmp_path / f"{i}.png" for i in range(40)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    want = model.ratings(torch.stack([read_square(path, 32) for path in paths]))
    for images in (paths, [str(p) for p in paths], pixels, [Image.fromarray(p) for p in pixels], iter(paths)):
        np.testing.assert_allclose(model.score(images), want, atol=1e-5)
    alone = model.score(paths[7])  # its batch does not matter
    assert isinstance(alone, float) and abs(alone - want[7]) < 1e-5
    assert model.score(paths[:1]).shape == (1,)


def test_scores_are_bounded_and_features_and_maps_belong_to_them():
    encoder = tiny_encoder()
    model = Model(encoder, fit_ridge(encoder.features(IMAGES), np.linspace(-3, 4, 6)))
    assert model.scores(IMAGES).min() < 0 and model.scores(IMAGES).max() > 1
    np.testing.assert_allclose(model.score(IMAGES), bounded(torch.tensor(model.scores(IMAGES))), atol=1e-5)
    assert (model.score(IMAGES).argsort() == model.scores(IMAGES).argsort()).all(), "no two become equal"
    features = model.features(IMAGES)
    assert features.shape == (6, 32) and features.dtype == np.float32 and model.features(IMAGES[0]).shape == (32,)
    np.testing.assert_allclose(model.head.predict(torch.from_numpy(features)), model.scores(IMAGES), atol=1e-4)
    complexity = model.complexity_map(IMAGES[2])
    assert complexity.shape == (4, 4)
    np.testing.assert_allclose(complexity.mean(), model.scores(IMAGES[2:3])[0], atol=1e-4)
    with pytest.raises(UserError, match=r"^complexity_map: a list or batch of 6; give one image, itself"):
        model.complexity_map(IMAGES)


def test_maps_are_made_one_at_a_time_for_their_shares_are_large(monkeypatch):
    model, seen = ridge_model(), []
    monkeypatch.setattr(module, "shares", lambda encoder, images: seen.append(len(images)) or shares(encoder, images))
    np.testing.assert_allclose(model.maps(IMAGES).mean((1, 2)), model.scores(IMAGES), atol=1e-4)
    assert seen == [1] * 6


def test_the_default_model_scores_as_the_command_does(tmp_path):
    model, paths = load_model(), list(photographs().values())
    assert main(["score", *map(str, paths), "--csv", str(tmp_path / "s.csv"), "--batch-size", "3"]) == 0
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    want = [float(row["score"]) for row in rows]
    np.testing.assert_allclose(model.score(paths), want, atol=1e-5)
    assert np.ptp(want) > 0.3
    rated = model.rate(paths)
    assert [float(row["percentile"]) for row in rows] == pytest.approx([rating.percentile for rating in rated], abs=0.1)
    assert [row["flags"] for row in rows] == [" ".join(rating.flags) for rating in rated]
    assert all(0.2 < float(row["uncertainty"]) < 0.4 for row in rows)


def test_the_default_model_keeps_to_its_card():
    result = json.loads((DEFAULT / "probe.json").read_text())
    assert result["evaluation"] == "cross-validation" and len(result["folds"]) == 5 and result["head"] == "ridge"
    assert f"{result['mean_pcc']:.3f}" in (DEFAULT / "model_card.md").read_text()
    assert load_model("default").head.kind == "ridge"


def test_each_head_reads_what_it_says():
    model = ridge_model()
    assert read_by(model.head, model.encoder, IMAGES).shape == (6, 32)
    assert read_by(IcnetHead, model.encoder, IMAGES).shape == (6, 4, 4, 16)


def test_an_encoder_that_lies_in_the_folder_is_not_written_again(tmp_path):
    model = ridge_model()
    model.encoder.save(tmp_path)
    before = (tmp_path / "encoder.safetensors").stat().st_mtime_ns
    model.save(tmp_path)
    assert (tmp_path / "encoder.safetensors").stat().st_mtime_ns == before
    tiny_encoder(seed=5).save(tmp_path)
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(UserError, match=r"^save .*: the encoder of this pretraining would be lost"):
        model.save(tmp_path)
    (tmp_path / "metrics.jsonl").unlink()
    model.save(tmp_path)
    np.testing.assert_allclose(load_model(tmp_path).scores(IMAGES), model.scores(IMAGES), atol=1e-6)


def test_a_model_read_in_another_way_is_saved_as_it_is_read(tmp_path):
    model = ridge_model()
    model.save(tmp_path)
    encoder = load_model(tmp_path).encoder.read_as({"pool_statistics": ("max",)})
    again = Model(encoder, fit_ridge(encoder.features(IMAGES), np.linspace(0.1, 0.9, 6)))
    again.save(tmp_path)
    np.testing.assert_allclose(load_model(tmp_path).scores(IMAGES), again.scores(IMAGES), atol=1e-6)


def test_norms_of_the_head_are_saved_with_it_and_a_file_that_says_more_stays(tmp_path):
    model = load_model()
    model.save(str(tmp_path / "a" / "b"))  # a text, of folders that are not there
    again = load_model(tmp_path / "a" / "b")
    assert again.norms.to_json() == model.norms.to_json() and again.norms.of_kind("art").reference.endswith(": art")
    shutil.copy(DEFAULT / "norms.json", tmp_path / "a" / "b")
    again.save(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "norms.json").read_bytes() == (DEFAULT / "norms.json").read_bytes()
    again.norms = Norms("mine", fingerprint(again.head), np.linspace(0, 1, 3))
    again.save(tmp_path / "a" / "b")
    assert load_model(tmp_path / "a" / "b").norms.to_json() == again.norms.to_json()


def test_a_model_says_what_it_is():
    model = ridge_model()
    assert repr(model) == "Model(encoder='tiny', size=32, head='ridge', norms=None, device='cpu')"
    assert model.device == torch.device("cpu") and "norms='unlabelled images of" in repr(load_model())


def test_the_package_shows_its_names():
    assert {"ComplexityModel", "ComplexityRegressor", "load", "__version__"} <= set(dir(clicv2lite))
    assert clicv2lite.load is load_model and issubclass(clicv2lite.ComplexityModel, Model)


def test_one_bad_image_need_not_fail_the_others(tmp_path, capsys):
    model, bad = ridge_model(), tmp_path / "bad.png"
    bad.write_text("no image")
    images = [IMAGES[0], bad, IMAGES[1], IMAGES[2] / 1.0]
    with pytest.raises(UserError, match=r"bad\.png"):
        model.score(images)
    capsys.readouterr()
    want = model.score(IMAGES[:2])
    np.testing.assert_allclose(model.score(images, errors="nan"), [want[0], np.nan, want[1], np.nan], atol=1e-6)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "bad.png" in lines[0] and lines[1].startswith("clicv2lite: image 3: ")
    assert math.isnan(model.score(bad, errors="nan"))
    found = model.score_batch({"image": images}, errors="nan")["score"]
    np.testing.assert_allclose(found, [want[0], np.nan, want[1], np.nan], atol=1e-6)
    with pytest.raises(UserError, match="errors='skip': give 'raise' or 'nan'"):
        model.score(images, errors="skip")


def test_an_encoder_that_makes_no_numbers_is_said_and_no_score():
    model = ridge_model()
    next(model.encoder.net.parameters()).fill_(math.nan)
    for read in (model.score, model.rate, model.features):
        with pytest.raises(UserError, match=r"^encoder tiny: what it makes of these images is not finite"):
            read(np.zeros((32, 32, 3), np.uint8))


def test_another_encoder_in_the_folder_is_noticed(tmp_path):
    ridge_model().save(tmp_path)
    tiny_encoder(seed=5).save(tmp_path)
    with pytest.raises(UserError, match="not the encoder this head was fitted on"):
        load_model(str(tmp_path))
    (tmp_path / "encoder.safetensors").unlink()
    with pytest.raises(UserError, match="missing"):
        load_model(str(tmp_path))


def test_missing_models_are_told_how_to_be_made(tmp_path, monkeypatch):
    monkeypatch.setitem(SHIPPED, "default", tmp_path / "none")
    for spec in (str(tmp_path), str(tmp_path / "nowhere"), "default"):
        with pytest.raises(UserError, match=r"probe --encoder E .* --out DIR") as error:
            load_model(spec)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"model me/complexity: .*Hub, call clicv2lite\.ComplexityModel\.from_pretrained$"):
        load_model("me/complexity")


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "foreign", "misfit", "unknown kind"])
def test_a_damaged_head_is_one_line(damage, tmp_path):
    ridge_model().save(tmp_path)
    path = tmp_path / "head.safetensors"
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["clicv2lite"])
    tensors = ridge_model().head.tensors()
    match damage:
        case "truncated":
            path.write_bytes(path.read_bytes()[:-9])
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("not a tensor")
        case "foreign":
            save_file(tensors, path)
        case "misfit":
            about["config"]["width"] = 7
            save_file(tensors, path, {"clicv2lite": json.dumps(about)})
        case "unknown kind":
            about["kind"] = "forest"
            save_file(tensors, path, {"clicv2lite": json.dumps(about)})
    with pytest.raises(UserError, match="not a head of clicv2lite") as error:
        load_model(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [
    {"config": {"width": 10**9}}, {"config": {"width": "32"}}, {"config": {}}, {"config": None}, {"config": []}, {"kind": []},
    {"kind": None}, {"encoder": None}, {"encoder": {}}, {"kind": "icnet", "config": {"width": 16, "grid": 10**9}},
    {"kind": "icnet", "config": {"width": 16, "grid": 4, "channels": 10**9}}, {"format": 2}, {"format": None},
    {"kind": "icnet", "config": {"width": 16, "grid": 4, "channels": 2.5}},
    {"kind": "icnet", "config": {"width": 16384, "grid": 1024, "channels": 16384}},
])  # fmt: skip
def test_a_head_that_cannot_be_is_one_line_before_anything_is_made(tmp_path, change):
    ridge_model().save(tmp_path)
    path = tmp_path / "head.safetensors"
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["clicv2lite"])
    save_file(ridge_model().head.tensors(), path, {"clicv2lite": json.dumps(about | change)})
    with pytest.raises(UserError, match="not a head of clicv2lite") as error:
        load_model(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"kind":' * 100_000, '{"kind": ' + "9" * 5000 + "}", "3", "null"], ids=range(5)
)
def test_metadata_of_a_head_that_is_no_object_is_one_line(tmp_path, text):
    ridge_model().save(tmp_path)
    save_file(ridge_model().head.tensors(), tmp_path / "head.safetensors", {"clicv2lite": text})
    with pytest.raises(UserError, match="not a head of clicv2lite"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("name, value", [("weight", math.nan), ("mean", math.inf), ("scale", 0.0), ("intercept", math.nan)])
def test_weights_of_a_head_that_are_no_numbers_are_one_line(tmp_path, name, value):
    ridge_model().save(tmp_path)
    path = tmp_path / "head.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = ridge_model().head.tensors()
    tensors[name].view(-1)[0] = value
    save_file(tensors, path, metadata)
    with pytest.raises(UserError, match="not finite, or a scale not above 0"):
        load_model(str(tmp_path))


def test_a_head_that_reads_more_than_its_encoder_gives_is_one_line(tmp_path):
    model = ridge_model()
    wide = RidgeHead(*(np.ones(40) for _ in range(3)), 0.5, 1.0)
    Model(model.encoder, wide).save(tmp_path)
    with pytest.raises(UserError, match=r"head.safetensors: reads 40 numbers, and its encoder gives 32"):
        load_model(str(tmp_path))


def test_rate_says_what_score_says_and_what_it_means(models, tmp_path):
    model = load_model(models[0])
    photo = np.array(Image.open(next(iter(photographs().values()))).convert("RGB"))
    plain = np.full((200, 900, 3), 9, np.uint8)
    bare = model.rate(photo)
    assert bare == Rating(model.score(photo), None, None, None, ())
    model.norms = Norms("all", fingerprint(model.head), np.linspace(0, 1, 201), {}, np.array([]), np.array([0.2]))
    ratings = model.rate([photo, plain])
    assert [rating.score for rating in ratings] == pytest.approx(model.score([photo, plain]).tolist(), abs=1e-6)
    assert [rating.percentile for rating in ratings] == pytest.approx([100 * rating.score for rating in ratings])
    assert [rating.low for rating in ratings] == [max(0, rating.score - 0.2) for rating in ratings]
    assert [rating.high for rating in ratings] == [min(1, rating.score + 0.2) for rating in ratings]
    assert [rating.flags for rating in ratings] == [(), ("uniform", "narrow")]


def test_norms_of_another_head_in_the_folder_do_not_count(models, tmp_path):
    model = load_model(models[0])
    model.save(tmp_path)
    about = {"reference": "all", "head": fingerprint(model.head), "quantiles": [0, 1], "kinds": {}, "interval": None}
    (tmp_path / "norms.json").write_text(json.dumps(about))
    assert load_model(tmp_path).norms.percentile(0.25) == 25
    (tmp_path / "norms.json").write_text(json.dumps(about | {"head": "0"}))
    assert load_model(tmp_path).norms is None
