"""Both sides score the same number of images."""

import pytest
import torch
from torch import nn

from clicv2lite.bench.peers import score
from clicv2lite.bench.peers.row import row_of

from .conftest import fake


class Small(nn.Module):
    def __init__(self, pretrained):
        super().__init__()
        assert pretrained is None, "weights would be downloaded"

    def forward(self, x):
        assert x.shape[1:] == (3, 64, 64)
        return x.mean((1, 2, 3))[:, None]


@pytest.fixture(params=["fake", "real"])
def pyiqa(request, monkeypatch):
    if request.param == "real":
        return pytest.importorskip("pyiqa", reason="pyiqa is no dependency; `clicv2lite bench --peers` installs it")
    return fake(monkeypatch, pyiqa={}, pyiqa__archs={}, pyiqa__archs__cnniqa_arch={"CNNIQA": Small})


def test_cnniqa(pyiqa):
    ours, theirs = score.beside(score.cnniqa)
    assert ours() == theirs() == score.BATCH
    assert not any(p.requires_grad and p.grad is not None for p in score.cnniqa().parameters())


def test_resnet():
    found = row_of(score.comparisons()[1])
    assert found.failed is None and found.peer == "timm" and found.flops["peer"] > 0


def test_the_network_has_no_head():
    with torch.inference_mode():
        assert score.resnet().eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 512)
