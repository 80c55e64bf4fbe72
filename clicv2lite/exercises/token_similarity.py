"""Exercises of chapter 14: cosines between the tokens of an image, their soft maximum and their mean."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from clicv2lite.encoders.token_similarity import likeness
from clicv2lite.exercises.exercise import Exercise

MEAN = 3  # of the channels of `likeness`, the mean over all others


def _tokens(generator: torch.Generator, count: int = 20) -> tuple[Tensor]:
    """Tokens (count, 6) of unequal length that are rather alike."""
    tokens = torch.randn(count, 6, generator=generator, dtype=torch.float64) + 0.5
    return (tokens * (0.5 + 2 * torch.rand(count, 1, generator=generator, dtype=torch.float64)),)


def _tokens_and_place(generator: torch.Generator) -> tuple[Tensor, int]:
    return *_tokens(generator), int(torch.randint(20, (1,), generator=generator))


cosines_to = Exercise(
    lambda tokens, j: F.cosine_similarity(tokens, tokens[j], dim=-1),
    _tokens_and_place,
    {
        "these are products of raw tokens; a cosine divides by both lengths": lambda tokens, j: tokens @ tokens[j],
        "divide by the length of token j, too": lambda tokens, j: F.normalize(tokens, dim=-1) @ tokens[j],
        "divide by the length of each other token, too": lambda tokens, j: tokens @ F.normalize(tokens[j], dim=0),
        "the tokens are centred first; then this is a correlation": lambda tokens, j: F.cosine_similarity(
            tokens - tokens.mean(1, keepdim=True), (tokens - tokens.mean(1, keepdim=True))[j], dim=-1
        ),
        "this is one minus the cosine, a distance": lambda tokens, j: 1 - F.cosine_similarity(tokens, tokens[j], dim=-1),
    },
    where="torch.nn.functional.cosine_similarity",
)


def _cosines_and_temperature(generator: torch.Generator) -> tuple[Tensor, float]:
    cosines = 2 * torch.rand(7, 30, generator=generator) - 1
    cosines[:, 0] = 0.95  # at these temperatures exp(cosine / t) is beyond float32
    return cosines, 0.005 + 0.004 * float(torch.rand(1, generator=generator))


def _soft_maximum(cosines: Tensor, t: float) -> Tensor:
    return t * ((cosines / t).logsumexp(-1) - math.log(cosines.shape[-1]))


soft_maximum = Exercise(
    _soft_maximum,
    _cosines_and_temperature,
    {
        "exp(cosine / t) overflows at a small t: use logsumexp, or subtract the largest cosine first": lambda cosines, t: (
            t * (cosines / t).exp().mean(-1).log()
        ),
        "this is the log of the sum; take the mean, so that more patches do not give a larger value": lambda cosines, t: (
            t * (cosines / t).logsumexp(-1)
        ),
        "the t in front is missing: the result is no longer on the scale of a cosine": lambda cosines, t: (
            _soft_maximum(cosines, t) / t
        ),
        "this is the largest cosine itself, the limit t = 0": lambda cosines, t: cosines.amax(-1),
        "this is the mean cosine, the limit of a large t": lambda cosines, t: cosines.mean(-1),
        "this is the mean weighted by a softmax, another soft maximum; here take the log of a mean": lambda cosines, t: (
            (cosines / t).softmax(-1) * cosines
        ).sum(-1),
    },
    where="clicv2lite.encoders.token_similarity at one temperature",
)


def _products_with_the_sum(unit: Tensor) -> Tensor:
    return unit @ unit.sum(0)


mean_cosines = Exercise(
    lambda tokens: likeness(tokens[None, None])[0, 0, :, MEAN],
    partial(_tokens, count=1500),
    {
        "the token itself is among the others: subtract its own cosine, 1, and divide by G - 1": lambda tokens: (
            _products_with_the_sum(F.normalize(tokens, dim=-1)) / len(tokens)
        ),
        "its own cosine is left out, but the mean is over G - 1 others, not G": lambda tokens: (
            (_products_with_the_sum(F.normalize(tokens, dim=-1)) - 1) / len(tokens)
        ),
        "the sum still holds the token itself: subtract its own cosine, 1": lambda tokens: (
            _products_with_the_sum(F.normalize(tokens, dim=-1)) / (len(tokens) - 1)
        ),
        "the tokens are not of unit length: these are products, not cosines": lambda tokens: (
            (_products_with_the_sum(tokens) - tokens.square().sum(-1)) / (len(tokens) - 1)
        ),
    },
    where="clicv2lite.encoders.token_similarity.likeness, its mean channel",
    tolerance=1e-5,  # a thousandth of a mean counts
    memory=lambda tokens: tokens.element_size() * len(tokens) ** 2 // 2,  # half of the cosines of all pairs
)
