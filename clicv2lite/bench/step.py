"""One training step of a recipe against its necessary parts: the passes through its networks, and the optimizer."""

import copy
from statistics import median

import numpy as np
import torch

from clicv2lite.bench.measure import Operation, Timing, rounds, timing_of
from clicv2lite.device import CPU, autocast
from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.method.encoder import encode_visible
from clicv2lite.method.views import Views, draws_per_image, make_views, uniform
from clicv2lite.pretrain.cost.budget import image_flops
from clicv2lite.pretrain.cost.hardware import NAMES
from clicv2lite.pretrain.engine import plain_attention, train_step
from clicv2lite.pretrain.input.feed import Batch
from clicv2lite.pretrain.optim import make_optimizer
from clicv2lite.recipes.library import get_recipe
from clicv2lite.recipes.recipe import Recipe

SETTINGS: list[str] = []  # of the recipe lite
GPU_BATCH = 256  # images of a step of ViT-B/32


def bench_step(device: torch.device = CPU) -> list[Timing]:
    """The recipe lite on the CPU; where the device is a GPU of CUDA also ViT-B/32 on it, as it is and compiled."""
    found = [step_timing(get_recipe("lite", SETTINGS), CPU)]
    if device.type == "cuda":
        recipe = get_recipe("vit-b32", [f"batch={GPU_BATCH}"])
        found += [step_timing(recipe, device), step_timing(recipe, device, compiled=True)]
    return found


def step_timing(recipe: Recipe, where: torch.device, compiled: bool = False) -> Timing:
    """Forward, backward and update of one batch on images that are ready.

    The engine's own step also makes the views. Their time is measured too, and subtracted round by round.
    """
    model, batch = CLICv2(recipe.model).to(where), ready(recipe)
    if where.type == "cpu":
        plain_attention(model)
    views = views_of(batch, recipe, where)
    optimizer = make_optimizer(model, recipe)
    bare, least = (floor(copy.deepcopy(model), views, recipe, products) for products in (False, True))
    if compiled:
        model.compile()
    operations: dict[str, Operation] = {
        "whole_step": lambda: train_step(model, optimizer, batch, recipe),
        "views": lambda: views_of(batch, recipe, where),
        "passes_and_optimizer": bare,
        "passes_products_and_optimizer": least,
    }
    seconds = rounds(operations)
    own = [whole - views for whole, views in zip(seconds["whole_step"], seconds["views"], strict=True)]
    name = f"step of {recipe.batch} images, recipe {recipe.name}{', compiled' if compiled else ''}"
    note = "forward, backward and update, without the views"
    if where.type == "cuda":
        card = torch.cuda.get_device_name(where)
        name, note = f"{name}, {card}", f"{note}; {utilisation(recipe, median(own), card)}"
    return timing_of(name, own, seconds, floor="passes_products_and_optimizer", at_most=1.05, note=note)


def whole_step(recipe: Recipe) -> Operation:
    """A step as the engine does it on the processor, its views included, of a new model on images that are ready."""
    model, batch = CLICv2(recipe.model), ready(recipe)
    plain_attention(model)
    optimizer = make_optimizer(model, recipe)
    return lambda: train_step(model, optimizer, batch, recipe)


def ready(recipe: Recipe) -> Batch:
    """A batch of random pixels, where the feed would put those of photographs."""
    side, generator = recipe.store or recipe.size, torch.Generator().manual_seed(0)
    images = torch.randint(256, (recipe.batch, 3, side, side), dtype=torch.uint8, generator=generator)
    index = np.arange(recipe.batch)
    return Batch(0, np.zeros_like(index), index, images, [str(i) for i in index])


def views_of(batch: Batch, recipe: Recipe, where: torch.device) -> Views:
    """The views as the engine makes them: random numbers, base crop, two views, target."""
    noise = uniform(recipe.seed, batch.epoch, batch.index, draws_per_image(recipe.views))
    return make_views(batch.images.to(where), noise.to(where), recipe.views)


def floor(model: CLICv2, views: Views, recipe: Recipe, products: bool) -> Operation:
    """The same encoders, heads and decoder forward and backward, with plain sums as losses, and the optimizer's step.

    With `products`, also the two that InfoNCE needs whatever its form: queries with keys, and their weights with keys.
    """
    optimizer, decoder = make_optimizer(model, recipe), model.decoder
    assert decoder is not None
    where = views.query.device

    def run() -> None:
        with autocast(where, recipe.precision):
            with torch.no_grad():
                keys = model.key_head(encode_visible(model.key, views.key, views.visible)).flatten(0, 1).float()
            tokens = encode_visible(model.query, views.query, views.visible)
            queries = model.query_head(tokens)
            total = queries.sum() + decoder(tokens, views.visible, views.masked).sum()
        if products:
            (queries.detach().flatten(0, 1).float() @ keys.T) @ keys
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()

    return run


def utilisation(recipe: Recipe, seconds: float, name: str) -> str:
    """Model FLOPs per second, and their share of the card's bf16 peak where its data sheet is known."""
    rate = recipe.batch * sum(sum(part) for part in image_flops(recipe).values()) / seconds
    gpu = NAMES.get(name)
    share = f", {100 * rate / gpu.bf16:.0f} % of the peak in bf16" if gpu else ""
    return f"{rate / 1e12:.2f} TFLOP/s{share}"
