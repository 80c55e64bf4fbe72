"""The pretraining loop: from a recipe and images to an encoder, on one rank or many (CLICv2, section 4.1; chapter 7)."""

import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clicv2lite.ambient import own_settings
from clicv2lite.data.identity import identity
from clicv2lite.data.sources import ImageSet, open_images
from clicv2lite.device import autocast
from clicv2lite.distributed import Ranks, join, without_exchange
from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.extras import need
from clicv2lite.interrupts import Stop
from clicv2lite.learners import METHODS
from clicv2lite.lines import progress
from clicv2lite.method.clicv2 import Keys, Output
from clicv2lite.method.encoder import prepare
from clicv2lite.method.masking import visible_count
from clicv2lite.method.momentum import QueryAndKey
from clicv2lite.method.views import uniform
from clicv2lite.pretrain import checkpoint
from clicv2lite.pretrain.cost.room import check_memory
from clicv2lite.pretrain.folder import claim, list_bad
from clicv2lite.pretrain.input.feed import Batch, Feed
from clicv2lite.pretrain.monitor import Monitor, Watch
from clicv2lite.pretrain.optim import learning_rate, make_optimizer
from clicv2lite.pretrain.products import bfloat16_products
from clicv2lite.recipes.recipe import Recipe

LOSSES = ("total", "contrast", "auxiliary")


@dataclass(frozen=True)
class Pretraining:
    """The arguments of :func:`pretrain`.

    Attributes:
        recipe: the complete configuration.
        images: folders, tars, brace patterns, ``embedded`` or ``worlds:N``.
        out: folder of the run. On many machines it must be a folder that all of them see.
        resume: go on from the newest complete checkpoint, or start if there is none. A restart by torchrun always resumes.
        device: as for `choose_device`. Under torchrun each local rank has its own GPU.
        progress: show a bar with images/s and the remaining time on standard error.
        watch: what is measured during the run.
        recipe_file: the file that the recipe was read from; it is copied into the folder of the run.
    """

    recipe: Recipe
    images: Sequence[str]
    out: Path
    resume: bool = False
    device: str = "auto"
    progress: bool = True
    watch: Watch = field(default_factory=Watch)
    recipe_file: Path | None = None


@own_settings()
def pretrain(what: Pretraining) -> bool:
    """Pretrain and write out/config.json, metrics.jsonl, checkpoints/ and, at the end, encoder.safetensors.

    The order of the samples, the crops, shifts and masks depend only on (seed, epoch, index). So a resumed run ends with the
    same weights as a run that was never stopped. Under torchrun every rank calls this function with the same arguments.

    Returns:
        True if the run is finished; False if SIGTERM or SIGINT stopped it (it saves first).
        The caller's settings of torch and NumPy and torch's random numbers neither change the run nor are changed by it.

    Raises:
        UserError: if images or folders cannot be used, ranks see different images, another recipe wrote the run, or a loss is
            not finite.
    """
    began = time.perf_counter()
    need("train", "simplejpeg", "timm")  # refused before a folder is made
    what.watch.need_packages()
    what = replace(what, resume=what.resume or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0)
    with torch.random.fork_rng(devices=[]), join(what.device) as ranks:  # the caller's random numbers go on as before
        return _train(what, ranks, began)


def _train(what: Pretraining, ranks: Ranks, began: float) -> bool:
    """The part of `pretrain` between joining and leaving the ranks. Its objects must be gone before `join` ends."""
    recipe, out = what.recipe, what.out
    ranks.share(recipe.batch)  # fail early, before the images are read
    ranks.first_alone(what.watch.check)
    ranks.first_alone(lambda: check_memory(recipe, ranks.device, ranks.size))
    images = _open(what, ranks)
    model, optimizer = _build(recipe, ranks.device)
    done = checkpoint.restore(out / "checkpoints", model, optimizer, ranks) if what.resume else 0
    monitor = ranks.first_alone(lambda: Monitor(out, recipe, ranks.device, ranks.size, done, what.watch))
    with Feed(images, recipe, ranks.rank, ranks.size, done, what.progress and ranks.first) as feed:
        finished = _loop(what, ranks, model, optimizer, feed, monitor, began)
        list_bad(feed.bad, out, ranks)
    if monitor and finished:
        monitor.close()
        FrozenEncoder(str(out), model.query, FrozenConfig(recipe.encoder, recipe.pool)).save(out)
    return finished


def _loop(
    what: Pretraining,
    ranks: Ranks,
    model: QueryAndKey,
    optimizer: torch.optim.Optimizer,
    feed: Feed,
    monitor: Monitor | None,
    began: float,
) -> bool:
    """Run all remaining steps, with log, probes and checkpoints. If asked to stop, save and return False."""
    recipe, done = what.recipe, feed.start
    wrapped = wrap(model, recipe, ranks)
    total, quiet = recipe.steps * recipe.batch, not (what.progress and ranks.first)
    bar = progress(total, recipe.name, initial=done * recipe.batch, disable=quiet)
    with bar, Stop() as stop:
        first = time.perf_counter()
        for batch in feed:
            step = batch.step + 1
            output, norm = train_step(wrapped, optimizer, batch, recipe, ranks)
            bar.update(recipe.batch)
            if monitor and (step % recipe.log_every == 0 or step == recipe.steps):
                now = time.perf_counter()
                rate, wait = (step - done) * recipe.batch / (now - first), feed.waited / (now - first)
                monitor.record(batch.step, output, norm, rate, wait, monitor.seconds + now - began)
                losses = " ".join(f"{name} {value.item():.3f}" for name, value in monitor.losses(output).items())
                bar.set_postfix_str(losses, refresh=False)  # the bar itself says when: every 30 s in a log file
            if monitor and monitor.probe_due(batch.step):
                monitor.probe(batch.step, model)
            stopping = ranks.any(stop.asked > 0)
            if step % recipe.save_every == 0 or step == recipe.steps or stopping:
                if ranks.first:
                    checkpoint.save(what.out / "checkpoints", step, model, optimizer)
                list_bad(feed.bad, what.out, ranks)
            if stopping:
                return False
    return True


def wrap(model: QueryAndKey, recipe: Recipe, ranks: Ranks) -> nn.Module:
    """Wrap the model for several ranks (:meth:`~clicv2lite.distributed.Ranks.wrap`).

    The decoder gets no gradient if no patch is masked, also when a mask ratio above 0 rounds to none of these patches.
    """
    patches = (recipe.size // recipe.patch) ** 2
    unused = getattr(model, "decoder", None) is not None and visible_count(patches, recipe.mask_ratio) == patches
    return ranks.wrap(model, unused)


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, recipe: Recipe, ranks: Ranks | None = None
) -> tuple[Output, float]:
    """One optimizer step (equation 12) on a global batch. This rank works on its share, in micro-batches.

    The keys of all ranks are computed before the first query, because they need no gradient. So the size of the micro-batches
    and the number of ranks change neither the loss nor its gradient.

    Args:
        model: the model that a method builds, or the same wrapped by :meth:`~clicv2lite.distributed.Ranks.wrap`.
        batch: the images of this rank.
        ranks: None if there is only one rank.

    Returns:
        the losses of the global batch with the features of this rank's images, and the gradient norm before clipping.

    Raises:
        UserError: if the loss or the gradient is not finite. The weights are not changed then.
    """
    ranks = ranks or Ranks()
    learner: Any = getattr(model, "module", model)  # wrapped or not
    where = next(model.parameters()).device
    method, size, whole = METHODS[recipe.method], recipe.micro or len(batch.images), len(batch.images)
    noise = uniform(recipe.seed, batch.epoch, batch.index, method.draws_per_image(recipe.views))
    cut = zip(batch.images.split(size), noise.split(size), strict=True)
    views = [method.make_views(images.to(where), draws.to(where), recipe.views) for images, draws in cut]
    wide = bfloat16_products(where, recipe.precision, recipe.compile)
    with autocast(where, recipe.precision), wide:
        own = [learner.keys(part) for part in views]
    features = ranks.gather(torch.cat([keys.features for keys in own]))
    places = ranks.gather(torch.cat([keys.places for keys in own]))

    for group in optimizer.param_groups:
        group["lr"] = learning_rate(batch.step, recipe)
    optimizer.zero_grad(set_to_none=True)
    outputs: list[Output] = []
    for n, part in enumerate(views):
        keys = Keys(features, places, first=ranks.rank * whole + n * size)
        with wide, nullcontext() if n == len(views) - 1 else without_exchange(model):
            with autocast(where, recipe.precision):
                output = model(part, keys)
            weight = len(output.queries) / whole  # share of this micro-batch in the mean over the rank's images
            (weight * output.total).backward()
        outputs.append(output._replace(**{loss: weight * getattr(output, loss).detach() for loss in LOSSES}))
    output = _joined(outputs, ranks)
    _check_finite("loss", output.total, batch, output, ranks)
    norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    _check_finite("gradient norm", norm, batch, output, ranks)
    optimizer.step()
    learner.update_key()
    return output, float(norm)


def _joined(parts: list[Output], ranks: Ranks) -> Output:
    """Sum the weighted losses over micro-batches, average them over ranks, and join the features of this rank's images."""
    total, contrast, auxiliary = ranks.mean(torch.stack([sum(getattr(part, loss) for part in parts) for loss in LOSSES]))
    queries, keys = (torch.cat(features) for features in zip(*((part.queries, part.keys) for part in parts), strict=True))
    return Output(total, contrast, auxiliary, queries, keys)


def _check_finite(what: str, value: Tensor, batch: Batch, output: Output, ranks: Ranks) -> None:
    """Stop all ranks before a value that is not finite reaches a weight. Name images with broken features, or some others."""
    if torch.isfinite(value):
        return
    broken = ~(output.queries.isfinite().flatten(1).all(1) & output.keys.isfinite().flatten(1).all(1)).cpu().numpy()
    found = ranks.collect(([batch.names[i] for i in batch.index[broken][:3]], [batch.names[i] for i in batch.index[:3]]))
    names = [name for part, _ in found for name in part] or [name for _, part in found for name in part]
    ranks.refuse(f"step {batch.step + 1}: the {what} is {value.item()} (images {', '.join(names[:3])}, ...); lower --set lr")


def _open(what: Pretraining, ranks: Ranks) -> ImageSet:
    """Open the images, check that all ranks see the same ones, and claim the folder of the run."""
    found: ImageSet | None = ranks.first_alone(lambda: open_images(what.images))
    images = open_images(what.images) if found is None else found
    about = {"images": len(images), "images_sha256": identity(images)}
    seen = ranks.collect(about)
    if any(other != about for other in seen):
        counts = sorted({other["images"] for other in seen})
        differ = f"from {counts[0]} to {counts[-1]} images" if len(counts) > 1 else "images of other names or sizes"
        ranks.refuse(f"--images {' '.join(what.images)}: ranks see {differ}; make the data the same on all machines")
    kept = what.recipe_file.read_bytes() if what.recipe_file else None
    ranks.first_alone(lambda: claim(what.out, what.recipe, about, what.resume, ranks, kept))
    return images


def _build(recipe: Recipe, device: torch.device) -> tuple[QueryAndKey, torch.optim.Optimizer]:
    torch.default_generator.manual_seed(recipe.seed)  # the weights are drawn on the CPU
    model = METHODS[recipe.method].build(recipe.model, recipe.learner).to(device)
    if device.type == "cpu":
        plain_attention(model)
    for part in (model.query, model.key, getattr(model, "decoder", None)):
        if part is not None:
            prepare(part, recipe.compile, recipe.checkpointing)
    return model, make_optimizer(model, recipe)


def plain_attention(model: nn.Module) -> None:
    """Let timm's blocks use two matrix products. For a few dozen tokens on a CPU they are faster than the fused kernel."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # type: ignore[assignment]
