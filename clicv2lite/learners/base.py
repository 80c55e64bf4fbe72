"""What a pretraining method is: a record of what it does, what it sets and what it costs (book chapters 7 and 9).

One file a method: it ends with ``METHOD = Method(...)``, and :data:`clicv2lite.learners.METHODS` finds it under the file's
name. Everything that knows of methods (recipes, the training loop, its log, the budget) asks the record.
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
    """Of a method that has no settings of its own."""


class Step(NamedTuple):
    """What of a training step the price of a loss depends on."""

    batch: int  # images, of all ranks
    share: int  # of them, on one rank
    micro: int  # of them, in one forward pass
    compared: int  # features of an image that the loss compares
    project: int  # numbers of a feature
    dense: bool = False  # all logits at once, where the method has another way


class Price(NamedTuple):
    """What a loss costs in a step, on one rank but for the pairs."""

    pairs: int  # logits of the whole batch
    forward: int  # operations for one image
    backward: int
    features: int  # that are held: keys of all ranks or of a queue, own queries and their gradient
    logits: int  # bytes of those that are held at once


@dataclass(frozen=True)
class Method:
    """A way to pretrain.

    Attributes:
        build: the model and the method's own settings -> the learner, a :class:`~clicv2lite.method.momentum.QueryAndKey`;
            ``learner(views, keys)`` gives an :class:`~clicv2lite.method.clicv2.Output`, ``learner.keys(views)`` the
            :class:`~clicv2lite.method.clicv2.Keys` of a batch, and ``learner.update_key()`` follows an optimizer step.
        draws_per_image: uniform numbers that `make_views` consumes for an image.
        make_views: (B, 3, H, W) uint8, (B, draws) noise -> views of the batch.
        price: what the loss costs in a step, with the method's own settings.
        compared: features of an image that the loss compares, from the model and the number of visible patches.
        auxiliary: what the log calls the second loss; None if there is none.
        settings: a frozen dataclass of the method's own settings, each under its name on the command line.
        brings: other settings that it changes, unless they are set themselves.
        fixed: of these, those that have no other value here.
        crops: of an image that it takes; with more than one, images are kept as squares (``store``).
        decodes: whether it has a decoder.
        check: own settings and the run's passes -> what is wrong, as ``key=value: why and what to do``; None if nothing is.
    """

    build: Callable[[ModelConfig, Any], QueryAndKey]
    draws_per_image: Callable[[ViewConfig], int]
    make_views: Callable[[Tensor, Tensor, ViewConfig], Any]
    price: Callable[[Step, Any], Price]
    compared: Callable[[ModelConfig, int], int]
    auxiliary: Callable[[ViewConfig], str | None]
    settings: type = NoSettings
    brings: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    crops: int = 1
    decodes: bool = False
    check: Callable[[Any, int], str | None] = lambda own, passes: None
