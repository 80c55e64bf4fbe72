"""Patch-wise InfoNCE, loss and gradient: the package's form against the dense one, torch's own and the two matrix products."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clicv2lite.bench.measure import Operation, Timing, compare
from clicv2lite.method.infonce import CPU_TILE, infonce, infonce_dense

QUERIES = (64, 26, 128)  # images, visible patches, width of the features in the lite recipe
LARGE = {38_912: 1024, 159_744: 512}  # keys -> queries; 19 patches of 2048 images, and 78
SLOW = 100_000  # keys: from here on torch's chunks take half a minute a round
WIDTH = 256  # of the features, at this scale
TAU = 0.2

Step = Callable[[Tensor], Tensor]  # (n, d) queries -> scalar loss


def features(n: int, keys: int, width: int) -> tuple[Tensor, Tensor]:
    """Unit vectors: queries (n, width) and keys (keys, width)."""
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(count, width, generator=generator) for count in (n, keys))
    return q.div_(q.norm(dim=1, keepdim=True)), k.div_(k.norm(dim=1, keepdim=True))


def forms(k: Tensor) -> dict[str, Step]:
    """Ways to compute the same loss of queries whose positives are the first keys."""
    keys, places = k[:, None], torch.zeros(len(k), 1, dtype=torch.int64)  # every patch its own image

    def library(options: Any) -> Step:
        return lambda q: F.linear_cross_entropy(q / TAU, k, torch.arange(len(q)), options=options)

    found: dict[str, Step] = {
        "infonce": lambda q: infonce(q[:, None], keys, places, TAU),
        "tiles": lambda q: infonce(q[:, None], keys, places, TAU, tile=CPU_TILE),
        "dense": lambda q: infonce_dense(q[:, None], keys, places, TAU),
    }
    if hasattr(F, "linear_cross_entropy"):  # torch >= 2.13
        found |= {
            "linear_cross_entropy": library(None),
            "linear_cross_entropy_in_chunks": library(torch.nn.LinearCrossEntropyOptions()),
        }
    return found


def both(form: Step, q: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and gradient of the queries."""
    leaf = q.detach().requires_grad_()
    loss = form(leaf)
    loss.backward()
    assert leaf.grad is not None
    return loss.detach(), leaf.grad


def products(q: Tensor, k: Tensor) -> Operation:
    """The two products of any form, tile by tile: q k for the logits, p k for the weighted keys."""
    logits, mean = torch.empty(CPU_TILE * CPU_TILE), torch.zeros_like(q)

    def run() -> None:
        for i in range(0, len(q), CPU_TILE):
            for j in range(0, len(k), CPU_TILE):
                rows, columns = q[i : i + CPU_TILE], k[j : j + CPU_TILE]
                part = logits[: len(rows) * len(columns)].view(len(rows), len(columns))
                mean[i : i + CPU_TILE].addmm_(torch.mm(rows, columns.T, out=part), columns)

    return run


def bench_small() -> Timing:
    """A batch of the lite recipe against the dense form."""
    b, v, d = QUERIES
    q, k = (x.view(b, v, d) for x in features(b * v, b * v, d))
    visible = torch.arange(v).expand(b, v)

    def step(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Operation:
        return partial(both, lambda x: loss(x, k, visible), q)

    return compare(f"InfoNCE of {b * v} patches", step(infonce), {"dense": step(infonce_dense)})


def bench_large() -> list[Timing]:
    """The number of keys of a batch at full scale, for some of its queries."""
    found = []
    for keys, queries in LARGE.items():
        q, k = features(queries, keys, WIDTH)
        ways: dict[str, Operation] = {name: partial(both, form, q) for name, form in forms(k).items()}
        own = ways.pop("infonce")
        if keys > SLOW:
            ways.pop("linear_cross_entropy_in_chunks", None)
        name, note = f"InfoNCE of {queries:,} queries with {keys:,} keys", f"width {WIDTH}; a batch has as many queries as keys"
        references = {"two_products": products(q, k), **ways}
        found.append(compare(name, own, references, floor="two_products", at_most=1.3, note=note))
    return found
