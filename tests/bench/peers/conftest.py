"""Tiny sizes, and peers: stand-ins with the same interface, and the real ones where they are installed."""

import sys
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clicv2lite.bench import inputs, measure
from clicv2lite.bench.peers import input as peers_input
from clicv2lite.bench.peers import jpegs, loop, loss, row, score, step
from clicv2lite.method.decoder import DecoderConfig
from clicv2lite.method.encoder import EncoderConfig


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    jpegs.stored.cache_clear()
    monkeypatch.delenv("CLICV2LITE_DATA", raising=False)
    monkeypatch.setattr(measure, "MIN_SECONDS", 0.001)
    monkeypatch.setattr(measure, "MIN_ROUNDS", 1)
    monkeypatch.setattr(measure, "CALL_SECONDS", 1e-4)
    monkeypatch.setattr(row, "PAIRS", 2)
    monkeypatch.setattr(step, "SHAPE", EncoderConfig(size=32, patch=8, width=16, depth=2, heads=2, project=8))
    monkeypatch.setattr(step, "DECODER", DecoderConfig(width=8, depth=1, heads=2))
    monkeypatch.setattr(step, "BATCH", 3)
    monkeypatch.setattr(step, "QUEUE", 12)
    monkeypatch.setattr(loss, "QUERIES", 6)
    monkeypatch.setattr(loss, "KEYS", 40)
    monkeypatch.setattr(loss, "FEW", (3, 20))
    monkeypatch.setattr(inputs, "IMAGES", 4)
    monkeypatch.setattr(jpegs, "COPIES", 2)
    monkeypatch.setattr(peers_input, "BATCH", 2)
    monkeypatch.setattr(peers_input, "SIZE", 16)
    monkeypatch.setattr(loop, "BATCH", 2)
    monkeypatch.setattr(loop, "SIZE", 32)
    monkeypatch.setattr(loop, "SHAPE", ["width=16", "heads=2", "depth=1", "pool_blocks=0", "queue=4"])
    monkeypatch.setattr(score, "SIDE", 64)
    yield
    jpegs.stored.cache_clear()


def fake(monkeypatch, **modules):
    """Put modules with these names (a double underscore for a dot) and attributes where an import finds them."""
    for name, attributes in modules.items():
        module = ModuleType(name.replace("__", "."))
        module.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, module.__name__, module)


class Bank(nn.Module):
    """As lightly's NTXentLoss with a memory bank, which here stays as it is."""

    def __init__(self, temperature, memory_bank_size):
        super().__init__()
        self.temperature, self.bank = temperature, F.normalize(torch.randn(memory_bank_size), dim=1)

    def forward(self, q, k):
        q, k = F.normalize(q, dim=1), F.normalize(k, dim=1)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ self.bank.T], 1) / self.temperature
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))


def head(width, hidden, out):
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, out))


@torch.no_grad()
def follow(model, follower, m):
    for own, other in zip(model.parameters(), follower.parameters(), strict=True):
        other.mul_(m).add_(own, alpha=1 - m)


@pytest.fixture(params=["fake", "real"])
def lightly(request, monkeypatch):
    if request.param == "real":
        return pytest.importorskip("lightly", reason="lightly is no dependency; `clicv2lite bench --peers` installs it")
    parts = {"lightly": {}, "lightly__loss": {"NTXentLoss": Bank}, "lightly__models": {}, "lightly__models__modules": {}}
    parts |= {"lightly__models__modules__heads": {"MoCoProjectionHead": head}}
    return fake(monkeypatch, **parts, lightly__models__utils={"update_momentum": follow})


class Labelled(nn.Module):
    """As the losses of pytorch-metric-learning, for one positive a query."""

    def __init__(self, temperature):
        super().__init__()
        self.temperature = temperature

    def forward(self, x, labels, ref_emb, ref_labels):
        return F.cross_entropy(F.normalize(x, dim=1) @ F.normalize(ref_emb, dim=1).T / self.temperature, labels)


@pytest.fixture(params=["fake", "real"])
def metric_learning(request, monkeypatch):
    if request.param == "real":
        return pytest.importorskip("pytorch_metric_learning", reason="no dependency; `clicv2lite bench --peers` installs it")
    losses = {"NTXentLoss": Labelled, "SupConLoss": Labelled}
    fake(monkeypatch, pytorch_metric_learning={}, pytorch_metric_learning__losses=losses)
    sys.modules["pytorch_metric_learning"].losses = sys.modules["pytorch_metric_learning.losses"]
