import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch

from clicv2lite.cli import main
from clicv2lite.encoders.config import FrozenConfig, PoolConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.errors import UserError
from clicv2lite.heads.icnet import IcnetHead, IcnetShape
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.models import to_onnx
from clicv2lite.models.by_name import load_encoder
from clicv2lite.models.model import Model, load_model
from clicv2lite.models.to_onnx import export_onnx

PACKAGES = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="onnx, onnxscript or onnxruntime is not installed",
)


@pytest.fixture(scope="module", params=[("tokens", "linear"), ("likeness", "conv-pool"), ("nearest", "linear")])
def model(request):
    read, patch_embed = request.param
    torch.manual_seed(0)
    config = EncoderConfig(size=24, patch=8, width=16, depth=2, heads=2, patch_embed=patch_embed)
    halvings = int(read != "tokens")
    pooling = PoolConfig(
        (0, -1), ("mean", "std", "max", "min"), 32, read, halvings, (2,) * halvings
    )  # not the size of training
    encoder = FrozenEncoder("tiny", PlainViT(config), FrozenConfig(config, pooling))
    images = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
    return Model(encoder, fit_ridge(encoder.features(images), np.linspace(-0.2, 1.2, 40)))


@PACKAGES
def test_onnxruntime_gives_the_scores_of_torch_whatever_the_batch(model, tmp_path):
    import onnxruntime

    export_onnx(model, tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"], "the weights are inside"
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 2, 7):
        images = torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8)
        (got,) = session.run(["score"], {"images": images.numpy()})
        assert got.shape == (batch,) and got.dtype == np.float32
        np.testing.assert_allclose(got, model.ratings(images), atol=1e-4)


@PACKAGES
def test_a_network_of_timm_can_be_exported(tmp_path):
    import onnxruntime

    pytest.importorskip("timm")
    torch.manual_seed(0)
    encoder = load_encoder("untrained:resnet18")
    contrast = torch.rand(5, 1, 1, 1)  # images that differ, so that the scores do
    images = (contrast * torch.randint(0, 256, (5, 3, encoder.size, encoder.size))).to(torch.uint8)
    model = Model(encoder, fit_ridge(encoder.features(images), np.linspace(0, 1, 5)))
    export_onnx(model, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (got,) = session.run(["score"], {"images": images.numpy()})
    assert np.ptp(got) > 0.1
    np.testing.assert_allclose(got, model.ratings(images), atol=1e-4)


class Stopped(Exception):
    pass


@PACKAGES
def test_what_moves_to_the_processor_is_a_copy(model, tmp_path, monkeypatch):
    moved = []

    def cpu(scorer):
        moved.extend(scorer.parameters())
        raise Stopped

    monkeypatch.setattr(to_onnx.Scorer, "cpu", cpu)
    with pytest.raises(Stopped):
        export_onnx(model, tmp_path / "m.onnx")
    own = {id(p) for net in model.encoder.nets for p in net.parameters()}
    assert len(moved) == len(own) and own.isdisjoint(map(id, moved))


def test_a_head_that_is_not_linear_is_refused(model, tmp_path):
    with pytest.raises(UserError, match="ridge head"):
        export_onnx(Model(model.encoder, IcnetHead(IcnetShape(16, 4, channels=4))), tmp_path / "m.onnx")


def test_missing_packages_are_one_line(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"needs the package onnxscript, .*'\.\[onnx\]'"):
        export_onnx(model, tmp_path / "m.onnx")


def test_a_mistake_is_one_line_and_status_2(tmp_path, capsys):
    assert main(["onnx", "--model", str(tmp_path), "--out", str(tmp_path / "m.onnx")]) == 2
    assert "there is no head.safetensors" in capsys.readouterr().err
    code = "import sys, clicv2lite.models.to_onnx; assert 'onnx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@PACKAGES
def test_the_model_in_the_package_can_be_exported(tmp_path):
    import onnxruntime

    model, path = load_model(), tmp_path / "m.onnx"
    export_onnx(model, path)
    images = torch.randint(0, 256, (3, 3, model.encoder.size, model.encoder.size), dtype=torch.uint8)
    images[1:] = images[1:] // 8 * torch.arange(3).view(3, 1, 1)  # noise alone has few values
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (got,) = session.run(["score"], {"images": images.numpy()})
    np.testing.assert_allclose(got, model.ratings(images), atol=1e-4)
