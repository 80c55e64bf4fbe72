import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from clicv2lite.encoder import EncoderConfig, build_vit
from clicv2lite.errors import UserError
from clicv2lite.features import FrozenConfig, FrozenEncoder, PoolConfig
from clicv2lite.probe.head import Model, load_model, read_by, save_model
from clicv2lite.probe.icnet import IcnetHead, IcnetShape
from clicv2lite.probe.ridge import fit_ridge

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
    save_model(tmp_path, model, "random")
    again = load_model(str(tmp_path))
    assert again.head.kind == model.head.kind
    np.testing.assert_allclose(again.scores(IMAGES), model.scores(IMAGES), atol=1e-6)
    np.testing.assert_allclose(again.maps(IMAGES), model.maps(IMAGES), atol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["encoder.safetensors", "head.safetensors"]


def test_a_linear_map_averages_to_the_score():
    model = ridge_model()
    np.testing.assert_allclose(model.maps(IMAGES).mean((1, 2)), model.scores(IMAGES), atol=1e-4)


def test_each_head_reads_what_it_says():
    model = ridge_model()
    assert read_by(model.head, model.encoder, IMAGES).shape == (6, 32)
    assert read_by(IcnetHead, model.encoder, IMAGES).shape == (6, 4, 4, 16)


def test_an_encoder_that_lies_in_the_folder_is_not_written_again(tmp_path):
    model = ridge_model()
    model.encoder.save(tmp_path)
    before = (tmp_path / "encoder.safetensors").stat().st_mtime_ns
    for spec in (tmp_path, tmp_path / "encoder.safetensors"):
        save_model(tmp_path, model, str(spec))
        assert (tmp_path / "encoder.safetensors").stat().st_mtime_ns == before
    save_model(tmp_path, model, "random")
    assert (tmp_path / "encoder.safetensors").stat().st_mtime_ns > before


def test_another_encoder_in_the_folder_is_noticed(tmp_path):
    save_model(tmp_path, ridge_model(), "random")
    tiny_encoder(seed=5).save(tmp_path)
    with pytest.raises(UserError, match="not the encoder this head was fitted on"):
        load_model(str(tmp_path))
    (tmp_path / "encoder.safetensors").unlink()
    with pytest.raises(UserError, match="missing"):
        load_model(str(tmp_path))


def test_missing_models_are_told_how_to_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr("clicv2lite.probe.head.DEFAULT", tmp_path / "none")
    for spec in (str(tmp_path), str(tmp_path / "nowhere"), "default"):
        with pytest.raises(UserError, match=r"probe --encoder E .* --out DIR") as error:
            load_model(spec)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "foreign", "misfit", "unknown kind"])
def test_a_damaged_head_is_one_line(damage, tmp_path):
    save_model(tmp_path, ridge_model(), "random")
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
