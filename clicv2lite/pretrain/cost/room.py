"""Refuse a model or a batch that no memory of this machine can hold, before anything of it is made (book chapter 10)."""

import torch

from clicv2lite.errors import UserError
from clicv2lite.pretrain.cost.budget import memory, micro_batch, parameters
from clicv2lite.pretrain.cost.hardware import held_memory
from clicv2lite.recipes.recipe import Recipe
from clicv2lite.torchrun import from_torchrun


def check_memory(recipe: Recipe, device: torch.device, ranks: int = 1, training: bool = True) -> None:
    """Compare what a run needs (:func:`clicv2lite.pretrain.cost.budget.memory`) with the memory of its device.

    Args:
        ranks: number of ranks; those on one machine without GPUs share its memory.
        training: False: only the weights are held.

    Raises:
        UserError: if it needs more than the whole memory. Below that it may still fail: `--dry-run` estimates more carefully.
    """
    held = held_memory(device)
    if training:
        needed = sum(memory(recipe, ranks, micro_batch(recipe, ranks), recipe.checkpointing).values())
        needed *= 1 if device.type == "cuda" else from_torchrun("LOCAL_WORLD_SIZE")
    else:
        needed = 4 * sum(parameters(recipe).values())
    if needed > held:
        shape = f"width={recipe.width} depth={recipe.depth} size={recipe.size} batch={recipe.batch} micro={recipe.micro}"
        raise UserError(
            f"--recipe {recipe.name}: {shape} needs about {needed / 1e9:,.0f} GB of memory, and this machine has"
            f" {held / 1e9:,.0f} GB; take a smaller model or a smaller micro, and see --dry-run"
        )
