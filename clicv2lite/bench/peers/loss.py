"""The loss alone, forward and backward: those of lightly and of pytorch-metric-learning against ours."""

from functools import partial

import torch
from torch import Tensor

from clicv2lite.bench import loss
from clicv2lite.bench.measure import Operation
from clicv2lite.bench.peers.row import Comparison, Sides

QUERIES, KEYS = 1024, 38_912  # a share of the queries of a batch at full scale, and its keys
FEW = 64, 2_432  # what a loss that sets each positive pair beside every negative pair has memory for
ROOM = 16e9  # bytes that a row may take for one matrix
PML = "pytorch-metric-learning"


def comparisons() -> list[Comparison]:
    """lightly's loss, and two of pytorch-metric-learning's: the one by name, and the one that does the same at this size."""
    same = f"width {loss.WIDTH}, temperature {loss.TAU}, float32, gradient of the queries"
    ours = "tiles that are not kept"
    whole, part = f"{QUERIES:,} x {KEYS:,}", f"{FEW[0]:,} x {FEW[1]:,}"
    pairs = "every positive pair beside every negative pair"
    return [
        Comparison(
            f"NT-Xent, {whole}", "lightly", f"{same}, as many logits", ours,
            "all logits in memory; negatives from a bank that it copies and writes to: not the positives of other queries",
            lightly,
        ),
        Comparison(f"NT-Xent, {whole}", PML, f"{same}, same value", ours, pairs, partial(pml, "NTXentLoss", QUERIES, KEYS)),
        Comparison(f"NT-Xent, {part}", PML, f"{same}, same value", ours, pairs, partial(pml, "NTXentLoss", *FEW)),
        Comparison(
            f"SupCon, {whole}", PML, f"{same}, one positive a query, so the same value as NT-Xent", ours,
            "all logits and two masks in memory", partial(pml, "SupConLoss", QUERIES, KEYS),
        ),
    ]  # fmt: skip


def gradient(form: loss.Step, q: Tensor) -> Operation:
    """Loss and gradient; it returns the shape of the gradient."""
    return lambda: loss.both(form, q)[1].shape


def lightly() -> Sides:
    """A bank of negatives, and the first keys as positives: 1 + bank = KEYS logits a query."""
    from lightly.loss import NTXentLoss

    q, k = loss.features(QUERIES, KEYS, loss.WIDTH)
    form = NTXentLoss(temperature=loss.TAU, memory_bank_size=(KEYS - 1, loss.WIDTH))
    return gradient(loss.forms(k)["infonce"], q), gradient(lambda x: form(x, k[:QUERIES]), q)


def pml(name: str, queries: int, keys: int) -> Sides:
    """References with labels: query i has reference i as its positive, and all others are its negatives.

    Raises:
        MemoryError: if the loss would make a matrix of more than ROOM bytes.
        AssertionError: if the two values differ: then this is no comparison.
    """
    import pytorch_metric_learning.losses as losses

    matrix = 4 * queries * queries * (keys - 1)  # positive pairs, by negative pairs of all queries
    if name == "NTXentLoss" and matrix > ROOM:
        raise MemoryError(f"its matrix of positive by negative pairs would take {matrix / 1e9:,.0f} GB; see the smaller row")
    q, k = loss.features(queries, keys, loss.WIDTH)
    form, labels = getattr(losses, name)(temperature=loss.TAU), torch.arange(keys)
    own: loss.Step = loss.forms(k)["infonce"]

    def theirs(x: Tensor) -> Tensor:
        value: Tensor = form(x, labels[: len(x)], ref_emb=k, ref_labels=labels)
        return value

    torch.testing.assert_close(theirs(q), own(q), atol=1e-4, rtol=0)
    return gradient(own, q), gradient(theirs, q)
