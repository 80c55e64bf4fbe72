"""Exercises of chapter 6: the momentum encoder, the cost of a Transformer, the two losses."""

import math

import torch
from torch import Tensor

from clicv2lite.exercises.exercise import Exercise


def _a_run(generator: torch.Generator) -> tuple[int, float]:
    steps = int(torch.randint(200, 5000, (), generator=generator))
    return steps, 0.02 + 0.1 * torch.rand((), generator=generator).item()


momentum_for = Exercise(
    lambda steps, share: 0.5 ** (1 / (share * steps)),
    _a_run,
    {
        "after that many steps 1 / e of the old weights is left, not one half": lambda steps, share: math.exp(
            -1 / (share * steps)
        ),
        "1 - 1 / n is the momentum whose memory is about n steps; the half-life is shorter": lambda steps, share: (
            1 - 1 / (share * steps)
        ),
        "this solves the approximation ln 2 / (1 - m); solve the exact half-life, ln 2 / -ln m": lambda steps, share: (
            1 - math.log(2) / (share * steps)
        ),
        "this half-life is the whole run; take its share": lambda steps, share: 0.5 ** (1 / steps),
        "this is the half-life in steps; which momentum m has m ** half-life = 1 / 2?": lambda steps, share: share * steps,
    },
    where="the half-life of clicv2lite.method.clicv2.CLICv2.update_key",
    tolerance=1e-6,
)


def _two_encoders(generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
    key, query = torch.randn(2, 5, 3, generator=generator)
    return key, query, 0.9 + 0.09 * torch.rand((), generator=generator).item()


def _follow(key: Tensor, query: Tensor, momentum: float) -> Tensor:
    return momentum * key + (1 - momentum) * query


follow = Exercise(
    _follow,
    _two_encoders,
    {
        "key and query are swapped: the momentum is the share of the key that stays": lambda k, q, m: _follow(q, k, m),
        "the two shares do not add up to 1": lambda k, q, m: m * k + q,
        "the key becomes the query at once; where is the momentum?": lambda k, q, m: q,
    },
    where="clicv2lite.method.clicv2.CLICv2.update_key",
)


def _losses(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, float]:
    prediction, target = 7 * torch.rand(2, 4, 29, 1, generator=generator)
    return torch.rand((), generator=generator) * 9, prediction, target, 1.5 + torch.rand((), generator=generator).item()


def _square(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).square()


total_loss = Exercise(
    lambda contrast, prediction, target, weight: contrast + weight * _square(prediction, target).mean(),
    _losses,
    {
        "the weight lambda is missing": lambda c, p, t, w: c + _square(p, t).mean(),
        "lambda multiplies the contrastive loss; it belongs to the reconstruction loss": lambda c, p, t, w: (
            w * c + _square(p, t).mean()
        ),
        "this is the sum over the masked patches, as printed in equation 11; take their mean": lambda c, p, t, w: (
            c + w * _square(p, t).sum((1, 2)).mean()
        ),
        "this is the root of the squared error; equation 11 has no root": lambda c, p, t, w: (
            c + w * _square(p, t).mean().sqrt()
        ),
        "this is the absolute error; equation 11 squares it": lambda c, p, t, w: c + w * (p - t).abs().mean(),
    },
    where="clicv2lite.method.clicv2.CLICv2.forward",
)


even_tokens = Exercise(
    lambda width: 6 * width,
    lambda generator: (64 * int(torch.randint(2, 20, (), generator=generator)),),
    {
        "half of it: 24 V D² of the weights against 4 V² D of attention": lambda width: 3 * width,
        "twice as much: attention has two products, q · k and the weighted mean of v": lambda width: 12 * width,
        "the MLP is missing: it has two of the three parts of the weights": lambda width: 2 * width,
    },
    where="the formula of the chapter",
)
