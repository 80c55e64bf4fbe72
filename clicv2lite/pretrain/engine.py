"""The pretraining loop, from a recipe and images to an encoder (CLICv2, section 4.1; book chapter 7)."""

import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from clicv2lite.atomic import write_json
from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError
from clicv2lite.features import FrozenConfig, FrozenEncoder
from clicv2lite.model import Output
from clicv2lite.precision import autocast
from clicv2lite.pretrain import checkpoint
from clicv2lite.pretrain.methods import METHODS, Learner
from clicv2lite.pretrain.monitor import Log, diagnostics
from clicv2lite.pretrain.optim import learning_rate, make_optimizer
from clicv2lite.pretrain.order import samples
from clicv2lite.pretrain.recipes import Recipe
from clicv2lite.pretrain.store import ImageStore
from clicv2lite.provenance import provenance
from clicv2lite.views import uniform


def pretrain(
    recipe: Recipe,
    sources: Sequence[str],
    out: Path,
    resume: bool = False,
    device: str | None = None,
    progress: bool = True,
) -> bool:
    """Pretrain and write out/config.json, metrics.jsonl, checkpoints/ and, at the end, encoder.safetensors.

    The sample order, the crops, shifts and masks are functions of (seed, epoch, index) alone, so a resumed run ends in the
    same weights as one that was never stopped.

    Args:
        recipe: the complete configuration.
        sources: folders, tars, brace patterns, ``embedded`` or ``worlds:N``.
        out: folder of the run.
        resume: go on from the newest whole checkpoint; start afresh when there is none.
        device: ``cuda`` or ``cpu``; None takes a GPU when there is one.
        progress: show a bar with images/s and the time left on standard error.

    Returns:
        True when finished; False when stopped by SIGTERM or SIGINT, after saving.

    Raises:
        UserError: for sources or folders that cannot be used, a run that another recipe wrote, or a loss that is not finite.
    """
    began = time.perf_counter()
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no usable GPU here; leave the option out")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    images = open_images(sources)
    _claim(out, recipe, len(images), resume, where)
    store = ImageStore(images, recipe.store, workers=os.cpu_count() or 1, progress=progress)
    torch.manual_seed(recipe.seed)
    model = METHODS[recipe.method].build(recipe).to(where)
    if where.type == "cpu":
        plain_attention(model)
    optimizer = make_optimizer(model, recipe)
    done = checkpoint.restore(out / "checkpoints", model, optimizer) if resume else 0
    log = Log(out / "metrics.jsonl", done)
    first = time.perf_counter()
    total, already = recipe.steps * recipe.batch, done * recipe.batch
    bar = tqdm(total=total, initial=already, unit="img", desc=recipe.name, disable=not progress)
    with bar, _Stop() as stop:
        for step in range(done, recipe.steps):
            output, norm = train_step(model, optimizer, store, recipe, step)
            bar.update(recipe.batch)
            if (step + 1) % recipe.log_every == 0 or step + 1 == recipe.steps:
                now = time.perf_counter()
                rate, seconds = (step + 1 - done) * recipe.batch / (now - first), log.seconds + now - began
                row = _row(recipe, step, output, norm) | {"images_per_second": round(rate, 1), "seconds": round(seconds, 1)}
                log.write(row)
                bar.set_postfix_str(f"contrast {row['contrast']:.3f} entropy {row['entropy']:.3f}")
            if (step + 1) % recipe.save_every == 0 or stop.asked:
                checkpoint.save(out / "checkpoints", step + 1, model, optimizer)
            if stop.asked:
                return False
    _report_bad(store, out)
    FrozenEncoder(str(out), model.query, FrozenConfig(recipe.encoder, recipe.pool)).save(out)
    return True


def train_step(
    model: Learner, optimizer: torch.optim.Optimizer, store: ImageStore, recipe: Recipe, step: int
) -> tuple[Output, float]:
    """One optimizer step on one batch; returns the losses and the gradient norm before clipping.

    Raises:
        UserError: before the weights change, if the loss or the gradient is not finite.
    """
    where = next(model.parameters()).device
    epoch, index = samples(recipe.seed, len(store), step * recipe.batch, recipe.batch)
    method = METHODS[recipe.method]
    noise = uniform(recipe.seed, epoch, index, method.draws_per_image(recipe.views))
    views = method.make_views(store.batch(index).to(where), noise.to(where), recipe.views)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, recipe)
    with autocast(where, recipe.precision):
        output = model(views)
    _check_finite("loss", output.total, step, store, index)
    optimizer.zero_grad(set_to_none=True)
    output.total.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    _check_finite("gradient norm", norm, step, store, index)
    optimizer.step()
    model.update_key()
    return output, float(norm)


def _check_finite(what: str, value: torch.Tensor, step: int, store: ImageStore, index: np.ndarray) -> None:
    if not torch.isfinite(value):
        names = ", ".join(store.images.names[i] for i in index[:3])
        raise UserError(f"step {step + 1}: the {what} is {value.item()} (images {names}, ...); lower --set lr")


def plain_attention(model: nn.Module) -> None:
    """Let timm's blocks use two matrix products: for a few dozen tokens on a CPU faster than the fused kernel."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # type: ignore[assignment]


def _row(recipe: Recipe, step: int, output: Output, norm: float) -> dict[str, Any]:
    return {
        "step": step + 1,
        "passes": (step + 1) * recipe.batch,
        "total": output.total.item(),
        "contrast": output.contrast.item(),
        "entropy": output.entropy.item(),
        "lr": learning_rate(step, recipe),
        "gradient_norm": norm,
        **diagnostics(output.queries, output.keys),
    }


def _claim(out: Path, recipe: Recipe, count: int, resume: bool, device: torch.device) -> None:
    """Write config.json, or check that the run in this folder has the same recipe and data."""
    path = out / "config.json"
    config = json.loads(json.dumps({"recipe": asdict(recipe), "images": count}))
    if path.is_file():
        if not resume:
            raise UserError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out")
        try:
            stored = json.loads(path.read_text())
            older = {"method": "clicv2", "queue": recipe.queue}  # not in the files of runs from before there was a choice
            before = {**older, **stored["recipe"], "images": stored["images"]}
        except (json.JSONDecodeError, KeyError, TypeError):
            raise UserError(f"{path}: not readable as a run's configuration; choose another --out") from None
        now = {**config["recipe"], "images": count}
        changed = [f"{k} {before.get(k)} -> {now.get(k)}" for k in sorted(before | now) if before.get(k) != now.get(k)]
        if changed:
            raise UserError(f"{out}: --resume with other settings ({', '.join(changed)}); choose another --out")
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, {**config, **provenance(device)})
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from None


def _report_bad(store: ImageStore, out: Path) -> None:
    if store.bad:
        lines = "".join(f"{reason}\n" for _, reason in sorted(store.bad.items()))
        (out / "bad_images.txt").write_text(lines)
        tqdm.write(f"{len(store.bad)} images could not be decoded and were replaced; listed in {out / 'bad_images.txt'}")


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
