"""Exercises of chapter 10: what a large run needs, and how it is cut into pieces."""

import torch
from torch import Tensor

from clicv2lite.exercises.exercise import Exercise
from clicv2lite.pretrain.cost.budget import image_flops
from clicv2lite.recipes.library import get_recipe


def _a_run(generator: torch.Generator) -> tuple[int, int, int]:
    batch, visible = torch.randint(100, 3000, (2,), generator=generator).tolist()
    return 8 * batch, visible, 2 ** int(torch.randint(1, 4, (), generator=generator))


def _logit_bytes(batch: int, visible: int, gpus: int) -> float:
    n = batch * visible
    return 8 * n * n / gpus


logit_bytes = Exercise(
    _logit_bytes,
    _a_run,
    {
        "you count pairs of images; the loss compares patches, and there are batch * visible of them": (
            lambda batch, visible, gpus: 8 * batch**2 / gpus
        ),
        "the gradient is missing: backward needs a second matrix of the same size": (
            lambda batch, visible, gpus: _logit_bytes(batch, visible, gpus) / 2
        ),
        "a float32 has four bytes, not one": lambda batch, visible, gpus: _logit_bytes(batch, visible, gpus) / 4,
        "the keys are divided too; every rank compares its own queries with the keys of all": (
            lambda batch, visible, gpus: _logit_bytes(batch, visible, gpus) / gpus
        ),
        "each rank has the rows of its own queries only: divide by gpus": (
            lambda batch, visible, gpus: _logit_bytes(batch, visible, 1)
        ),
    },
    where="clicv2lite.pretrain.cost.budget.memory",
)


def _a_piece(generator: torch.Generator) -> tuple[int, int, int, int, int]:
    ranks = 2 ** int(torch.randint(1, 4, (), generator=generator))
    share, micro = (int(torch.randint(low, high, (), generator=generator)) for low, high in ((60, 200), (5, 20)))
    rank, piece = int(torch.randint(1, ranks, (), generator=generator)), int(torch.randint(1, 4, (), generator=generator))
    return ranks * share, ranks, micro, rank, piece


first_image = Exercise(
    lambda batch, ranks, micro, rank, piece: rank * (batch // ranks) + piece * micro,
    _a_piece,
    {
        "this is its index in the rank's share; the keys are those of all ranks": (
            lambda batch, ranks, micro, rank, piece: piece * micro
        ),
        "all pieces of a rank begin where its share begins; move on by a micro-batch for each piece": (
            lambda batch, ranks, micro, rank, piece: rank * (batch // ranks)
        ),
        "batch counts the images of all ranks; a share is a part of it": (
            lambda batch, ranks, micro, rank, piece: rank * batch + piece * micro
        ),
        "shares are blocks of batch // ranks images, whatever the micro-batch": (
            lambda batch, ranks, micro, rank, piece: rank * micro + piece * micro
        ),
        "the ranks do not take turns; each rank has consecutive images": (
            lambda batch, ranks, micro, rank, piece: rank + piece * micro * ranks
        ),
    },
    where="the first image that clicv2lite.pretrain.engine.train_step writes into Keys",
)


def _two_parts(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    top = 800 + 8 * torch.randn(2, 6, dtype=torch.float64, generator=generator)  # exp(800) is beyond float64
    weight = 1 + 5 * torch.rand(2, 6, dtype=torch.float64, generator=generator)
    return top[0], weight[0], top[1], weight[1]


def _merge(top_a: Tensor, weight_a: Tensor, top_b: Tensor, weight_b: Tensor) -> tuple[Tensor, Tensor]:
    top = torch.maximum(top_a, top_b)
    return top, weight_a * (top_a - top).exp() + weight_b * (top_b - top).exp()


merge_tiles = Exercise(
    _merge,
    _two_parts,
    {
        "the sums belong to different maxima; bring both to the new one before you add them": (
            lambda top_a, a, top_b, b: (torch.maximum(top_a, top_b), a + b)
        ),
        "only the second sum was brought to the new maximum; the first may have to shrink as well": (
            lambda top_a, a, top_b, b: (torch.maximum(top_a, top_b), a + b * (top_b - torch.maximum(top_a, top_b)).exp())
        ),
        "only the first sum was brought to the new maximum; the second may lie below the first": (
            lambda top_a, a, top_b, b: (torch.maximum(top_a, top_b), a * (top_a - torch.maximum(top_a, top_b)).exp() + b)
        ),
        "the sign in the exponent is wrong: a sum shrinks when the maximum rises": (
            lambda top_a, a, top_b, b: (
                torch.maximum(top_a, top_b),
                a * (torch.maximum(top_a, top_b) - top_a).exp() + b * (torch.maximum(top_a, top_b) - top_b).exp(),
            )
        ),
        "exp of a logit of 800 overflows: take only exp of differences, which are at most 0": (
            lambda top_a, a, top_b, b: (torch.maximum(top_a, top_b), a * top_a.exp() / torch.maximum(top_a, top_b).exp() + b)
        ),
        "maxima do not add up; the largest logit of both tiles is the larger of the two": (
            lambda top_a, a, top_b, b: (top_a + top_b, _merge(top_a, a, top_b, b)[1])
        ),
    },
    where="the running softmax of clicv2lite.method.infonce.infonce",
)


def _pieces(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    sizes = torch.randint(1, 9, (4,), generator=generator)
    sizes[-1] = sizes[0] + 3  # never all equal
    return torch.randn(4, 5, generator=generator), sizes


def _accumulate(gradients: Tensor, sizes: Tensor) -> Tensor:
    return (gradients * sizes[:, None]).sum(0) / sizes.sum()


accumulate = Exercise(
    _accumulate,
    _pieces,
    {
        "the mean of means gives the images of a small micro-batch too much weight": lambda g, n: g.mean(0),
        "the sum of means grows with the number of micro-batches": lambda g, n: g.sum(0),
        "this is weighted, but not divided by the number of images of all pieces": lambda g, n: (g * n[:, None]).sum(0),
        "this is divided by the number of pieces; divide by the number of images": lambda g, n: (g * n[:, None]).mean(0),
        "a large piece counts more, not less: multiply by its size": lambda g, n: (g / n[:, None]).sum(0) / (1 / n).sum(),
    },
    where="the mean over all images at once",
)


def _break_even(part: float = 1.0, visible: int = 1) -> float:
    """The batch size at which the pairs of ViT-S/32 cost as much as all its matrix products."""
    recipe = get_recipe("vit-s32")
    flops = image_flops(recipe)
    pairs = flops.pop("InfoNCE").forward / recipe.batch  # of one image, for each image of the batch
    return part * visible * sum(forward + backward for forward, backward in flops.values()) / pairs


break_even = Exercise(
    lambda: _break_even(),
    mistakes={
        "this is the number of visible patches; the size of a batch is counted in images": lambda: _break_even(visible=20),
        "the loss costs 4 operations for each pair and dimension: 2 for the logit, 2 for the weighted key": (
            lambda: _break_even(part=2)
        ),
    },
    where="clicv2lite.pretrain.cost.budget.image_flops",
    tolerance=0.02,  # two digits are enough
)
