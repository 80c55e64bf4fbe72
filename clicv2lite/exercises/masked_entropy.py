"""Exercises of chapter 5: masks, the entropy of a histogram, its bias, and rules that guess what is hidden."""

import math

import torch
from torch import Tensor

from clicv2lite.exercises.exercise import Exercise
from clicv2lite.method.masking import random_mask


def _noise_and_ratio(generator: torch.Generator) -> tuple[Tensor, float]:
    ratio = (0.3, 0.6, 0.8)[int(torch.randint(3, (), generator=generator))]
    return torch.rand(4, 20, generator=generator), ratio


def _kept(noise: Tensor, share: float, largest: bool = False) -> Tensor:
    return noise.argsort(dim=1, descending=largest)[:, : round(noise.shape[1] * share)]


visible_patches = Exercise(
    lambda noise, ratio: random_mask(noise, ratio)[0],
    _noise_and_ratio,
    {
        "these are the masked patches; the ratio counts what is masked, so a share of 1 - ratio stays": lambda noise, ratio: (
            random_mask(noise, ratio)[1]
        ),
        "these are the right patches, but not in ascending order; sort them": lambda noise, ratio: _kept(noise, 1 - ratio),
        "the patches with the largest numbers are kept; keep those with the smallest": lambda noise, ratio: (
            _kept(noise, 1 - ratio, largest=True).sort(1).values
        ),
    },
    where="clicv2lite.method.masking.random_mask",
)


def _counts(generator: torch.Generator) -> tuple[Tensor]:
    counts = torch.randint(0, 40, (6, 16), generator=generator)
    counts[:, :5] = 0  # a histogram has empty bins
    return (counts,)


def _plug_in(counts: Tensor) -> Tensor:
    p = counts / counts.sum(1, keepdim=True)
    return torch.special.entr(p).sum(1) / math.log(2)


histogram_bits = Exercise(
    _plug_in,
    _counts,
    {
        "this is in nats; divide by ln 2, or take the logarithm to base 2": lambda c: _plug_in(c) * math.log(2),
        "the counts are not shares yet; divide each row by its sum": lambda c: (
            -(c * torch.log2(c.clamp(min=1))).sum(1).double()
        ),
        "divided by the total of all histograms; each row is one histogram": lambda c: (
            torch.special.entr(c / c.sum()).sum(1) / math.log(2)
        ),
        "divided by its maximum, log2(bins); leave it in bits": lambda c: _plug_in(c) / math.log2(c.shape[1]),
        "this is the mean over the bins; the entropy is the sum": lambda c: _plug_in(c) / c.shape[1],
    },
    where="clicv2lite.method.entropy.patch_entropy",
)


def _miller(counts: Tensor) -> Tensor:
    return (counts.shape[1] - 1) / (2 * counts.sum(1) * math.log(2))


corrected_bits = Exercise(
    lambda c: _plug_in(c) + _miller(c),
    lambda generator: (torch.randint(1, 9, (6, 32), generator=generator),),
    {
        "the correction is subtracted; the estimate is too low, so add it": lambda c: _plug_in(c) - _miller(c),
        "the correction is in nats and the entropy in bits; divide it by ln 2": lambda c: (
            _plug_in(c) + _miller(c) * math.log(2)
        ),
        "this uses the number of bins; the formula has bins - 1": lambda c: (
            _plug_in(c) + _miller(c) * c.shape[1] / (c.shape[1] - 1)
        ),
        "the 2 of the denominator is missing": lambda c: _plug_in(c) + 2 * _miller(c),
        "this is the entropy without any correction": _plug_in,
    },
    where="equation (Miller, 1955) and clicv2lite.method.entropy.patch_entropy",
)


def _map_and_mask(generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
    seen = (torch.rand(3, 7, 7, generator=generator) < 0.4).float()
    seen[:, 3, 3] = 1  # never empty
    return 7 * torch.rand(3, 7, 7, generator=generator), seen, 0.8 + torch.rand((), generator=generator).item()


def _gaussian(maps: Tensor, seen: Tensor, sigma: float, power: float = 2, weigh_all: bool = False) -> Tensor:
    row, column = torch.meshgrid(torch.arange(7), torch.arange(7), indexing="ij")
    place = torch.stack([row, column], -1).reshape(49, 2).double()
    weight = torch.exp(-((torch.cdist(place, place)) ** 2) / (power * sigma**2))
    total = (maps * seen).flatten(1).double() @ weight
    share = torch.ones_like(seen) if weigh_all else seen
    return (total / (share.flatten(1).double() @ weight)).reshape(maps.shape)


def _from_everything(maps: Tensor, seen: Tensor, sigma: float) -> Tensor:
    return _gaussian(maps, torch.ones_like(seen), sigma)


gaussian_guess = Exercise(
    _gaussian,
    _map_and_mask,
    {
        "the weights of hidden patches count in the denominator; only visible ones should": lambda m, s, w: _gaussian(
            m, s, w, weigh_all=True
        ),
        "hidden patches are used for the guess, which the decoder cannot do": _from_everything,
        "the 2 of 2 sigma² is missing": lambda m, s, w: _gaussian(m, s, w, power=1),
    },
    where="a loop over patches",
)
