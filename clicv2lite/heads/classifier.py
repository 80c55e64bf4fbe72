"""A linear classifier on frozen features, trained as the field's linear probes of ImageNet are (book chapter 9).

As in MAE (He et al., 2022, table 10): batch normalisation without weights before one linear layer, SGD with momentum 0.9 and
no weight decay, 90 epochs, 10 of them warm-up, cosine to zero, a rate that grows with the batch (rate * batch / 256). Three
things differ, as the features are worked out once and not in each epoch. No crops or flips: an image has one feature vector.
The mean and deviation of the whole training set take the place of those of a batch. And plain SGD in batches of 1,024 needs
no LARS; its rate is the best of several on a part of the training images that is held out, as in DINOv2 (Oquab et al., 2023).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from clicv2lite.ranges import Count, Share

RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # per 256 images, tried side by side
EPS = 1e-6  # of the normalisation, as in MAE


@dataclass(frozen=True)
class ClassifierTraining:
    """How it is trained."""

    epochs: Count = 90
    batch: Count = 1024
    warmup: Share = 1 / 9  # of the steps: 10 epochs of 90
    momentum: Share = 0.9


@dataclass(frozen=True)
class LinearClassifier:
    """weight (C, F) and bias (C,), on features as they come."""

    weight: Tensor
    bias: Tensor

    def best(self, features: Tensor, k: int) -> Tensor:
        """Features (n, F) of any type and device -> the k classes with the highest logits, (n, k) int64, best first."""
        parts = [F.linear(part.to(self.weight), self.weight, self.bias).topk(k).indices for part in features.split(4096)]
        return torch.cat(parts).cpu()

    def loss(self, features: Tensor, labels: Tensor) -> float:
        """Mean cross entropy on features (n, F) with labels (n,)."""
        total = 0.0
        for x, y in zip(features.split(4096), labels.split(4096), strict=True):
            logits = F.linear(x.to(self.weight), self.weight, self.bias)
            total += float(F.cross_entropy(logits, y.to(logits.device), reduction="sum"))
        return total / len(labels)


def fit_classifiers(
    features: Tensor, labels: Tensor, classes: int, rates: Sequence[float], training: ClassifierTraining, seed: int = 0
) -> list[LinearClassifier]:
    """Train one classifier a rate, all on the same batches. They start at zero: the problem is convex.

    Args:
        features: (n, F) of any type, on the device to compute on. labels: (n,) int64 below `classes`.
        rates: learning rates per 256 images. seed: of the order of the images.

    Returns:
        one classifier a rate, float32 on the device of the features.
    """
    device, (n, width) = features.device, features.shape
    mean, deviation = _moments(features)
    heads = [_zero(nn.Linear(width, classes, device=device)) for _ in rates]
    parts = math.ceil(n / training.batch)  # of nearly equal size, so that no small one has the full rate
    scale, steps = n / parts / 256, parts * training.epochs
    groups = [{"params": list(head.parameters()), "lr": rate * scale} for head, rate in zip(heads, rates, strict=True)]
    optimizer = torch.optim.SGD(groups, momentum=training.momentum)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, steps, training.warmup))
    generator = torch.Generator().manual_seed(seed)
    for _ in tqdm(range(training.epochs), desc="classifier", unit="epoch", disable=None):
        for rows in torch.randperm(n, generator=generator).tensor_split(parts):
            x = (features[rows.to(device)].float() - mean) / deviation
            y = labels[rows].to(device)
            loss = torch.stack([F.cross_entropy(head(x), y) for head in heads]).sum()  # each has its own gradient
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return [_unscaled(head, mean, deviation) for head in heads]


def choose_rate(
    features: Tensor, labels: Tensor, classes: int, training: ClassifierTraining, seed: int = 0
) -> dict[float, float]:
    """Train with every one of RATES on nine tenths of the images, drawn by seed.

    Args:
        features: (n, F), n of 2 or more. Others as in `fit_classifiers`.

    Returns:
        rate -> share of the other tenth whose class is right, the best first; of equals, that of the lower loss.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    held, rest = order[: max(1, len(order) // 10)], order[max(1, len(order) // 10) :]
    found = fit_classifiers(features[rest.to(features.device)], labels[rest], classes, RATES, training, seed)
    x, y = features[held.to(features.device)], labels[held]
    right = {rate: float((one.best(x, 1)[:, 0] == y).double().mean()) for rate, one in zip(RATES, found, strict=True)}
    losses = {rate: one.loss(x, y) for rate, one in zip(RATES, found, strict=True)}
    return {rate: right[rate] for rate in sorted(RATES, key=lambda rate: (-right[rate], losses[rate]))}


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over the images, each (F,) float32, worked out in float64 part by part."""
    mean = sum(part.double().sum(0) for part in features.split(65536)) / len(features)
    variance = sum((part.double() - mean).square().sum(0) for part in features.split(65536)) / len(features)
    return mean.float(), (variance + EPS).sqrt().float()


def _share(step: int, steps: int, warmup: float) -> float:
    """Share of the full rate at a step: a line from 0 during the warm-up, then a half cosine to 0."""
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1.0, steps - rising)))


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


@torch.no_grad()
def _unscaled(head: nn.Linear, mean: Tensor, deviation: Tensor) -> LinearClassifier:
    weight = head.weight / deviation
    return LinearClassifier(weight, head.bias - weight @ mean)
