"""An encoder by its name: random, default, files good and bad, timm's ViTs."""

import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from clicv2lite.encoders.config import PoolConfig
from clicv2lite.errors import UserError
from clicv2lite.method.backbone import about, arguments
from clicv2lite.models import by_name as loading
from clicv2lite.models.by_name import SHIPPED, load_encoder, random_encoder
from clicv2lite.models.model import load_model
from clicv2lite.pretrain.export import load_recipe
from tests.encoders.test_frozen import SHAPE, frozen, pictures


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Float32 on every machine, as on one without fast bfloat16."""
    monkeypatch.setattr("clicv2lite.device.has_fast_bfloat16", lambda device: False)


def test_the_random_encoder_is_a_function_of_its_seed_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (load_encoder("random", seed) for seed in (1, 1, 2))
    assert torch.rand(3).equal(want)
    images = pictures(1, one.size)
    assert one.features(images).equal(same.features(images)) and not one.features(images).equal(other.features(images))
    assert one.name == "random" and one.size == random_encoder(0).size


def test_encoders_side_by_side_have_the_seed_too():
    first, second = (load_encoder("random+random", seed) for seed in (1, 2))
    images = pictures(1, first.size)
    features, alone = first.features(images), load_encoder("random", 1).features(images)
    np.testing.assert_allclose(features, torch.cat([alone, alone], dim=1), atol=1e-5)
    assert not features.equal(second.features(images))


@pytest.mark.parametrize(("name", "patch_embed"), [("default", "conv-pool"), ("lite", "linear")])
def test_an_encoder_of_the_package_is_trained_and_has_the_shape_of_its_recipe(name, patch_embed):
    encoder, untrained = load_encoder(name), random_encoder(0)
    assert encoder.name == name and encoder.config.encoder == replace(untrained.config.encoder, patch_embed=patch_embed)
    assert not encoder.vit.blocks[0].attn.qkv.weight.equal(untrained.vit.blocks[0].attn.qkv.weight)
    assert sum(p.stat().st_size for p in SHIPPED[name].iterdir()) < 6_000_000


STORED = {"encoder": vars(SHAPE), "pool": vars(PoolConfig())}


def test_a_folder_that_is_called_as_a_model_of_the_package_is_named_by_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SHIPPED["lite"], tmp_path / "default")
    for spec in (Path("default"), "./default"):
        for found in (load_encoder(spec), load_model(spec, "cpu").encoder):  # a model's encoder is the one beside its head
            assert found.config.encoder.patch_embed == "linear"
        assert load_recipe(spec).encoder.patch_embed == "linear"
    assert load_encoder("default").config.encoder.patch_embed == load_recipe("default").encoder.patch_embed == "conv-pool"


def one_line_of(spec):
    with pytest.raises(UserError) as caught:
        load_encoder(str(spec))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_encoder_is_named_in_one_line(tmp_path):
    assert "check the spelling" in one_line_of("vit_of_no_shape_at_all")
    assert "not a readable safetensors file" in one_line_of(tmp_path / "absent.safetensors")
    assert "no encoder.safetensors in this folder" in one_line_of(tmp_path)
    (tmp_path / "text.txt").write_text("hello")
    assert "not a readable safetensors file" in one_line_of(tmp_path / "text.txt")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_named_in_one_line(tmp_path, keep):
    frozen().save(tmp_path)
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert str(path) in one_line_of(path)


class Bomb:
    """An object whose unpickling would leave a trace."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_is_refused_and_never_executed(tmp_path):
    (tmp_path / "encoder.safetensors").write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    assert "not a readable safetensors file" in one_line_of(tmp_path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"clicv2lite": "not json"},
        {"clicv2lite": "[]"},
        {"clicv2lite": '{"encoder": {}}'},
        {"clicv2lite": '{"encoder": 3}'},
    ],
)
def test_weights_of_somebody_else_are_named_in_one_line(tmp_path, metadata):
    safetensors.torch.save_file({"x": torch.zeros(2)}, tmp_path / "encoder.safetensors", metadata)
    assert "not an encoder written by clicv2lite" in one_line_of(tmp_path)


@pytest.mark.parametrize("change", [{"width": 16}, {"depth": 2}, {"heads": 0}, {"patch": 0}, {"size": 25}, {"colour": 3}])
def test_weights_that_do_not_fit_their_configuration_are_named_in_one_line(tmp_path, change):
    encoder = frozen()
    encoder.save(tmp_path)
    stored = {"encoder": {**vars(SHAPE), **change}, "pool": vars(PoolConfig())}
    metadata = {"clicv2lite": json.dumps(stored)}
    safetensors.torch.save_file(encoder.vit.state_dict(), tmp_path / "encoder.safetensors", metadata)
    assert "not an encoder written by clicv2lite" in one_line_of(tmp_path)


def timm_vit(**changes):
    """A tiny ViT as `timm.create_model` returns one, with a normalisation of its own."""
    torch.manual_seed(0)
    shape = {"img_size": 24, "patch_size": 6, "embed_dim": 8, "depth": 2, "num_heads": 2, "num_classes": 0}
    vit = VisionTransformer(**(shape | changes))
    vit.pretrained_cfg = {"mean": (0.5, 0.5, 0.4), "std": (0.5, 0.5, 0.3)}
    return vit


def pretend(monkeypatch, make):
    """Let timm make this in place of a network with pretrained weights; what it knows of the name stays true."""
    about("vit_tiny_patch16_224")
    monkeypatch.setattr(timm, "create_model", make)


@pytest.mark.parametrize("bias", [True, False])
def test_a_timm_vit_is_an_encoder_too_and_sees_what_it_was_trained_on(monkeypatch, bias):
    vit = timm_vit()
    if not bias:
        vit.patch_embed.proj.bias = None
    images = pictures(2, 24)
    own = (images / 255 - torch.tensor([0.5, 0.5, 0.4])[:, None, None]) / torch.tensor([0.5, 0.5, 0.3])[:, None, None]
    with torch.no_grad():
        want = vit.forward_features(own)[:, 1:]
    pretend(monkeypatch, lambda *_, **__: vit)
    encoder = load_encoder("vit_tiny_patch16_224")
    assert (encoder.name, encoder.size, encoder.width) == ("vit_tiny_patch16_224", 24, 8)
    np.testing.assert_allclose(encoder.tokens(images).flatten(1, 2), want, atol=1e-5)
    assert encoder.features(images).shape == (2, 16)


def test_a_timm_vit_is_stored_if_it_is_a_plain_one_and_refused_if_not(monkeypatch, tmp_path):
    pretend(monkeypatch, lambda *_, **__: timm_vit())
    encoder = load_encoder("vit_tiny_patch16_224")
    encoder.check_storable("--out")
    encoder.save(tmp_path)
    again, images = load_encoder(str(tmp_path)), pictures(2, 24)
    np.testing.assert_allclose(again.features(images), encoder.features(images), atol=1e-5)
    for more in ({"init_values": 0.1}, {"reg_tokens": 2}, {"qkv_bias": False}, {"mlp_ratio": 2.0}):
        monkeypatch.setattr(timm, "create_model", lambda *_, _more=more, **__: timm_vit(**_more))
        with pytest.raises(UserError, match="--out: vit_tiny_patch16_224 is not a plain ViT and cannot be stored"):
            load_encoder("vit_tiny_patch16_224").check_storable("--out")


def test_a_timm_model_that_cannot_be_used_is_named_in_one_line(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host\nmore lines")

    assert "nobody has published weights of it; write untrained:swin-lite" in one_line_of("swin-lite")
    assert "check the spelling" in one_line_of("untrained:hf-hub:a/b") and "check the spelling" in one_line_of("timm:no@file")
    for name, size, stride in (("levit_128s", 224, 64), ("crossvit_9_240", 240, 17)):
        assert f"{name}: it takes {size} px only, no multiple of its stride {stride}" in one_line_of(f"untrained:{name}")
    pretend(monkeypatch, offline)
    assert "could not load its pretrained weights (no route to host)" in one_line_of("vit_tiny_patch16_224")


def test_random_weights_are_named_untrained_and_nothing_is_fetched(monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was made"))
    one, same, other = (load_encoder("untrained:test_resnet", seed) for seed in (1, 1, 2))
    images = pictures(1, one.size)
    assert one.name == "untrained:test_resnet" and one.features(images).equal(same.features(images))
    assert not one.features(images).equal(other.features(images))
    assert load_encoder("untrained:test_vit").width == 64  # read by its tokens
    for name, width in (("vit_tiny_r_s16_p8_224", 192), ("vit_small_patch16_18x2_224", 384)):  # by their feature maps
        assert load_encoder(f"untrained:{name}").features(pictures(1, 224)).shape == (1, 2 * width)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("name, size", [("test_resnet", 160), ("swin-lite", 224), ("test_vit", 160)])
def test_a_checkpoint_of_timm_is_read_from_its_file(tmp_path, name, size, suffix, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was made"))
    torch.manual_seed(3)
    net = timm.create_model(**{**arguments(name, size), "num_classes": 7}).eval()
    path = tmp_path / f"of+mine.{suffix}"
    (safetensors.torch.save_file if suffix == "safetensors" else torch.save)(net.state_dict(), path)
    encoder, images = load_encoder(f"timm:{name}@{path}"), pictures(1, size)
    assert encoder.name == f"timm:{name}@{path}" and encoder.size == size
    if name == "test_vit":
        mean, std = (torch.tensor(net.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
        with torch.no_grad():
            want = net.forward_features((images / 255 - mean) / std)[:, net.num_prefix_tokens :]
        np.testing.assert_allclose(encoder.tokens(images).flatten(1, 2), want, atol=1e-4)
        return
    what = about(encoder.config.encoder.backbone)
    own = (images / 255 - torch.tensor(what.mean)[:, None, None]) / torch.tensor(what.std)[:, None, None]
    with torch.no_grad():
        want = net.forward_intermediates(own, output_fmt="NCHW", intermediates_only=True)[-1]
    np.testing.assert_allclose(encoder.tokens(images), want.permute(0, 2, 3, 1), atol=1e-4)
    assert name == "swin-lite" or what.mean == tuple(net.pretrained_cfg["mean"])


def test_a_file_that_is_no_checkpoint_of_the_network_is_one_line(tmp_path):
    assert "there is no such file" in one_line_of(f"timm:test_resnet@{tmp_path / 'absent.pth'}")
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    assert "no weights of test_resnet" in one_line_of(f"timm:test_resnet@{tmp_path / 'other.pth'}")
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    assert "no weights of test_resnet" in one_line_of(f"timm:test_resnet@{tmp_path / 'bomb.pth'}")
    assert not (tmp_path / "executed").exists()


HOSTILE = [
    {"encoder": {"depth": 10**9}}, {"encoder": {"depth": 256.0}}, {"encoder": {"size": 10**9}}, {"encoder": {"width": 10**9}},
    {"encoder": {"width": "8"}}, {"encoder": {"project": 10**12}}, {"encoder": {"class_token": 3}}, {"encoder": {"heads": -1}},
    {"pool": {"blocks": [99]}}, {"pool": {"blocks": [0] * 5}}, {"pool": {"blocks": "all"}}, {"pool": {"blocks": []}},
    {"pool": {"statistics": ["mean", "mean"]}}, {"pool": {"statistics": ["evil"]}}, {"pool": {"read": "evil"}},
    {"pool": {"size": 10**9}}, {"pool": {"size": 25}}, {"pool": {"halvings": 10**9}}, {"pool": {"halvings": -1}},
    {"pool": {"size": None}}, {"pool": {"more": 1}}, {"encoder": {"size": 8192, "patch": 1}},
    {"encoder": {"depth": float("inf")}},
]  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE, ids=str)
def test_a_configuration_that_cannot_be_is_refused_before_a_layer_is_made(tmp_path, change, monkeypatch):
    frozen().save(tmp_path)
    stored = {part: {**values, **change.get(part, {})} for part, values in STORED.items()}
    safetensors.torch.save_file({"x": torch.zeros(2)}, tmp_path / "encoder.safetensors", {"clicv2lite": json.dumps(stored)})
    monkeypatch.setattr(loading, "PlainViT", lambda config: pytest.fail("a network was made"))
    line = one_line_of(tmp_path)
    assert "not an encoder written by clicv2lite (" in line and len(line) < 300 + len(str(tmp_path))


@pytest.mark.parametrize(
    "metadata",
    ["{" + '"encoder":{' * 100_000, '{"encoder": ' + "9" * 5000 + "}", '{"encoder": null, "pool": {}}'],
    ids=range(3),
)
def test_metadata_that_is_no_configuration_is_one_line(tmp_path, metadata):
    safetensors.torch.save_file({"x": torch.zeros(2)}, tmp_path / "encoder.safetensors", {"clicv2lite": metadata})
    assert "not an encoder written by clicv2lite (" in one_line_of(tmp_path)


@pytest.mark.parametrize("length", [2**31, 2**62, 100_000_001])
def test_a_header_that_claims_gigabytes_is_one_line(tmp_path, length):
    (tmp_path / "encoder.safetensors").write_bytes(length.to_bytes(8, "little") + b"{}")
    assert "not a readable safetensors file" in one_line_of(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "not a file" in one_line_of(tmp_path / "pipe.safetensors")


def test_a_deep_network_that_is_not_in_the_file_costs_no_memory(tmp_path):
    stored = {"encoder": {**vars(SHAPE), "width": 16384, "depth": 256, "heads": 4}, "pool": vars(PoolConfig())}
    safetensors.torch.save_file({"x": torch.zeros(2)}, tmp_path / "encoder.safetensors", {"clicv2lite": json.dumps(stored)})
    assert "not an encoder written by clicv2lite (" in one_line_of(tmp_path)  # 825 billion weights, were they drawn
