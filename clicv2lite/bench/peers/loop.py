"""A whole training loop, from files to weights: torchvision's transforms in a DataLoader against our feed and engine."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from clicv2lite.bench.peers.input import decoded
from clicv2lite.bench.peers.jpegs import stored
from clicv2lite.bench.peers.row import Comparison, Sides
from clicv2lite.data.sources import open_images
from clicv2lite.extras import extra
from clicv2lite.learners import METHODS
from clicv2lite.learners.moco import Crops
from clicv2lite.method.momentum import QueryAndKey
from clicv2lite.method.pixels import normalize
from clicv2lite.pretrain.engine import plain_attention, train_step
from clicv2lite.pretrain.input.feed import Feed
from clicv2lite.pretrain.optim import make_optimizer
from clicv2lite.recipes.library import get_recipe
from clicv2lite.recipes.recipe import Recipe

BATCH, SIZE, WORKERS = 32, 128, 1
SHAPE: list[str] = []  # settings that change the shape of lite's encoder
BLUR = 5, (0.1, 2.0)  # taps and range of sigma of torchvision's blur


def comparisons() -> list[Comparison]:
    """MoCo, since its views are what torchvision's transforms make."""
    same = (
        f"one pass over {stored().what}, MoCo, two crops of {SIZE} px, flip, brightness, contrast, saturation, blur, batches "
        f"of {BATCH}, the encoder and head of lite, float32, AdamW (fused), gradient clipped, {WORKERS} worker"
    )
    ours = "thread; decodes once for each of the two crops; colours and blur of the whole batch in the training thread"
    theirs = "process that stays between the passes; decodes once, all transforms (v2) image by image in the worker"
    return [Comparison("training loop", "torchvision", same, ours, theirs, loop, counted=False)]


class TwoViews(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """A file -> two views of it, (3, size, size) float32, normalised."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        with extra("train"):
            from torchvision.transforms import v2

        self.paths = sorted(folder.glob("*.jpg"))
        self.view = v2.Compose([
            v2.RandomResizedCrop(recipe.size, scale=(recipe.crop_min, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(recipe.color, recipe.color, recipe.color),
            v2.RandomApply([v2.GaussianBlur(*BLUR)], recipe.blur),
            v2.ToDtype(torch.float32, scale=True),
            normalize,
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        image = decoded(self.paths[i].read_bytes())
        return self.view(image), self.view(image)


def loop() -> Sides:
    """The engine's step on the batches of our feed, and the loop that one would write."""
    folder = stored().folder
    images = open_images([str(folder)])
    settings = ["method=moco", "store=0", f"size={SIZE}", f"batch={BATCH}", f"passes={len(images)}", f"workers={WORKERS}"]
    recipe = get_recipe("lite", [*settings, "queue=256", *SHAPE])
    loader = torch.utils.data.DataLoader(
        TwoViews(folder, recipe), BATCH, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True
    )
    own, plain = model_of(recipe), model_of(recipe)
    own_optimizer, optimizer = make_optimizer(own, recipe), make_optimizer(plain, recipe)

    def ours() -> list[torch.Size]:
        with Feed(images, recipe, progress=False) as feed:
            return [train_step(own, own_optimizer, batch, recipe)[0].queries.shape for batch in feed]

    def there() -> Iterator[torch.Size]:
        for query, key in loader:
            output = plain(Crops(query, key))
            optimizer.zero_grad(set_to_none=True)
            output.total.backward()
            nn.utils.clip_grad_norm_(plain.parameters(), recipe.clip)
            optimizer.step()
            plain.update_key()
            yield output.queries.shape

    return ours, lambda: list(there())


def model_of(recipe: Recipe) -> QueryAndKey:
    """The same network for both, with the same kernels."""
    model = METHODS[recipe.method].build(recipe.model, recipe.learner)
    plain_attention(model)
    return model
