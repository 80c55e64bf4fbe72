"""The record of a pretraining method: what it does, which settings it has and what it costs (book chapters 7 and 9).

There is one file per method. It ends with ``METHOD = Method(...)``, and :data:`clicv2lite.learners.METHODS` lists it under the
name of the file. Recipes, the training loop, its log and the budget read this record.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from clicv2lite.method.clicv2 import ModelConfig
from clicv2lite.method.momentum import QueryAndKey
from clicv2lite.method.views import ViewConfig


@dataclass(frozen=True)
class NoSettings:
    """For a method without settings of its own."""


class Step(NamedTuple):
    """The sizes of a training step that decide what a loss costs."""

    batch: int  # images on all ranks
    share: int  # images on one rank
    micro: int  # images in one forward pass
    compared: int  # features per image that the loss compares
    project: int  # numbers per feature
    dense: bool = False  # compute all logits at once, even if the method has another way


class Run(NamedTuple):
    """What the check of a method sees of a recipe."""

    own: Any  # settings that only the method has
    passes: int  # images seen in total
    batch: int  # images per step
    compared: int  # features per image that the loss compares
    negatives: str  # a key of :data:`~clicv2lite.method.infonce.NEGATIVES`


class Price(NamedTuple):
    """What a loss costs in a step. Everything except ``pairs`` is counted on one rank."""

    pairs: int  # logits of the whole batch
    forward: int  # operations per image, forward pass
    backward: int  # operations per image, backward pass
    features: int  # features in memory: keys of all ranks or of a queue, this rank's queries and their gradient
    logits: int  # bytes of the logits that are in memory at the same time


@dataclass(frozen=True)
class Method:
    """A pretraining method. "Own settings" are the settings that only this method has.

    Attributes:
        build: (model, own settings) -> the learner, a :class:`~clicv2lite.method.momentum.QueryAndKey`.
            ``learner(views, keys)`` returns an :class:`~clicv2lite.method.clicv2.Output`. ``learner.keys(views)`` returns the
            :class:`~clicv2lite.method.clicv2.Keys` of a batch. ``learner.update_key()`` is called after an optimizer step.
        draws_per_image: how many uniform numbers `make_views` needs per image.
        make_views: images (B, 3, H, W) uint8 and noise (B, draws) -> the views of the batch.
        price: (step, own settings) -> what the loss costs in a step.
        compared: (model, number of visible patches) -> how many features per image the loss compares.
        auxiliary: the name of the second loss in the log; None if there is no second loss.
        settings: a frozen dataclass of the own settings. Field names are the names on the command line.
        brings: values of common settings that the method changes, unless the user sets them.
        fixed: the part of ``brings`` that the user cannot change.
        crop_draws: one number for each crop that it takes of an image: where the draws of this crop begin in the image's noise.
            With ``store=0`` the base crops are cut with them while the files are read, and `make_views` gets (B, 3, S, S), or
            (B, crops, 3, S, S) if there are several.
        decodes: whether it has a decoder.
        ignores: common settings that it does not read. A user who sets one of them is told so.
        check: the run -> what is wrong, as ``key=value: why and what to do``; None if all is right.
    """

    build: Callable[[ModelConfig, Any], QueryAndKey]
    draws_per_image: Callable[[ViewConfig], int]
    make_views: Callable[[Tensor, Tensor, ViewConfig], Any]
    price: Callable[[Step, Any], Price]
    compared: Callable[[ModelConfig, int], int]
    auxiliary: Callable[[ViewConfig], str | None]
    settings: type = field(default_factory=lambda: NoSettings)
    brings: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    crop_draws: tuple[int, ...] = (0,)
    decodes: bool = False
    ignores: tuple[str, ...] = ()
    check: Callable[[Run], str | None] = lambda run: None
