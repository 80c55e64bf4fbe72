"""Exercises of chapter 2: pairs that are far apart, the share of variance between views, and what a loss can learn from it."""

import math

import torch
from torch import Tensor

from clicv2lite.evaluate.pair_bias import pair_bias, twice
from clicv2lite.exercises.exercise import Exercise


def _densities(generator: torch.Generator) -> tuple[Tensor]:
    values = torch.rand(2, 40, generator=generator)
    values[:, :5] = 0  # images without an edge
    return (values,)


how_often_twice = Exercise(
    twice,
    _densities,
    {
        "the second view may be the larger one; compare the larger of the two with the smaller": lambda v: (
            (v[0] >= 2 * v[1]).double().mean()
        ),
        "the first view may be the larger one; compare the larger of the two with the smaller": lambda v: (
            (v[1] >= 2 * v[0]).double().mean()
        ),
        "two zeros are equal, and neither is twice the other": lambda v: (v.amax(0) >= 2 * v.amin(0)).double().mean(),
        "this is how many pairs there are; the share is their mean": lambda v: twice(v) * v.shape[1],
        "this is the share of the other pairs, those that are closer": lambda v: 1 - twice(v),
    },
    where="clicv2lite.evaluate.pair_bias.twice",
)


def _views(generator: torch.Generator) -> tuple[Tensor]:
    image = torch.randn(12, generator=generator)
    own = torch.randn(2, 12, generator=generator)
    return (image + 0.7 * own + torch.tensor([[0.0], [0.6]]),)  # second views are larger; Pearson's r ignores that


def _variances(values: Tensor) -> tuple[Tensor, Tensor]:
    """Variance of the means of two views, and variance within an image."""
    return values.mean(0).var(), ((values[0] - values[1]) ** 2 / 2).mean()


def _bias(between: Tensor, within: Tensor) -> Tensor:
    return within / (between + within)


def _not_halved(values: Tensor) -> Tensor:
    means, within = _variances(values)
    return _bias(means - within, 2 * within)


def _means_as_they_are(values: Tensor) -> Tensor:
    return _bias(*_variances(values))


def _population(values: Tensor) -> Tensor:
    within = _variances(values)[1]
    return _bias(values.mean(0).var(correction=0) - within / 2, within)


def _all_of_within(values: Tensor) -> Tensor:
    means, within = _variances(values)
    return _bias(means - within, within)


share_between_views = Exercise(
    pair_bias,
    _views,
    {
        "the variance of two values is half their squared difference; halve it": _not_halved,
        "the mean of two views still contains half of the variance within; subtract that from the variance between": (
            _means_as_they_are
        ),
        "you subtract the whole variance within; the mean of two views contains only half of it": _all_of_within,
        "the variance of the means is that of a sample; divide by n - 1": _population,
        "this is the intraclass correlation; the bias is 1 minus it": lambda v: 1 - pair_bias(v),
        "1 - Pearson's correlation does not notice that all second views are larger; the bias must": lambda v: (
            1 - torch.corrcoef(v)[0, 1]
        ),
    },
    where="clicv2lite.evaluate.pair_bias.pair_bias",
)


def _biases(generator: torch.Generator) -> tuple[Tensor]:
    return (0.01 + 0.9 * torch.rand(6, generator=generator, dtype=torch.float64),)


def _bits(bias: Tensor) -> Tensor:
    return -torch.log2(1 - (1 - bias) ** 2) / 2


bits_of_a_pair = Exercise(
    _bits,
    _biases,
    {
        "this is in nats; take the logarithm to base 2": lambda bias: _bits(bias) * math.log(2),
        "the factor 1/2 is missing": lambda bias: 2 * _bits(bias),
        "the correlation enters squared": lambda bias: -torch.log2(bias) / 2,
        "the correlation is 1 minus the bias; you use the bias itself as the correlation": lambda bias: (
            -torch.log2(1 - bias**2) / 2
        ),
        "the sign is wrong: the logarithm of a number below 1 is negative, information is not": lambda bias: -_bits(bias),
    },
    where="the information of two Gaussian variables, -1/2 log2(1 - rho^2)",
)
