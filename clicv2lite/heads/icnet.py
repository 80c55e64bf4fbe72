"""ICNet's head on one frozen branch: what the paper calls linear probing (section 4.1; book chapter 8).

Facts from ICNet's published code (github.com/tinglyfeng/IC9600) and from its one-branch form in the code of CLIC, the
paper's predecessor (github.com/xauat-liushipeng/CLIC, `ICNet_ft`): features are upsampled to a grid of (input side) / 8
and brought to 512 channels by a 1 x 1 convolution. Two arms follow, each a 3 x 3 convolution and a spatial layout
attention (SLAM, on a layout of 32 x 32). One ends in a 1 x 1 convolution and a sigmoid, the complexity map; the other
in the mean over places and a two-layer perceptron with a sigmoid, the score. Every convolution but the map's has batch
normalisation and ReLU after it. The loss is 0.9 of the score's squared error and 0.1 of that of the map's mean.

Facts from the paper: SGD 0.001, momentum 0.9, weight decay 0.0001, batch 128, 30 epochs. It names no schedule and no
flips (ICNet's code has warm-up, steps and flips), so there are none here, and the tokens are computed once.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import trange

from clicv2lite.arrays import Floats
from clicv2lite.errors import UserError

LAYOUT = 32  # side of the layout that the attention reads
MAP_WEIGHT = 0.1


@dataclass(frozen=True)
class IcnetShape:
    """Shape of the head: 6.4 M parameters on tokens of width 768."""

    width: int  # of the encoder's tokens
    grid: int  # side of the map; ICNet: input side / 8
    channels: int = 512


@dataclass(frozen=True)
class IcnetTraining:
    """How the head is trained; the defaults are the paper's."""

    epochs: int = 30
    lr: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0001
    batch_size: int = 128


def score_and_map_loss(score: Tensor, complexity: Tensor, ratings: Tensor) -> Tensor:
    """ICNet's loss: 0.9 of the score's squared error and 0.1 of that of the map's mean; (B,), (B, h, w), (B,) in 0..1."""
    return (1 - MAP_WEIGHT) * F.mse_loss(score, ratings) + MAP_WEIGHT * F.mse_loss(complexity.mean((1, 2)), ratings)


class LayoutAttention(nn.Module):
    """ICNet's SLAM: each channel is weighed by a number in 0..1 that is read off its own whole layout."""

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
    """(B, h, w, D) tokens -> (B,) score and (B, grid, grid) complexity map, both in 0..1."""

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
        """(B, h, w, D) tokens -> (B,) scores."""
        return self._run(tokens)[0]

    def maps(self, tokens: Tensor) -> Floats:
        """(B, h, w, D) tokens -> (B, grid, grid) complexity maps."""
        return self._run(tokens)[1]

    def tensors(self) -> dict[str, Tensor]:
        """What a head file stores."""
        return {name: t.detach().cpu().contiguous() for name, t in self.state_dict().items()}

    def config(self) -> dict[str, Any]:
        """What rebuilds the head beside its tensors."""
        return asdict(self.shape)

    @classmethod
    def restore(cls, config: dict[str, Any], tensors: dict[str, Tensor]) -> "IcnetHead":
        """The head that `config` and `tensors` describe; raises RuntimeError when they do not fit each other."""
        head = cls(IcnetShape(**config))
        head.load_state_dict(tensors)
        return head.to(_device()).eval()

    @torch.no_grad()
    def _run(self, tokens: Tensor) -> tuple[Floats, Floats]:
        self.eval()
        device = next(self.parameters()).device
        # TensorFloat-32 would make scores depend on the batch size in the third digit
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            parts = [self(part.to(device)) for part in tokens.split(64)]
        scores, maps = (torch.cat(p).cpu().double().numpy() for p in zip(*parts, strict=True))
        return scores, maps


def fit_icnet(
    tokens: Tensor, scores: Floats, shape: IcnetShape, training: IcnetTraining, seed: int, label: str = "head"
) -> IcnetHead:
    """Train the head (one f of equation 5) on cached tokens; the same seed gives the same head on the same kind of processor.

    Args:
        tokens: (n, h, w, D), any float type. scores: (n,) ratings in 0..1, the range of the sigmoid.
        label: what the progress bar says.

    Raises:
        UserError: if the loss stops being finite.
    """
    device = _device()
    with torch.random.fork_rng(devices=[]):  # the weights are drawn on the CPU
        torch.manual_seed(seed)
        head = IcnetHead(shape).to(device)
        order = torch.Generator().manual_seed(seed)
        target = torch.as_tensor(scores, dtype=torch.float32)
        optimizer = torch.optim.SGD(
            head.parameters(), lr=training.lr, momentum=training.momentum, weight_decay=training.weight_decay
        )
        head.train()
        for _ in trange(training.epochs, desc=label, unit="epoch", disable=None):
            for rows in torch.randperm(len(tokens), generator=order).split(training.batch_size):
                score, complexity = head(tokens[rows].to(device))
                rated = target[rows].to(device)
                loss = score_and_map_loss(score, complexity, rated)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if not torch.isfinite(loss):
                raise UserError(f"--head icnet: the loss became {loss.item()}; lower --lr (now {training.lr})")
    return head.eval()


def convolution(channels: int, out: int, kernel: int) -> nn.Sequential:
    """(B, channels, h, w) -> (B, out, h, w): convolution, batch normalisation, ReLU."""
    return nn.Sequential(nn.Conv2d(channels, out, kernel, padding=kernel // 2), nn.BatchNorm2d(out), nn.ReLU())


def resize(x: Tensor, side: int) -> Tensor:
    """(B, C, h, w) -> (B, C, side, side), bilinear with aligned corners, as ICNet."""
    if x.shape[2:] == (side, side):
        return x
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=True)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
