"""Exercises of chapter 9: the effect of chance on a variance and on neighbours, and of class means on a PCC."""

import torch
from torch import Tensor

from clicv2lite.exercises.exercise import Exercise


def _correlations(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return 0.2 + 0.7 * torch.rand(7, generator=generator), torch.randint(5, 40, (7,), generator=generator)


variance_by_chance = Exercise(
    lambda r, n: ((1 - r**2) ** 2 / (n - 1)).mean(),
    _correlations,
    {
        "divided by n; the formula has n - 1": lambda r, n: ((1 - r**2) ** 2 / n).mean(),
        "1 - r^2 is squared in the formula": lambda r, n: ((1 - r**2) / (n - 1)).mean(),
        "you use the mean of r; each category has its own r and its own n": lambda r, n: (
            (1 - r.mean() ** 2) ** 2 / (n.double().mean() - 1)
        ),
        "this is the sum over categories; the variance is a mean over them": lambda r, n: ((1 - r**2) ** 2 / (n - 1)).sum(),
        "this is a standard deviation; do not take the root": lambda r, n: ((1 - r**2) ** 2 / (n - 1)).mean().sqrt(),
    },
    where="chapter 9's formula for the variance by chance alone",
    tolerance=1e-6,
)


def _classes(generator: torch.Generator) -> tuple[Tensor]:
    return (torch.randint(5, (30,), generator=generator),)


def _chance(classes: Tensor) -> Tensor:
    same = classes[:, None] == classes
    return (same.sum(1) - 1).double().mean() / (len(classes) - 1)


agreement_by_chance = Exercise(
    _chance,
    _classes,
    {
        "an image is not its own neighbour: leave it out of both counts": lambda classes: (
            (classes[:, None] == classes).double().mean()
        ),
        "1 / classes is right only if all classes are equally large": lambda classes: 1 / len(classes.unique()),
        "this is the share of the largest class, the chance of a classifier": lambda classes: (
            classes.bincount().max() / len(classes)
        ),
        "the image is left out of its class, but not of all images": lambda classes: (
            ((classes[:, None] == classes).sum(1) - 1).double().mean() / len(classes)
        ),
    },
    where="clicv2lite.probe.invariance.neighbourhood, its class_chance",
    tolerance=1e-6,
)


def _images(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    classes = torch.arange(4).repeat(5)[torch.randperm(20, generator=generator)]
    offset = 3 * torch.randn(4, 6, generator=generator)
    return offset[classes] + torch.randn(20, 6, generator=generator), classes


def _without_means(x: Tensor, classes: Tensor) -> Tensor:
    out = x.clone()
    for name in classes.unique():
        out[classes == name] -= x[classes == name].mean(0)
    return out


def _scaled(x: Tensor, classes: Tensor) -> Tensor:
    out = _without_means(x, classes)
    for name in classes.unique():
        out[classes == name] /= x[classes == name].std(0, correction=0)
    return out


without_class_means = Exercise(
    _without_means,
    _images,
    {
        "the mean of all images is subtracted; each class has its own": lambda x, classes: x - x.mean(0),
        "the mean runs over the features (axis 1); take it over the images of the class (axis 0)": lambda x, classes: (
            x - x.mean(1, keepdim=True)
        ),
        "the scale of each class is removed, too; remove only its mean": _scaled,
        "this is the class mean itself; subtract it": lambda x, classes: x - _without_means(x, classes),
    },
    where="chapter 9's few lines",
)
