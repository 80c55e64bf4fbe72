"""What one training step of CLICv2 computes, and what its update moves, on a real batch (book chapter 6)."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.method.encoder import encode_visible
from clicv2lite.method.masking import put, random_mask
from clicv2lite.method.patches import patchify
from clicv2lite.method.views import (
    CROP_DRAWS,
    PATCH_DRAWS,
    ViewConfig,
    Views,
    base_crop,
    draws_per_image,
    make_views,
    one_view,
    uniform,
)  # fmt: skip
from clicv2lite.pretrain.optim import learning_rate, make_optimizer
from clicv2lite.recipes.recipe import Recipe


class StepTensors(NamedTuple):
    """What a training step computes of B images; pictures are of the first one (G patches: V visible, M masked)."""

    crop: Tensor  # (3, S, S) in [0, 1], the base crop
    augmented: Tensor  # (G, 3, p, p), normalised
    shifted: Tensor  # (G, 3, p, p), normalised
    key_view: Tensor  # (G, 3, p, p), normalised
    visible: Tensor  # (V,) int64
    tokens: Tensor  # (V, D)
    keys: Tensor  # (V, d), unit length
    logits: Tensor  # (V, B V), q k / tau
    target: Tensor  # (G,) entropy of the masked patches, bits; nan where visible
    predicted: Tensor  # (G,) of the decoder; nan where visible
    contrast: float  # L_PwIN of the batch, nats
    reconstruction: float  # L_rec of the batch, bits^2
    total: float
    next_total: float  # of the same batch after the update
    moved: dict[str, float]  # part -> length of its move over the length of its weights
    shape: dict[str, int]  # B, G, V, M, N = B V, p, S, D, d


def training_step(images: Tensor, model: CLICv2, recipe: Recipe, seed: int = 0) -> StepTensors:
    """Run one step as the training loop does, and keep what lies between.

    Args:
        images: (B, 3, H, W) uint8, at least as large as the recipe's crop.
        model: it stays as it is; a copy is trained.
        recipe: the one that the model was pretrained with. The optimizer is new, so the
            learning rate is that of a run's first step.
        seed: of the crop, the mask and the views.
    """
    config, number = recipe.views, np.arange(len(images))
    noise = uniform(seed, np.zeros_like(number), number, draws_per_image(config))
    views = make_views(images, noise, config)
    learner = _copy(model)
    with torch.no_grad():
        before = learner(views)
    places, (v, m) = config.grid[0] * config.grid[1], (views.visible.shape[1], views.masked.shape[1])
    # the first image's whole grid, from the same numbers as in make_views()
    crop = base_crop(images[:1], noise[:1, :CROP_DRAWS], config)
    clean = patchify(crop, config.patch)
    draws = noise[:1, CROP_DRAWS + places :][:, : 2 * places * PATCH_DRAWS].reshape(1, places, 2, PATCH_DRAWS)
    visible, _ = random_mask(noise[:1, CROP_DRAWS : CROP_DRAWS + places], config.mask_ratio)
    with torch.no_grad():
        tokens = encode_visible(learner.query, views.query, views.visible)
        assert learner.decoder is not None
        predicted = learner.decoder(tokens, views.visible, views.masked)
    blank = torch.full((1,), torch.nan)
    target, guess = (put(each[:1], views.masked[:1], blank, places)[0, :, 0] for each in (views.target, predicted))
    moved, after = _update(learner, recipe, views)
    return StepTensors(
        crop=crop[0],
        augmented=one_view(clean, draws[:, :, 0], _unshifted(config))[0],
        shifted=one_view(clean, draws[:, :, 0], config)[0],
        key_view=one_view(clean, draws[:, :, 1], config)[0],
        visible=visible[0],
        tokens=tokens[0],
        keys=before.keys[0],
        logits=before.queries[0] @ before.keys.flatten(0, 1).T / model.config.temperature,
        target=target,
        predicted=guess,
        contrast=float(before.contrast),
        reconstruction=float(before.auxiliary),
        total=float(before.total),
        next_total=after,
        moved=moved,
        shape={
            "B": len(images), "G": places, "V": v, "M": m, "N": v * len(images), "p": config.patch, "S": config.size,
            "D": tokens.shape[-1], "d": before.keys.shape[-1],
        },
    )  # fmt: skip


def _unshifted(config: ViewConfig) -> ViewConfig:
    return replace(config, max_shift=0)


def _copy(model: CLICv2) -> CLICv2:
    """The same weights, ready to be trained: what learns has gradients, whatever the model's have been switched to."""
    with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
        learner = CLICv2(model.config)
    learner.load_state_dict(model.state_dict())
    return learner.eval()


def _update(learner: CLICv2, recipe: Recipe, views: Views) -> tuple[dict[str, float], float]:
    """One step of the optimizer and of the key encoder: how far each part moved, and the loss of the same batch after it."""
    parts = {name: getattr(learner, name) for name in ("query", "query_head", "decoder", "key", "key_head")}
    old = {name: parameters_to_vector(part.parameters()).detach().clone() for name, part in parts.items()}
    optimizer = make_optimizer(learner, replace(recipe, lr=learning_rate(0, recipe)))
    learner(views).total.backward()
    torch.nn.utils.clip_grad_norm_([p for p in learner.parameters() if p.grad is not None], recipe.clip)
    optimizer.step()
    learner.update_key()
    new = {name: parameters_to_vector(part.parameters()).detach() for name, part in parts.items()}
    moved = {name.replace("_", " "): float((new[name] - old[name]).norm() / old[name].norm()) for name in parts}
    with torch.no_grad():
        return moved, float(learner(views).total)
