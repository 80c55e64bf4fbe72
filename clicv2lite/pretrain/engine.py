"""The pretraining loop, from a recipe and images to an encoder, on one rank or many (CLICv2, section 4.1; chapter 7)."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from clicv2lite.data.sources import ImageSet, open_images
from clicv2lite.device import autocast
from clicv2lite.encoders.frozen import FrozenConfig, FrozenEncoder
from clicv2lite.learners.methods import METHODS, Learner
from clicv2lite.method.clicv2 import Keys, Output
from clicv2lite.method.encoder import prepare
from clicv2lite.method.views import uniform
from clicv2lite.pretrain import checkpoint
from clicv2lite.pretrain.distributed import Ranks, join, without_exchange
from clicv2lite.pretrain.folder import claim, list_bad
from clicv2lite.pretrain.input.feed import Batch, Feed
from clicv2lite.pretrain.monitor import Monitor
from clicv2lite.pretrain.optim import learning_rate, make_optimizer
from clicv2lite.recipes.recipe import Recipe

LOSSES = ("total", "contrast", "entropy")


def pretrain(
    recipe: Recipe,
    sources: Sequence[str],
    out: Path,
    resume: bool = False,
    device: str | None = None,
    progress: bool = True,
    tensorboard: bool = False,
    ratings: Path | None = None,
    probe_every: int = 0,
) -> bool:
    """Pretrain and write out/config.json, metrics.jsonl, checkpoints/ and, at the end, encoder.safetensors.

    The sample order, the crops, shifts and masks are functions of (seed, epoch, index) alone, so a resumed run ends in the
    same weights as one that was never stopped. Under torchrun every rank calls this with the same arguments.

    Args:
        recipe: the complete configuration.
        sources: folders, tars, brace patterns, ``embedded`` or ``worlds:N``.
        out: folder of the run; on many machines, one that all of them see.
        resume: go on from the newest whole checkpoint; start afresh when there is none. A restart by torchrun always does.
        device: ``cuda`` or ``cpu``; None takes a GPU when there is one.
        progress: show a bar with images/s and the time left on standard error.
        tensorboard: write the metrics to out/tensorboard, too.
        ratings: a rating table, on which a ridge probe measures the encoder now and then, into out/probes.jsonl.
        probe_every: steps between these probes; 0 for none.

    Returns:
        True when finished; False when stopped by SIGTERM or SIGINT, after saving.

    Raises:
        UserError: for sources or folders that cannot be used, a run that another recipe wrote, or a loss that is not finite.
    """
    began = time.perf_counter()
    resume = resume or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
    watch = (tensorboard, ratings, probe_every)
    with join(device) as ranks:
        return _train(recipe, sources, out, resume, ranks, progress, watch, began)


def _train(
    recipe: Recipe,
    sources: Sequence[str],
    out: Path,
    resume: bool,
    ranks: Ranks,
    progress: bool,
    watch: tuple[bool, Path | None, int],
    began: float,
) -> bool:
    """What `pretrain` does once the ranks have met; a function, so that nothing in it outlives their meeting (see `join`)."""
    ranks.share(recipe.batch)  # an error now, not after the images were read
    found = ranks.first_alone(lambda: _open(recipe, sources, out, resume, ranks))
    images = open_images(sources) if found is None else found
    model, optimizer = _build(recipe, ranks.device)
    done = checkpoint.restore(out / "checkpoints", model, optimizer, ranks) if resume else 0
    wrapped = ranks.wrap(model, unused=recipe.mask_ratio == 0)  # then the decoder has nothing to predict
    monitor = Monitor(out, recipe, ranks.device, ranks.size, done, *watch) if ranks.first else None
    total, already = recipe.steps * recipe.batch, done * recipe.batch
    bar = tqdm(total=total, initial=already, unit="img", desc=recipe.name, disable=not (progress and ranks.first))
    with Feed(images, recipe, ranks.rank, ranks.size, done, progress and ranks.first) as feed, bar, _Stop() as stop:
        first = time.perf_counter()
        for batch in feed:
            step = batch.step + 1
            output, norm = train_step(wrapped, optimizer, batch, recipe, ranks)
            bar.update(recipe.batch)
            if monitor and (step % recipe.log_every == 0 or step == recipe.steps):
                now = time.perf_counter()
                rate, wait = (step - done) * recipe.batch / (now - first), feed.waited / (now - first)
                row = monitor.record(batch.step, output, norm, rate, wait, monitor.seconds + now - began)
                bar.set_postfix_str(f"contrast {row['contrast']:.3f} entropy {row['entropy']:.3f}")
            if monitor and monitor.probe_due(batch.step):
                monitor.probe(batch.step, model)
            stopping = stop.anywhere(ranks)
            if step % recipe.save_every == 0 or stopping:
                if ranks.first:
                    checkpoint.save(out / "checkpoints", step, model, optimizer)
                list_bad(feed.bad, out, ranks)
            if stopping:
                return False
        list_bad(feed.bad, out, ranks)
    if monitor:
        monitor.close()
        FrozenEncoder(str(out), model.query, FrozenConfig(recipe.encoder, recipe.pool)).save(out)
    return True


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, recipe: Recipe, ranks: Ranks | None = None
) -> tuple[Output, float]:
    """One optimizer step on one global batch, of which this rank has its share, cut into micro-batches.

    The keys of all ranks are there before the first query: they need no gradient, so how the batch is cut changes neither
    the loss nor its gradient.

    Args:
        model: from ``METHODS``, or that wrapped by :meth:`~clicv2lite.pretrain.distributed.Ranks.wrap`.
        batch: this rank's images.
        ranks: None if this is the only one.

    Returns:
        the losses of the global batch, the features of this rank's images, and the gradient norm before clipping.

    Raises:
        UserError: before the weights change, if the loss or the gradient is not finite.
    """
    ranks = ranks or Ranks()
    learner: Any = getattr(model, "module", model)  # a Learner, wrapped or not
    where = next(model.parameters()).device
    method, size, whole = METHODS[recipe.method], recipe.micro or len(batch.images), len(batch.images)
    noise = uniform(recipe.seed, batch.epoch, batch.index, method.draws_per_image(recipe.views))
    cut = zip(batch.images.split(size), noise.split(size), strict=True)
    views = [method.make_views(images.to(where), draws.to(where), recipe.views) for images, draws in cut]
    with autocast(where, recipe.precision):
        own = [learner.keys(part) for part in views]
    features = ranks.gather(torch.cat([keys.features for keys in own]))
    places = ranks.gather(torch.cat([keys.places for keys in own]))

    for group in optimizer.param_groups:
        group["lr"] = learning_rate(batch.step, recipe)
    optimizer.zero_grad(set_to_none=True)
    outputs: list[Output] = []
    for n, part in enumerate(views):
        keys = Keys(features, places, first=ranks.rank * whole + n * size)
        with nullcontext() if n == len(views) - 1 else without_exchange(model):
            with autocast(where, recipe.precision):
                output = model(part, keys)
            weight = len(output.queries) / whole  # of a micro-batch in the mean over this rank's images
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
    """The weighted losses of all micro-batches and ranks, and the features of this rank's images."""
    total, contrast, entropy = ranks.mean(torch.stack([sum(getattr(part, loss) for part in parts) for loss in LOSSES]))
    queries, keys = (torch.cat(features) for features in zip(*((part.queries, part.keys) for part in parts), strict=True))
    return Output(total, contrast, entropy, queries, keys)


def _check_finite(what: str, value: Tensor, batch: Batch, output: Output, ranks: Ranks) -> None:
    """Stop all ranks, which have the same value, before it reaches a weight; name images with broken features, or the first."""
    if torch.isfinite(value):
        return
    broken = ~(output.queries.isfinite().flatten(1).all(1) & output.keys.isfinite().flatten(1).all(1)).cpu().numpy()
    found = ranks.collect(([batch.names[i] for i in batch.index[broken][:3]], [batch.names[i] for i in batch.index[:3]]))
    names = [name for part, _ in found for name in part] or [name for _, part in found for name in part]
    ranks.refuse(f"step {batch.step + 1}: the {what} is {value.item()} (images {', '.join(names[:3])}, ...); lower --set lr")


def _open(recipe: Recipe, sources: Sequence[str], out: Path, resume: bool, ranks: Ranks) -> ImageSet:
    """The images, and the folder of the run claimed for them."""
    images = open_images(sources)
    claim(out, recipe, len(images), resume, ranks)
    return images


def _build(recipe: Recipe, device: torch.device) -> tuple[Learner, torch.optim.Optimizer]:
    torch.manual_seed(recipe.seed)
    model = METHODS[recipe.method].build(recipe).to(device)
    if device.type == "cpu":
        plain_attention(model)
    for part in (model.query, model.key, getattr(model, "decoder", None)):
        if part is not None:
            prepare(part, recipe.compile, recipe.checkpointing)
    return model, make_optimizer(model, recipe)


def plain_attention(model: nn.Module) -> None:
    """Let timm's blocks use two matrix products: for a few dozen tokens on a CPU faster than the fused kernel."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # type: ignore[assignment]


class _Stop:
    """While it is open, SIGTERM and SIGINT are remembered, so that the loop can save first."""

    def __init__(self) -> None:
        self.asked = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "_Stop":
        if threading.current_thread() is threading.main_thread():  # only there may signals be handled
            self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def anywhere(self, ranks: Ranks) -> bool:
        """Whether any rank was asked to stop: all of them must save after the same step."""
        return bool(ranks.mean(torch.tensor(float(self.asked), device=ranks.device)) > 0)
