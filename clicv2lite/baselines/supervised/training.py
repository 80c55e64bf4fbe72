"""How a supervised baseline is trained and how it predicts: optimizer, schedule, crops (CLICv2, table 1; book chapter 11)."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from clicv2lite.ambient import own_settings
from clicv2lite.arrays import Floats
from clicv2lite.baselines.supervised.networks import BASELINES
from clicv2lite.baselines.supervised.settings import Settings, Supervised
from clicv2lite.device import CPU, autocast
from clicv2lite.errors import UserError
from clicv2lite.method.pixels import normalize

GRID = 5  # crops of a prediction lie on a grid of this many a side


@own_settings()
def train(
    name: str,
    settings: Settings,
    images: Tensor,
    ratings: Floats,
    seed: int,
    label: str = "training",
    device: torch.device = CPU,
) -> nn.Module:
    """Train a baseline; the same seed gives the same network on the same kind of processor.

    Args:
        images: (n, 3, side, side) uint8. ratings: (n,) in 0..1.
        label: what the progress bar says.
        device: where it is trained.

    Raises:
        UserError: if the loss stops being finite, or from building the network (weights or a package that are not there).
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # weights, dropout
        net = BASELINES[name].build(settings.backbone, settings.weights).to(device).train()
        draws = torch.Generator().manual_seed(seed)
        optimizer = make_optimizer(net, settings)
        base = [group["lr"] for group in optimizer.param_groups]
        steps = -(-len(images) * settings.crops // settings.batch)
        target = torch.as_tensor(ratings, dtype=torch.float32)
        bar = tqdm(range(settings.epochs), label, unit="epoch", disable=None)
        for epoch in bar:
            for step, rows in enumerate(order(len(images), settings, draws)):
                factor = learning_rate(epoch + step / steps, settings)
                for group, lr in zip(optimizer.param_groups, base, strict=True):
                    group["lr"] = lr if group["steady"] else lr * factor
                with autocast(device):
                    batch = normalize(augment(images[rows], settings.crop, draws).to(device).float() / 255)
                    loss = cast(Supervised, net).loss(batch, target[rows].to(device))
                if not torch.isfinite(loss):
                    raise UserError(f"--model {name}: the loss became {loss.item()}; lower --lr (now {settings.lr})")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            bar.set_postfix(loss=loss.item(), refresh=False)
    return net.eval()


@own_settings()
@torch.inference_mode()
def predict(net: nn.Module, images: Tensor, settings: Settings) -> Floats:
    """(n,) scores of (n, 3, side, side) uint8 images, in float32; with crops, the mean over a grid of them."""
    device = next(net.parameters()).device
    found = []
    for part in images.split(16):
        squares = normalize(part.to(device).float() / 255)
        views = [cast(Supervised, net).predict(view) for view in crops(squares, settings)]
        found.append(torch.stack(views).mean(0).cpu().double())
    return torch.cat(found).numpy()


def make_optimizer(net: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """SGD or Adam; what does not belong to `backbone` learns `head_lr` times as fast; a `steady` group keeps its rate."""
    inside = [p for name, p in net.named_parameters() if name.startswith("backbone.")]
    outside = [p for name, p in net.named_parameters() if not name.startswith("backbone.")]
    groups: list[dict[str, Any]] = [
        {"params": parameters, "lr": settings.lr * factor, "steady": steady}
        for parameters, factor, steady in ((inside, 1.0, settings.steady), (outside, settings.head_lr, False))
        if parameters
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)
    return torch.optim.Adam(groups, betas=(settings.momentum, settings.beta2), weight_decay=settings.weight_decay)


def learning_rate(epoch: float, settings: Settings) -> float:
    """Factor on the learning rate at a fractional epoch: a linear warm-up, then steps."""
    if epoch < settings.warmup:
        return max(epoch, 0.01) / settings.warmup
    return settings.decay ** sum(epoch >= milestone for milestone in settings.milestones)


def order(count: int, settings: Settings, draws: torch.Generator) -> Iterator[Tensor]:
    """Rows of one epoch in batches, each image as often as it has crops; a last batch of one joins its neighbour."""
    rows = torch.randperm(count * settings.crops, generator=draws) % count
    parts = list(rows.split(settings.batch))
    if len(parts) > 1 and len(parts[-1]) == 1:  # batch normalisation needs two
        parts[-2:] = [torch.cat(parts[-2:])]
    yield from parts


def augment(images: Tensor, crop: int, draws: torch.Generator) -> Tensor:
    """Mirror each image with probability 1/2, and cut a random square of `crop` pixels out of it; (B, 3, S, S) uint8."""
    mirror = torch.rand(len(images), generator=draws) < 0.5
    images = torch.where(mirror[:, None, None, None], images.flip(-1), images)
    if not crop:
        return images
    corners = torch.randint(images.shape[-1] - crop + 1, (len(images), 2), generator=draws).tolist()
    return torch.stack([x[:, y : y + crop, z : z + crop] for x, (y, z) in zip(images, corners, strict=True)])


def crops(images: Tensor, settings: Settings) -> Iterator[Tensor]:
    """What a prediction averages: the whole images, or crops on a grid, deterministic where the paper draws them."""
    if not settings.crop:
        yield images
        return
    ends = np.linspace(0, images.shape[-1] - settings.crop, GRID).round().astype(int)
    for y in ends:
        for x in ends:
            yield images[:, :, y : y + settings.crop, x : x + settings.crop]
