"""A network of 18 weights that puts points on a circle, under InfoNCE or without negatives (book chapter 4)."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clicv2lite.extras import extra
from clicv2lite.widgets.draws import uniforms
from clicv2lite.widgets.explorer import Widget, front_end, style_sheet

with extra("notebooks"):
    import traitlets as t

IMAGES, WIDTH = 32, 8  # images, and numbers that each consists of
NOISE = 0.5  # a view adds uniform numbers of at most this size to those of the image, which are in -1..1
RATE = 0.3  # learning rate
WEIGHTS = 2 * (WIDTH + 1)  # a matrix 2 x 8 and two biases, row by row: w_0 ... w_7 b of each output


class Circle(NamedTuple):
    """Where the network puts both views of every image, and what InfoNCE says of it."""

    queries: Tensor  # (n, 2) float64, unit length
    keys: Tensor  # (n, 2)
    loss: float  # nats; without negatives the mean of 1 - q k
    gradient: Tensor  # (WEIGHTS,) of the loss, the keys being constants
    alignment: float  # mean squared distance of the two views of an image (0: they agree)
    uniformity: float  # log of the mean of exp(-2 squared distance) over pairs of queries (0: all at one point)


def images_and_start(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Both views of all images, (n, 8) float64 each, and weights to start from, (18,) in -0.5..0.5."""
    numbers = IMAGES * WIDTH
    clean, first, second, start = (2 * uniforms(seed, 3 * numbers + WEIGHTS) - 1).split([numbers, numbers, numbers, WEIGHTS])
    query, key = (clean + NOISE * noise for noise in (first, second))
    return query.reshape(IMAGES, WIDTH), key.reshape(IMAGES, WIDTH), start / 2


def on_circle(weights: Tensor, seed: int, temperature: float, count: int, repel: bool = True) -> Circle:
    """Run the network on both views, compare, and differentiate.

    Args:
        weights: (18,) float64.
        seed: of the images, see :func:`images_and_start`.
        temperature: tau, above 0.
        count: negatives of a query, 1 to 31: the keys of so many images that follow its own, the first after the last.
        repel: False leaves the negatives out. The loss is then 1 - q k, for InfoNCE without negatives is 0.
    """
    weights = weights.detach().clone().requires_grad_()
    first, second, _ = images_and_start(seed)
    layer = weights.reshape(2, WIDTH + 1)
    queries, keys = (F.normalize(views @ layer[:, :-1].T + layer[:, -1], dim=1) for views in (first, second))
    keys = keys.detach()
    if repel:
        number = torch.arange(IMAGES)
        compared = (number[:, None] + torch.arange(count + 1)) % IMAGES  # (n, 1 + count), the own key first
        logits = (queries[:, None] * keys[compared]).sum(2) / temperature
        loss = F.cross_entropy(logits, torch.zeros_like(number))
    else:
        loss = 1 - (queries * keys).sum(1).mean()
    (gradient,) = torch.autograd.grad(loss, weights)
    apart = torch.pdist(queries.detach()).square()
    return Circle(
        queries=queries.detach(),
        keys=keys,
        loss=float(loss.detach()),
        gradient=gradient,
        alignment=float((queries - keys).detach().square().sum(1).mean()),
        uniformity=float((-2 * apart).exp().mean().log()),
    )


class CircleExplorer(Widget):
    """Train a tiny network in the page, step by step or at a run, and see its points spread out or collapse.

    Args:
        seed: of the images and the first weights.
        temperature: 0.05 to 1.
        count: negatives of each query, 1 to 31.
        repel: with negatives.

    Raises:
        traitlets.TraitError: if the value of a setting cannot be drawn.
    """

    settings = ("seed", "temperature", "count", "repel")
    _esm = front_end("circle")
    _css = style_sheet("circle")

    temperature = t.Float(0.2, min=0.05, max=1, help="tau").tag(sync=True)
    count = t.Int(IMAGES - 1, min=1, max=IMAGES - 1, help="negatives of each query").tag(sync=True)
    repel = t.Bool(True, help="with negatives").tag(sync=True)
    seed = t.Int(0, min=0, max=2**32 - 1, help="of images and first weights").tag(sync=True)
    weights = t.List(t.Float(), help="of the network now").tag(sync=True)
    steps = t.Int(0, min=0, help="taken so far").tag(sync=True)

    def __init__(self, *, seed: int = 0, temperature: float = 0.2, count: int = IMAGES - 1, repel: bool = True) -> None:
        start = images_and_start(seed)[2].tolist()
        self._constants = {"images": IMAGES, "width": WIDTH, "noise": NOISE, "rate": RATE}
        super().__init__(seed=seed, temperature=temperature, count=count, repel=repel, weights=start)

    @t.observe("seed")
    def _start_again(self, _: Any) -> None:
        with self.hold_sync():
            self.weights, self.steps = images_and_start(self.seed)[2].tolist(), 0

    @t.validate("weights")
    def _complete(self, proposal: dict[str, Any]) -> list[float]:
        if len(proposal["value"]) != WEIGHTS:
            raise t.TraitError(f"the 'weights' trait has {WEIGHTS} numbers, got {len(proposal['value'])}")
        return list(proposal["value"])

    def result(self) -> Circle:
        """What is drawn now, computed by torch."""
        weights = torch.tensor(self.weights, dtype=torch.float64)
        return on_circle(weights, self.seed, self.temperature, self.count, self.repel)

    def step(self) -> None:
        """One step of gradient descent, as the button does it."""
        weights = torch.tensor(self.weights, dtype=torch.float64) - RATE * self.result().gradient
        with self.hold_sync():
            self.weights, self.steps = weights.tolist(), self.steps + 1
