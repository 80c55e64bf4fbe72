"""Two encoders in front of one head: everything that reads a model sees both, in order."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.encoders.config import FrozenConfig, PoolConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.place_shares import shares
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.encoders.pooling import pool
from clicv2lite.encoders.side_by_side import SideBySide
from clicv2lite.errors import UserError
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.models.by_name import load_encoder
from clicv2lite.models.hub import ComplexityModel
from clicv2lite.models.model import Model, load_model
from clicv2lite.models.to_onnx import export_onnx


def tiny(seed, embed="linear", patch=8, statistics=("mean", "std"), size=32):
    torch.manual_seed(seed)
    config = EncoderConfig(size=32, patch=patch, width=16, depth=2, heads=2, patch_embed=embed)
    net = PlainViT(config)
    torch.nn.init.normal_(net.pos_embed)
    return FrozenEncoder(f"tiny{seed}", net, FrozenConfig(config, PoolConfig((0, 1), statistics, size, "likeness", 1)))


@pytest.fixture
def one():
    return tiny(0)


@pytest.fixture
def other():
    return tiny(1, "conv-pool")


@pytest.fixture
def both(one, other):
    return SideBySide("both", [one, other])


@pytest.fixture
def images():
    torch.manual_seed(5)
    contrast = torch.rand(12, 1, 1, 1)
    return (contrast * torch.randint(0, 256, (12, 3, 32, 32))).to(torch.uint8)


@pytest.fixture
def model(both, images):
    return Model(both, fit_ridge(both.features(images), np.linspace(0.1, 0.9, 12)))


def test_features_stand_in_order(one, other, both, images):
    expected = torch.cat([one.features(images), other.features(images)], 1)
    assert torch.equal(both.features(images), expected)
    assert both.feature_count == expected.shape[1] == 2 * one.feature_count
    assert torch.equal(both.tokens(images), one.tokens(images)), "tokens are the first one's"


def test_shares_of_the_places_add_up_to_both(both, images):
    torch.testing.assert_close(shares(both, images).mean((1, 2)), both.features(images), atol=1e-5, rtol=1e-5)


def test_maps_are_shares_of_the_score_also_with_patches_of_two_sizes(one, images):
    both = SideBySide("both", [one, tiny(2, patch=16).read_as({"pool_halvings": 0})])
    model = Model(both, fit_ridge(both.features(images), np.linspace(0.1, 0.9, 12)))
    maps = model.maps(images)
    assert maps.shape == (12, 4, 4)
    np.testing.assert_allclose(maps.mean((1, 2)), model.scores(images), atol=1e-6)


def test_a_folder_holds_both_and_gives_the_same_scores(model, images, tmp_path):
    model.save(tmp_path / "m")
    assert sorted(p.name for p in tmp_path.glob("m/encoder*")) == ["encoder.safetensors", "encoder_2.safetensors"]
    again = load_model(tmp_path / "m", "cpu")
    assert isinstance(again.encoder, SideBySide) and again.encoder.digest() == model.encoder.digest()
    assert np.array_equal(again.scores(images), model.scores(images))
    hub = ComplexityModel.of(again)
    hub.save_pretrained(tmp_path / "h")
    assert np.array_equal(ComplexityModel.from_pretrained(str(tmp_path / "h")).scores(images), model.scores(images))


@pytest.mark.parametrize("change", ["missing", "another", "one more"])
def test_a_folder_whose_encoders_are_not_those_of_the_head_is_refused(model, one, tmp_path, change):
    model.save(tmp_path)
    second = tmp_path / "encoder_2.safetensors"
    if change == "missing":
        second.unlink()
    elif change == "another":
        second.write_bytes((tmp_path / "encoder.safetensors").read_bytes())
    else:
        (tmp_path / "encoder_3.safetensors").write_bytes(second.read_bytes())
    with pytest.raises(UserError, match="not the encoder this head was fitted on"):
        load_model(tmp_path, "cpu")


def test_one_encoder_saved_over_two_leaves_one(model, one, images, tmp_path):
    model.save(tmp_path)
    alone = Model(one, fit_ridge(one.features(images), np.linspace(0.1, 0.9, 12)))
    alone.save(tmp_path)
    assert np.array_equal(load_model(tmp_path, "cpu").scores(images), alone.scores(images))


def test_two_saved_over_three_leave_two_and_several_of_several_are_one_row(one, other, both, images, tmp_path):
    three = SideBySide("three", [both, tiny(7)])
    assert len(three.parts) == 3 and three.feature_count == 3 * one.feature_count
    three.save(tmp_path)
    assert torch.equal(load_encoder(str(tmp_path)).features(images), three.features(images))
    both.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["encoder.safetensors", "encoder_2.safetensors"]
    assert torch.equal(load_encoder(str(tmp_path)).features(images), both.features(images))


def test_gradients_reach_the_images_through_both(one, other, both, images):
    weight = torch.zeros(2 * one.feature_count)
    weight[one.feature_count :] = 1  # of the second alone
    pixels = images.float().requires_grad_()
    (both.traced_features(pixels) @ weight).sum().backward()
    alone = images.float().requires_grad_()
    other.traced_features(alone).sum().backward()
    torch.testing.assert_close(pixels.grad, alone.grad)
    assert pixels.grad.abs().max() > 0


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="onnx, onnxscript or onnxruntime is not installed",
)
def test_onnx_holds_both(model, images, tmp_path):
    import onnxruntime

    export_onnx(model, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (got,) = session.run(["score"], {"images": images.numpy()})
    np.testing.assert_allclose(got, model.ratings(images), atol=1e-4)


def test_encoders_that_do_not_fit_together_are_one_line(one):
    with pytest.raises(UserError, match=r"^x: pool_size is 32 of tiny0 and 64 of tiny3; set one for both$"):
        SideBySide("x", [one, tiny(3, size=64)])


def test_each_is_pooled_by_its_own_statistics(one, images):
    other = tiny(3, statistics=("mean",))
    both = SideBySide("x", [one, other])
    assert torch.equal(both.features(images), torch.cat([one.features(images), other.features(images)], 1))
    torch.testing.assert_close(shares(both, images).mean((1, 2)), both.features(images), atol=1e-5, rtol=1e-5)


def test_features_are_bit_for_bit_the_maps_of_all_pooled_in_order(both, images):
    each = [channel.flatten(1, 2) for channel in both.channels(images)]
    assert torch.equal(both.features(images), torch.cat([pool(part, name) for part in each for name in ("mean", "std")], 1))


def test_the_commands_take_two_with_a_plus(one, other, images, tmp_path, capsys):
    one.save(tmp_path / "a")
    other.save(tmp_path / "b")
    rows = ["image,score"]
    for number, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{number / 12:.3f}")
    (tmp_path / "r.csv").write_text("\n".join(rows), encoding="utf-8")
    spec, out = f"{tmp_path / 'a'}+{tmp_path / 'b'}", tmp_path / "m"
    words = ["probe", "--encoder", spec, "--ratings", str(tmp_path / "r.csv"), "--folds", "3"]
    assert main([*words, "--out", str(out)]) == 0
    assert json.loads((out / "probe.json").read_text())["encoder"] == spec
    expected = fit_ridge(load_encoder(spec).features(images), np.array([float(f"{i / 12:.3f}") for i in range(12)]))
    np.testing.assert_allclose(load_model(out, "cpu").scores(images), expected.predict(load_encoder(spec).features(images)))
    capsys.readouterr()
    assert main([*words, "--head", "icnet"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_with_a_plus_in_its_name_is_that_file(one, tmp_path):
    one.save(tmp_path / "a+b")
    assert type(load_encoder(str(tmp_path / "a+b"))) is FrozenEncoder
