"""AdamW or SGD, what decays, and the learning-rate schedule (CLICv2, section 4.1)."""

import math

import torch
from torch import nn

from clicv2lite.recipes.recipe import Recipe

TENTHS = (0.6, 0.8)  # of the run: MoCo's and CLIC's epochs 120 and 160 of 200


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only. Biases, norms and a class token have no decay, as in MAE (section 4.1).

    SGD has its momentum in ``beta1``, and decays all weights, as MoCo and CLIC do.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(trained.values(), lr=recipe.lr, momentum=recipe.beta1, weight_decay=recipe.weight_decay)
    matrices = {name for name, p in trained.items() if p.ndim > 1 and not name.endswith("cls_token")}  # (1, 1, width)
    groups = [
        {"params": [p for name, p in trained.items() if name in matrices], "weight_decay": recipe.weight_decay},
        {"params": [p for name, p in trained.items() if name not in matrices], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(recipe.beta1, recipe.beta2), fused=True)


def learning_rate(step: int, recipe: Recipe) -> float:
    """Learning rate of a step: linear warm-up, then cosine decay to zero (section 4.1), or two steps to a tenth.

    Args:
        step: 0 .. recipe.steps - 1.
        recipe: gives lr (for its own batch size), and warm-up and length in image passes.
    """
    warmup = recipe.warmup // recipe.batch
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, recipe.steps - warmup)
    if recipe.schedule == "steps":
        return recipe.lr * 0.1 ** sum(progress >= share for share in TENTHS)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * progress))
