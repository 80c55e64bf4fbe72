"""Formulas beside networks in front of one ridge: as a folder of one's own, and as the shipped model plus."""

import csv
import json
import re

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clicv2lite.baselines.measures.sets import PLAIN
from clicv2lite.cli import main
from clicv2lite.data.embedded import photographs
from clicv2lite.data.inputs import square
from clicv2lite.data.worlds import render
from clicv2lite.encoders.config import FrozenConfig, PoolConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.encoders.side_by_side import SideBySide
from clicv2lite.errors import UserError
from clicv2lite.heads.bounds import bounded
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.models.as_timm import timm_arguments
from clicv2lite.models.by_name import DEFAULT, SHIPPED, load_encoder
from clicv2lite.models.hub import ComplexityModel
from clicv2lite.models.model import Model, load_model
from clicv2lite.models.to_onnx import export_onnx

PLUS = SHIPPED["plus"]
NUMBERS = np.linspace(0.1, 0.9, 12)


@pytest.fixture(scope="module")
def images():
    rows = [render(("cells", "glyphs")[i % 2], number, i, 64) for i, number in enumerate(NUMBERS)]
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).contiguous()


def tiny():
    torch.manual_seed(0)
    shape = EncoderConfig(size=64, patch=8, width=16, depth=2, heads=2)
    return FrozenEncoder("tiny", PlainViT(shape), FrozenConfig(shape, PoolConfig((0, 1), ("mean", "std"), 64, "likeness", 1)))


@pytest.fixture(scope="module")
def model(images):
    both = SideBySide("tiny+handcrafted", [tiny(), load_encoder("handcrafted")])
    return Model(both, fit_ridge(both.features(images), NUMBERS))


@pytest.fixture(scope="module")
def plus():
    return load_model("plus", "cpu")


@pytest.fixture(scope="module")
def photos():
    return [photographs()[name] for name in ("coffee", "rocket")]


def test_the_shipped_scores_are_those_of_a_ridge_of_scikit_learn_on_the_features_side_by_side(plus, photos):
    default = load_model("default", "cpu").features(photos)
    small = [Image.fromarray(square(path, 448).permute(1, 2, 0).numpy()).resize((224, 224), 2) for path in photos]
    formulas = [[formula(np.asarray(image)) for formula in PLAIN.values()] for image in small]
    x = np.concatenate([default.astype(np.float64), np.array(formulas)], axis=1)
    ridge = make_pipeline(StandardScaler(), Ridge()).fit(np.vstack([x, x + 1]), np.zeros(4))  # then it gets the head's numbers
    ridge[0].mean_, ridge[0].scale_ = plus.head.mean, plus.head.scale
    ridge[1].coef_, ridge[1].intercept_ = plus.head.weight, plus.head.intercept
    want = bounded(torch.from_numpy(ridge.predict(x))).numpy()
    np.testing.assert_allclose(plus.score(photos), want, atol=1e-6)
    assert np.array_equal(plus.features(photos)[:, :-11], default), "bit for bit those of default"


def test_a_score_does_not_depend_on_the_batch_and_score_batch_and_rate_give_the_same(plus, photos):
    together = plus.score(photos)
    np.testing.assert_allclose([plus.score(path) for path in photos], together, atol=1e-5)
    np.testing.assert_allclose(plus.score_batch({"image": photos})["score"], together, atol=1e-5)
    assert plus.rate(photos[0]).score == pytest.approx(together[0], abs=1e-5)


def test_the_shipped_folder_names_its_encoders_and_holds_no_weights_of_theirs(plus):
    assert [one.named for one in plus.encoder.members] == ["default", "handcrafted"]
    assert sum(path.stat().st_size for path in PLUS.iterdir()) < 200_000
    probe = json.loads((PLUS / "probe.json").read_text(encoding="utf-8"))
    assert probe["encoder"] == "default+handcrafted" and probe["within_categories"]
    assert probe["mean_pcc"] > json.loads((DEFAULT / "probe.json").read_text(encoding="utf-8"))["mean_pcc"]
    assert load_encoder("plus").digest() == load_encoder("default+handcrafted").digest()


def test_maps_split_the_score_and_formulas_add_the_same_to_every_place(model, images):
    maps = model.maps(images)
    np.testing.assert_allclose(maps.mean((1, 2)), model.scores(images), atol=1e-5)
    without = model.head.weight.copy()
    without[-11:] = 0
    network = Model(model.encoder, type(model.head)(**{**vars(model.head), "weight": without})).maps(images)
    difference = maps - network
    np.testing.assert_allclose(difference, np.broadcast_to(difference[:, :1, :1], maps.shape), atol=1e-5)
    assert maps.shape == (12, 8, 8) and np.abs(difference).max() > 1e-3


def test_gradients_export_and_timm_are_one_line_or_the_network(model, tmp_path):
    for ask in (model.as_module, lambda: export_onnx(model, tmp_path / "m.onnx")):
        with pytest.raises(UserError, match=r"handcrafted are formulas, .*; take the model default, or one without them$"):
            ask()
    assert not (tmp_path / "m.onnx").exists()
    assert timm_arguments("plus") == timm_arguments("default")
    with pytest.raises(UserError, match="give default"):
        timm_arguments("handcrafted")


def test_a_folder_holds_the_network_and_names_the_formulas(model, images, tmp_path):
    model.save(tmp_path)
    assert sorted(p.name for p in tmp_path.glob("encoder*")) == ["encoder.safetensors", "encoder_2.safetensors"]
    assert (tmp_path / "encoder_2.safetensors").stat().st_size < 300
    assert np.array_equal(load_model(tmp_path, "cpu").scores(images), model.scores(images))
    ComplexityModel.of(load_model(tmp_path, "cpu")).save_pretrained(tmp_path / "hub")
    assert np.array_equal(ComplexityModel.from_pretrained(str(tmp_path / "hub")).scores(images), model.scores(images))


def test_the_first_network_answers_for_tokens_whatever_comes_first(images):
    turned = SideBySide("handcrafted+tiny", [load_encoder("handcrafted"), tiny()])
    assert torch.equal(turned.tokens(images), tiny().tokens(images)) and turned.size == 64
    assert torch.equal(turned.features(images)[:, 11:], tiny().features(images))
    halved = turned.read_as({"pool_halvings": 0})
    assert torch.equal(halved.features(images)[:, :11], turned.features(images)[:, :11])


def test_default_is_named_beside_others_and_held_whole_alone(tmp_path):
    for folder in ("both", "alone"):
        (tmp_path / folder).mkdir()
    load_encoder("plus").save(tmp_path / "both")
    assert [path.stat().st_size < 300 for path in sorted((tmp_path / "both").iterdir())] == [True, True]
    again = load_encoder(str(tmp_path / "both"))
    assert [one.named for one in again.members] == ["default", "handcrafted"] and again.digest() == load_encoder(
        "plus"
    ).digest()
    load_encoder("default").save(tmp_path / "alone", half=True)
    assert min(path.stat().st_size for path in (tmp_path / "alone").iterdir()) > 1_000_000


def test_formulas_of_a_factory_are_named_too(tmp_path):
    tiny().save(tmp_path / "a")
    both = load_encoder(f"{tmp_path / 'a'}+clicv2lite.baselines.measures.encoder:HandcraftedEncoder")
    assert [one.named for one in both.members] == ["", "handcrafted"]


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"named": "default", "digest": "0" * 64}, "default was another encoder in the clicv2lite that wrote this; run probe"),
        ({"named": "default"}, "default was another encoder"),
        ({"named": "plus", "digest": ""}, "names the encoder plus, which is not known"),
        ({"named": "os:getcwd", "digest": ""}, "names the encoder os:getcwd, which is not known"),
        ({"named": ["default"], "digest": ""}, "which is not known"),
    ],
)
def test_a_file_that_names_another_encoder_is_one_line(tmp_path, about, said):
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(safetensors.torch.save({}, {"clicv2lite": json.dumps(about)}))
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        load_encoder(str(tmp_path))
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_lost_part_is_one_line(model, tmp_path):
    model.save(tmp_path)
    (tmp_path / "encoder_2.safetensors").unlink()
    with pytest.raises(UserError, match="not the encoder this head was fitted on"):
        load_model(tmp_path, "cpu")


def test_probe_keeps_a_model_that_score_loads(images, tmp_path, capsys):
    tiny().save(tmp_path / "tiny")
    rows = ["image,score", *(f"{i}.png,{number:.3f}" for i, number in enumerate(NUMBERS))]
    for i, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f"{i}.png")
    (tmp_path / "r.csv").write_text("\n".join(rows), encoding="utf-8")
    spec, out = f"{tmp_path / 'tiny'}+handcrafted", tmp_path / "m"
    words = ["--ratings", str(tmp_path / "r.csv"), "--folds", "3"]
    assert main(["probe", "--encoder", spec, *words, "--out", str(out)]) == 0
    assert main(["score", "--model", str(out), str(tmp_path / "5.png"), "--csv", str(tmp_path / "s.csv")]) == 0
    (row,) = csv.DictReader((tmp_path / "s.csv").read_text(encoding="utf-8").splitlines())
    features = load_encoder(spec).features(images)
    want = bounded(torch.from_numpy(fit_ridge(features, np.round(NUMBERS, 3)).predict(features[5:6])))
    assert float(row["score"]) == pytest.approx(float(want[0]), abs=1e-5)
    capsys.readouterr()
    for wrong in (["--encoder", "handcrafted", "--head", "icnet"], ["--encoder", "handcrafted", "--set", "pool_size=64"]):
        assert main(["probe", *wrong, *words]) == 2
        assert capsys.readouterr().err.strip().splitlines()[-1].startswith("clicv2lite: ")
