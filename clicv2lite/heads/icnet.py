"""ICNet's head on one frozen branch: what the paper calls linear probing (section 4.1; book chapter 8).

Facts from ICNet's published code (github.com/tinglyfeng/IC9600), and from its one-branch form in the code of CLIC, the
predecessor of the paper (github.com/xauat-liushipeng/CLIC, `ICNet_ft`): features are upsampled to a grid of side (input
side) / 8. A 1 x 1 convolution brings them to 512 channels. Two branches follow, each with a 3 x 3 convolution and a spatial
layout attention (SLAM, on a layout of 32 x 32). One branch ends in a 1 x 1 convolution and a sigmoid: the complexity map. The
other takes the mean over places, then a two-layer perceptron with a sigmoid: the score. Batch normalisation and ReLU follow
every convolution except the last one of the map. The loss is 0.9 times the squared error of the score plus 0.1 times the
squared error of the mean of the map.

Facts from the paper: SGD 0.001, momentum 0.9, weight decay 0.0001, batch 128, 30 epochs. The paper names no schedule and no
flips (ICNet's code has warm-up, steps and flips), so there are none here. Without flips the tokens are computed only once.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import trange

from clicv2lite.ambient import own_settings
from clicv2lite.arrays import Floats
from clicv2lite.device import CPU
from clicv2lite.errors import UserError
from clicv2lite.ranges import Pixels, Width, wrong_field

LAYOUT = 32  # side of the layout that the attention reads
MAP_WEIGHT = 0.1


@dataclass(frozen=True)
class IcnetShape:
    """Shape of the head: 6.4 M parameters for tokens of width 768."""

    width: Width  # of the encoder's tokens
    grid: Pixels  # side of the map; in ICNet (input side) / 8
    channels: Width = 512


@dataclass(frozen=True)
class IcnetTraining:
    """How the head is trained. Defaults: the paper's."""

    epochs: int = 30
    lr: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0001
    batch_size: int = 128


def score_and_map_loss(score: Tensor, complexity: Tensor, ratings: Tensor) -> Tensor:
    """ICNet's loss: 0.9 squared error of the score + 0.1 squared error of the map's mean; (B,), (B, h, w), (B,) in 0..1."""
    return (1 - MAP_WEIGHT) * F.mse_loss(score, ratings) + MAP_WEIGHT * F.mse_loss(complexity.mean((1, 2)), ratings)


class LayoutAttention(nn.Module):
    """ICNet's SLAM: each channel is multiplied by a weight in 0..1, which a small network computes from the whole channel."""

    def __init__(self, hidden: int = 512, layout: int = LAYOUT) -> None:
        super().__init__()
        self.layout = layout
        self.weigh = nn.Sequential(nn.Linear(layout**2, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:  # (B, C, g, g) -> the same
        layout = resize(x, self.layout).flatten(2)  # (B, C, layout * layout)
        return self.weigh(layout)[..., None] * x


class IcnetArms(nn.Module):
    """What stands on ICNet's branches: an arm that ends in a map, and one that ends in a score, both in 0..1."""

    def add_arms(self, channels: int) -> None:
        """Make the two arms; called last in `__init__`, so that a seed gives the same weights as before."""
        c = channels
        self.map = nn.Sequential(convolution(c, c, 3), LayoutAttention(), nn.Conv2d(c, 1, 1), nn.Sigmoid())
        self.look = nn.Sequential(convolution(c, c, 3), LayoutAttention())
        self.score = nn.Sequential(nn.Linear(c, 512), nn.ReLU(), nn.Linear(512, 1), nn.Sigmoid())

    def read_arms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, g, g) -> (B,) score and (B, g, g) complexity map."""
        return self.score(self.look(x).mean((2, 3)))[:, 0], self.map(x)[:, 0]


class IcnetHead(IcnetArms):
    """ICNet's head: tokens (B, h, w, D) -> score (B,) and complexity map (B, grid, grid), both in 0..1."""

    kind = "icnet"
    reads = "tokens"
    bounded = True

    def __init__(self, shape: IcnetShape) -> None:
        super().__init__()
        self.shape = shape
        self.bring = convolution(shape.width, shape.channels, 1)
        self.add_arms(shape.channels)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return self.read_arms(self.bring(resize(tokens.float().permute(0, 3, 1, 2), self.shape.grid)))

    def predict(self, tokens: Tensor) -> Floats:
        """Tokens (B, h, w, D) -> scores (B,)."""
        return self._run(tokens)[0]

    def maps(self, tokens: Tensor) -> Floats:
        """Tokens (B, h, w, D) -> complexity maps (B, grid, grid)."""
        return self._run(tokens)[1]

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that a head file stores."""
        return {name: t.detach().cpu().contiguous() for name, t in self.state_dict().items()}

    def config(self) -> dict[str, Any]:
        """All other values that are needed to rebuild the head."""
        return asdict(self.shape)

    @classmethod
    def restore(cls, config: dict[str, Any], tensors: dict[str, Tensor]) -> "IcnetHead":
        """Rebuild the head from `config` and `tensors`; TypeError, ValueError or RuntimeError if they do not fit together."""
        shape = IcnetShape(**config)
        if reason := wrong_field(shape):
            raise ValueError(reason)
        with torch.device("meta"):  # its weights are replaced: they need no memory, and no random numbers
            head = cls(shape)
        floats = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        head.load_state_dict(floats, assign=True)
        return head.eval()

    @own_settings()
    @torch.no_grad()
    def _run(self, tokens: Tensor) -> tuple[Floats, Floats]:
        self.eval()
        device = next(self.parameters()).device
        parts = [self(part.to(device)) for part in tokens.split(64)]
        scores, maps = (torch.cat(p).cpu().double().numpy() for p in zip(*parts, strict=True))
        return scores, maps


@own_settings()
def fit_icnet(
    tokens: Tensor,
    scores: Floats,
    shape: IcnetShape,
    training: IcnetTraining,
    seed: int,
    device: torch.device = CPU,
) -> IcnetHead:
    """Train the head (a mapping f of equation 5) on stored tokens. The same seed gives the same head on a CPU.

    On a GPU it differs by rounding: the backward pass of the resize adds in any order.

    Args:
        tokens: (n, h, w, D), any float type. scores: (n,) ratings in 0..1, the range of the sigmoid.
        device: where it is trained, and computes afterwards.

    Raises:
        UserError: if the loss is no longer finite, or what the head predicts of these tokens is not.
    """
    with torch.random.fork_rng(devices=[]):  # the weights are drawn on the CPU
        torch.default_generator.manual_seed(seed)
        head = IcnetHead(shape).to(device)
        order = torch.Generator().manual_seed(seed)
        target = torch.as_tensor(scores, dtype=torch.float32)
        optimizer = torch.optim.SGD(
            head.parameters(), lr=training.lr, momentum=training.momentum, weight_decay=training.weight_decay
        )
        head.train()
        for _ in trange(training.epochs, desc="head", unit="epoch", disable=None):
            for rows in torch.randperm(len(tokens), generator=order).split(training.batch_size):
                score, complexity = head(tokens[rows].to(device))
                rated = target[rows].to(device)
                loss = score_and_map_loss(score, complexity, rated)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if not torch.isfinite(loss):
                raise UserError(f"--head icnet: the loss became {loss.item()}; lower --lr (now {training.lr})")
    if not np.isfinite(head.predict(tokens)).all():  # the last update is in no loss
        raise UserError(f"--head icnet: its predictions are not finite; lower --lr (now {training.lr})")
    return head.eval()


def convolution(channels: int, out: int, kernel: int) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU: (B, channels, h, w) -> (B, out, h, w)."""
    return nn.Sequential(nn.Conv2d(channels, out, kernel, padding=kernel // 2), nn.BatchNorm2d(out), nn.ReLU())


def resize(x: Tensor, side: int) -> Tensor:
    """Resize (B, C, h, w) -> (B, C, side, side), bilinear with aligned corners, as in ICNet."""
    if x.shape[2:] == (side, side):
        return x
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=True)
