"""A training step of the recipe lite: its views, its passes and its update, over batch, patches and width."""

from collections.abc import Callable
from pathlib import Path

from clicv2lite.bench.growth.work import Work
from clicv2lite.bench.measure import Operation
from clicv2lite.bench.step import whole_step
from clicv2lite.recipes.library import get_recipe

PATCH = 16


def works() -> list[Work]:
    """One setting grows at a time; the others are those of the recipe, with a batch of 16."""
    return [
        Work("training step", "images in a batch", (8, 16, 32, 64, 128),
             "1: networks; 2: the loss, all patches of a batch with all; 0: the update", _step(lambda n: [f"batch={n}"])),
        Work("training step", "patches of an image", (16, 36, 64, 144, 196),
             "1: networks; 2: attention and loss", _step(lambda n: ["batch=16", f"size={PATCH * round(n**0.5)}"])),
        Work("training step", "width", (96, 192, 384, 768),
             "2: matrices of width x width; 1: attention, views, normalisation", _step(lambda n: ["batch=16", f"width={n}"])),
    ]  # fmt: skip


def _step(settings: Callable[[int], list[str]]) -> Callable[[int, Path], Operation]:
    def prepare(size: int, folder: Path) -> Operation:
        return whole_step(get_recipe("lite", [f"patch={PATCH}", *settings(size)]))

    return prepare
