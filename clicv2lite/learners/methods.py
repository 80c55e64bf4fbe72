"""What can be pretrained: CLICv2 and the two methods that the paper compares it with, behind one loop (chapters 7 and 9)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from clicv2lite.learners import clic, moco
from clicv2lite.method import views
from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.method.views import ViewConfig
from clicv2lite.recipes.recipe import Recipe

# each has .query, the ViT that is exported; called on views it gives an Output; update_key() follows an optimizer step
Learner = CLICv2 | moco.MoCo


@dataclass(frozen=True)
class Method:
    """A way to pretrain, as three functions."""

    build: Callable[[Recipe], Learner]
    draws_per_image: Callable[[ViewConfig], int]  # uniform numbers that make_views consumes for an image
    make_views: Callable[[Tensor, Tensor, ViewConfig], Any]  # (B, 3, H, W) uint8, (B, draws) noise -> views of the batch


METHODS = {
    "clicv2": Method(lambda recipe: CLICv2(recipe.model), views.draws_per_image, views.make_views),
    "moco": Method(lambda recipe: moco.MoCo(recipe.model, recipe.queue), moco.draws_per_image, moco.make_views),
    "clic": Method(lambda recipe: clic.CLIC(recipe.model, recipe.queue), clic.draws_per_image, clic.make_views),
}
