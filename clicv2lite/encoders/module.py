"""A module of your own as a frozen encoder, from Python: `ComplexityRegressor(encoder=net)` (book chapter 12)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clicv2lite.encoders.config import FrozenConfig, PoolConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.weight_files import digest_of
from clicv2lite.errors import UserError
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.pixels import normalize
from clicv2lite.ranges import wrong_field

READ = ("pool_size", "pool_statistics")  # what can be chosen of a module's reading
RETURN = "return (B, C, h, w), (B, G, C), (B, C), or a list of these"


class ModuleEncoder(FrozenEncoder):
    """Any module that turns normalised images (B, 3, S, S) into feature maps, tokens or vectors, without gradients.

    Its output may be a map (B, C, h, w), tokens (B, G, C), a vector (B, C), or a list of these, such as timm's
    ``features_only`` gives. Maps and tokens are pooled over their places, and the outputs of a list stand side by side.

    Args:
        net: it is put into evaluation mode, and gets no gradients from now on.
        size: side of the images that it is called with, pixels. They are normalised with ImageNet's mean and deviation.
        statistics: over the places, as in :class:`~clicv2lite.encoders.config.PoolConfig`.

    Raises:
        UserError: if the module cannot be called with such images, or gives something else.
    """

    def __init__(self, net: nn.Module, size: int = 224, statistics: tuple[Any, ...] = ("mean", "std")) -> None:
        net.eval().requires_grad_(False)
        self.net = net
        try:
            maps = self._maps(torch.zeros(1, 3, size, size, device=self.device))
        except UserError:
            raise
        except Exception as error:  # a module may raise anything
            why = " ".join(str(error).split())[:100]
            advice = "give another size, or a module that takes float32"
            raise UserError(f"encoder: the module cannot read images of {size} px ({why}); {advice}") from None
        self.widths = [one.shape[-1] for one in maps]
        pool = PoolConfig(blocks=tuple(range(len(maps))), statistics=statistics)
        shape = EncoderConfig(size=size, patch=1, width=self.widths[-1], depth=len(maps))  # stride 1: any size may be given
        super().__init__(type(net).__name__, net, FrozenConfig(shape, pool))

    @property
    def device(self) -> torch.device:
        """The device of its first weight; the CPU if it has none."""
        return next((p.device for p in self.net.parameters()), torch.device("cpu"))

    def read_as(self, pooling: Mapping[str, Any]) -> FrozenEncoder:
        """The same module, called with images of another side, or pooled by other statistics.

        Raises:
            UserError: for any other field, a value that cannot be, or a side that the module cannot read.
        """
        if not pooling:
            return self
        if other := [key for key in pooling if key not in READ]:
            raise UserError(f"--set {other[0]}: of a module of your own only {' and '.join(READ)} can be set; leave it out")
        pool = PoolConfig(**{key.removeprefix("pool_"): value for key, value in pooling.items()})
        if reason := wrong_field(pool) or ("" if pool.statistics else "statistics: name at least one"):
            raise UserError(f"--set pool_{reason}")
        statistics = pool.statistics if "pool_statistics" in pooling else self.config.pool.statistics
        encoder = ModuleEncoder(self.net, pool.size or self.size, statistics)
        encoder.name = self.name
        return encoder

    @property
    def feature_count(self) -> int:
        """F, how many numbers `features` gives for an image."""
        return sum(self.widths) * len(self.config.pool.statistics)

    def traced_tokens(self, images: Tensor) -> Tensor:
        """The last of its outputs as a map, in the caller's gradient mode: (B, 3, S, S) in 0..255 -> (B, h, w, C) float32."""
        return self._maps(images)[-1]

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the weights, of how they are read, and of the features of noise: its code may change, too."""
        seeded = torch.Generator().manual_seed(0)
        noise = torch.randint(0, 256, (1, 3, self.size, self.size), dtype=torch.uint8, generator=seeded)
        return digest_of({"features": self.features(noise.to(self.device)).half()}, super().digest().encode())

    def check_storable(self, option: str) -> None:
        """Refuse to store it: nothing could load it again."""
        raise UserError(f"{option}: a module of your own cannot be stored; leave {option} out")

    def save(self, folder: Any, half: bool = False) -> None:
        """Not possible, see `check_storable`."""
        self.check_storable("save")

    def _maps(self, images: Tensor) -> list[Tensor]:
        found: Any = self.net(normalize(images.float() / 255))
        outputs = found if isinstance(found, list | tuple) else [found]
        if not outputs:
            raise UserError(f"encoder: the module gives an empty {type(found).__name__}; {RETURN}")
        return [_laid_out(one) for one in outputs]


def _laid_out(output: Any) -> Tensor:
    """A map, tokens in one row, or a vector at one place: -> (B, h, w, C) float32."""
    match output:
        case Tensor(ndim=4):
            return output.float().permute(0, 2, 3, 1)
        case Tensor(ndim=3):
            return output.float()[:, None]
        case Tensor(ndim=2):
            return output.float()[:, None, None]
    what = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
    raise UserError(f"encoder: the module gives {what}; {RETURN}")
