"""Exercises of chapter 4: the contrastive loss, its negatives, its gradient."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from clicv2lite.exercises.exercise import Exercise
from clicv2lite.method.infonce import infonce_dense


def _unit(generator: torch.Generator, *shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def _tau(generator: torch.Generator) -> float:
    return 0.2 + 0.2 * torch.rand((), generator=generator).item()


def _logits(query: Tensor, keys: Tensor, tau: float) -> Tensor:
    return F.normalize(keys, dim=1) @ F.normalize(query, dim=0) / tau


def _one_query(generator: torch.Generator) -> tuple[Tensor, Tensor, int, float]:
    keys = 3 * torch.randn(9, 16, generator=generator)
    positive = int(torch.randint(9, (), generator=generator))
    return keys[positive] + torch.randn(16, generator=generator), keys, positive, _tau(generator)


def _nats(logits: Tensor, positive: int) -> Tensor:
    return logits.logsumexp(0) - logits[positive]


def _without_positive(logits: Tensor, positive: int) -> Tensor:
    return torch.cat([logits[:positive], logits[positive + 1 :]])


one_loss = Exercise(
    lambda query, keys, positive, tau: F.cross_entropy(_logits(query, keys, tau)[None], torch.tensor([positive])),
    _one_query,
    {
        "the temperature is missing: divide the similarities by it": lambda q, k, i, tau: _nats(_logits(q, k, 1), i),
        "the similarities are multiplied by the temperature; divide (equation 2, not 1)": lambda q, k, i, tau: _nats(
            _logits(q, k, 1 / tau), i
        ),
        "the features still have their own lengths; normalise query and keys": lambda q, k, i, tau: _nats(k @ q / tau, i),
        "the positive is missing from the denominator: it belongs there, with the negatives": lambda q, k, i, tau: (
            _without_positive(_logits(q, k, tau), i).logsumexp(0) - _logits(q, k, tau)[i]
        ),
        "this is in bits; the loss is in nats, with the natural logarithm": lambda q, k, i, tau: (
            _nats(_logits(q, k, tau), i) / math.log(2)
        ),
        "the negatives are summed inside the exponential, as equation 2 is printed": lambda q, k, i, tau: F.softplus(
            _without_positive(_logits(q, k, tau), i).sum() - _logits(q, k, tau)[i]
        ),
        "this is the probability of the positive; the loss is minus its logarithm": lambda q, k, i, tau: _logits(
            q, k, tau
        ).softmax(0)[i],
    },
    where="clicv2lite.method.infonce.infonce_dense",
)


def _pairs(generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
    keys = _unit(generator, 12, 8)
    return F.normalize(keys + 0.3 * torch.randn(12, 8, generator=generator), dim=1), keys, _tau(generator)


def _negatives(q: Tensor, k: Tensor, tau: float) -> Tensor:
    return (q @ k.T / tau).masked_fill(torch.eye(len(q), dtype=torch.bool), -torch.inf)


def _crowd(logits: Tensor) -> Tensor:
    return torch.special.entr(logits.softmax(1)).sum(1)


effective_negatives = Exercise(
    lambda q, k, tau: _crowd(_negatives(q, k, tau)).exp().mean(),
    _pairs,
    {
        "the positive is counted too; leave the diagonal out before the softmax": lambda q, k, tau: (
            _crowd(q @ k.T / tau).exp().mean()
        ),
        "exp of the mean entropy; take exp for each query, then the mean": lambda q, k, tau: (
            _crowd(_negatives(q, k, tau)).mean().exp()
        ),
        "the entropy is in bits, but exp undoes the natural logarithm": lambda q, k, tau: (
            (_crowd(_negatives(q, k, tau)) / math.log(2)).exp().mean()
        ),
        "the temperature is missing": lambda q, k, tau: _crowd(_negatives(q, k, 1)).exp().mean(),
        "the softmax runs over the queries (axis 0); each query chooses among the keys (axis 1)": lambda q, k, tau: (
            _crowd(_negatives(q, k, tau).T).exp().mean()
        ),
    },
    where="the softmax of clicv2lite.method.infonce.infonce_dense",
)


def _gradient(q: Tensor, k: Tensor, tau: float) -> Tensor:
    x = q.clone().requires_grad_()
    infonce_dense(x[None], k[None], torch.arange(len(q))[None], tau).backward()
    assert x.grad is not None
    return x.grad


query_gradient = Exercise(
    _gradient,
    _pairs,
    {
        "the 1 / N of the mean over the queries is missing": lambda q, k, tau: len(q) * _gradient(q, k, tau),
        "the 1 / tau is missing: the logits are q · k / tau": lambda q, k, tau: tau * _gradient(q, k, tau),
        "the positive key is not subtracted: a query is pushed away from all keys and pulled to none": lambda q, k, tau: (
            (q @ k.T / tau).softmax(1) @ k / (tau * len(q))
        ),
        "the softmax runs over the queries (axis 0); it weights the keys of one query (axis 1)": lambda q, k, tau: (
            ((q @ k.T / tau).softmax(0) @ k - k) / (tau * len(q))
        ),
        "the temperature is missing in the softmax": lambda q, k, tau: ((q @ k.T).softmax(1) @ k - k) / (tau * len(q)),
        "this is the direction of the step, not of the gradient: change the sign": lambda q, k, tau: -_gradient(q, k, tau),
    },
    where="the gradient of clicv2lite.method.infonce.infonce_dense",
)


def _through(z: Tensor, g: Tensor) -> Tensor:
    x = z.clone().requires_grad_()
    F.normalize(x, dim=1).backward(g)
    assert x.grad is not None
    return x.grad


def _project(z: Tensor, g: Tensor) -> Tensor:
    q = F.normalize(z, dim=1)
    return g - (g * q).sum(1, keepdim=True) * q


gradient_of_length = Exercise(
    _through,
    lambda generator: (3 * torch.randn(6, 8, generator=generator), torch.randn(6, 8, generator=generator)),
    {
        "the direction is right, but a long z turns less: divide by its length": _project,
        "divided by the length, but the part along z is still there; a step along z does not turn it": lambda z, g: (
            g / z.norm(dim=1, keepdim=True)
        ),
        "the part along z is computed with z itself; use the unit vector z / |z|": lambda z, g: (
            (g - (g * z).sum(1, keepdim=True) * z) / z.norm(dim=1, keepdim=True)
        ),
    },
    where="the gradient of torch.nn.functional.normalize",
)
