"""The losses that are compared have as many logits, and the same value where the table says so."""

from functools import partial

import pytest
import torch

from clicv2lite.bench.peers import loss
from clicv2lite.bench.peers.row import flops_of, row_of


def test_lightly_has_as_many_logits(lightly):
    ours, theirs = loss.lightly()
    assert ours() == theirs() == torch.Size([6, 256])
    products = 2 * 6 * 256 * 40
    assert flops_of(ours) >= 2 * products  # logits, and the gradient of the queries
    assert flops_of(theirs) == pytest.approx(2 * products, rel=0.05)


@pytest.mark.parametrize("name", ["NTXentLoss", "SupConLoss"])
def test_pytorch_metric_learning_gives_the_same_value(metric_learning, name):
    ours, theirs = loss.pml(name, 6, 40)  # it compares the values itself
    assert ours() == theirs() == torch.Size([6, 256])


def test_another_value_is_no_comparison(metric_learning, monkeypatch):
    monkeypatch.setattr(loss.loss, "forms", lambda k: {"infonce": lambda q: (q @ k.T).logsumexp(1).mean()})
    with pytest.raises(AssertionError, match="not close"):
        loss.pml("SupConLoss", 6, 40)


def test_a_matrix_that_does_not_fit_is_a_row(metric_learning, monkeypatch):
    monkeypatch.setattr(loss, "ROOM", 1000)
    rows = [row_of(comparison) for comparison in loss.comparisons()[1:]]
    assert [found.ratio is None for found in rows] == [True, False, False]
    assert rows[0].failed.startswith("MemoryError: its matrix of positive by negative pairs would take")
    with pytest.raises(MemoryError, match="would take 163 GB"):
        loss.pml("NTXentLoss", 1024, 38_912)


def test_the_matrix_of_pairs_is_what_the_real_one_makes():
    losses = pytest.importorskip("pytorch_metric_learning.losses", reason="`clicv2lite bench --peers` installs it")
    from clicv2lite.bench.loss import both, features
    from clicv2lite.pretrain.cost.peak import peak_bytes

    q, k = features(8, 300, 16)
    labels = torch.arange(300)
    form = losses.NTXentLoss(temperature=0.2)
    step = partial(both, lambda x: form(x, labels[:8], ref_emb=k, ref_labels=labels), q)
    assert peak_bytes(step) > 4 * 8 * 8 * 299
