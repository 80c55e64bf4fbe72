"""One training step of several recipes, alone or under torchrun: losses and gradients to a file (used by test_distributed)."""

import sys
from pathlib import Path

import safetensors.torch
import torch

from clicv2lite.data.sources import open_images
from clicv2lite.distributed import Ranks, join
from clicv2lite.learners import METHODS
from clicv2lite.pretrain.engine import train_step, wrap
from clicv2lite.pretrain.input.feed import Feed
from clicv2lite.pretrain.optim import make_optimizer
from clicv2lite.recipes.library import get_recipe

CHOICES = {
    "default": [],
    "class-token": ["class_token=true", "key_patches=full"],
    "other-images": ["negatives=other-images"],
    "same-position": ["negatives=same-position"],
    "image-wise": ["compare=image"],
    "nothing-masked": ["mask_ratio=0"],
    "rounds-to-nothing-masked": ["mask_ratio=0.02"],
    "no-target": ["target=none"],
    "moco": ["method=moco"],
    "clic": ["method=clic"],
}


def step(choice: str, images: str, ranks: Ranks, *more: str) -> dict[str, torch.Tensor]:
    """Losses, gradient norm, gradients and next weights of a first step on 64 images in float32."""
    recipe = get_recipe("ci", ["batch=64", "precision=fp32", "clip=1000000", "warmup=0", *CHOICES[choice], *more])
    torch.manual_seed(0)
    model = METHODS[recipe.method].build(recipe.model, recipe.learner)
    optimizer = make_optimizer(model, recipe)
    wrapped = wrap(model, recipe, ranks)
    with Feed(open_images([images]), recipe, ranks.rank, ranks.size, progress=False) as feed:
        output, norm = train_step(wrapped, optimizer, next(iter(feed)), recipe, ranks)
    found = {"loss.total": output.total, "loss.contrast": output.contrast, "loss.auxiliary": output.auxiliary}
    found |= {f"gradient.{name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    found |= {f"state.{name}": value for name, value in model.state_dict().items() if name == "queue"}
    return {name: value.detach().clone() for name, value in found.items()} | {"norm": torch.tensor(norm)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, images = Path(sys.argv[1]), sys.argv[2]
    with join("cpu") as ranks:
        for choice in CHOICES:
            found = step(choice, images, ranks, *sys.argv[3:])
            safetensors.torch.save_file(found, folder / f"{choice}-{ranks.rank}.safetensors")
