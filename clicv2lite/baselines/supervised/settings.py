"""What a supervised baseline is, and its settings at three sizes (CLICv2, table 1; book chapter 11).

`full` is what the method's paper trained, ImageNet weights and all. `lite` is what two processor cores do in about half an
hour: small images, a ResNet-18 from scratch, one optimizer for all. `ci` takes seconds and proves the path, not the method.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from clicv2lite.baselines.supervised.backbones import Weights
from clicv2lite.heads.icnet import score_and_map_loss

Scale = Literal["ci", "lite", "full"]
SIZES: tuple[Scale, ...] = ("ci", "lite", "full")


class Supervised(Protocol):
    """What a supervised baseline is, besides a torch module."""

    def loss(self, images: Tensor, ratings: Tensor) -> Tensor:
        """(B, 3, S, S) normalised, (B,) in 0..1 -> scalar."""
        ...

    def predict(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised -> (B,) scores."""
        ...


class MapAndScore(nn.Module):
    """A baseline whose forward gives a score (B,) and a map (B, h, w), both in 0..1, held to the ratings as ICNet's are."""

    def loss(self, images: Tensor, ratings: Tensor) -> Tensor:
        """0.9 of the score's squared error and 0.1 of that of the map's mean; ratings (B,) in 0..1."""
        score, complexity = (found.float() for found in self(images))
        return score_and_map_loss(score, complexity, ratings)

    def predict(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised -> (B,) scores."""
        score: Tensor = self(images)[0]
        return score


@dataclass(frozen=True)
class Settings:
    """How a baseline is built and trained. Learning rates fall by `decay` after each epoch named in `milestones`."""

    backbone: str | None  # None: the network is built as a whole
    side: int  # pixels; images are squashed to squares
    epochs: int
    batch: int
    optimizer: Literal["sgd", "adam"]
    lr: float
    weight_decay: float
    head_lr: float = 1.0  # factor on the learning rate of what is not the backbone
    momentum: float = 0.9  # of SGD; Adam's first beta
    beta2: float = 0.999  # Adam's second
    milestones: tuple[int, ...] = ()
    decay: float = 0.1
    steady: bool = False  # the backbone keeps its learning rate
    warmup: int = 0  # epochs of rising learning rate
    crop: int = 0  # side of random crops; 0: the whole image
    crops: int = 1  # crops of an image, an epoch and in a prediction
    weights: Weights = "scratch"


@dataclass(frozen=True)
class Baseline:
    """A network and how its paper trains it; each file of `networks` ends with one."""

    build: Callable[[Any, Weights], nn.Module]  # backbone, None without one; weights
    paper: Settings
    source: str  # what it was built from; tables show it

    def settings(self, size: Scale) -> Settings:
        """The settings of a size; only `full` asks for the paper's input, backbone and ImageNet weights."""
        if size == "full":
            return self.paper
        # from scratch, fine-tuning's small learning rates go nowhere in a few epochs: one Adam for all
        small = replace(
            self.paper, backbone=self.paper.backbone and "resnet18", side=96, epochs=10, batch=16, optimizer="adam", lr=1e-3,
            weight_decay=1e-4, head_lr=1.0, momentum=0.9, beta2=0.999, milestones=(6, 9), decay=0.2, steady=False, warmup=1,
            crop=0, crops=1, weights="scratch",
        )  # fmt: skip
        return small if size == "lite" else replace(small, side=64, epochs=1, batch=8, milestones=())
