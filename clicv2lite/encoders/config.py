"""The shape of an encoder and how its tokens are read: checked before anything is built of it (book chapter 8)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le

from clicv2lite.encoders.token_similarity import READINGS
from clicv2lite.method.backbone import VIT, about, shape, wrong_name
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.stem import STRIDE
from clicv2lite.ranges import PixelsOrZero, shown, wrong_field

ROWS = 256  # patches in a row of an image, at most


@dataclass(frozen=True)
class PoolConfig:
    """How the tokens of an image become one feature vector."""

    blocks: tuple[int, ...] = (-1,)  # which blocks, or stages, are read; negative numbers count from the end
    statistics: tuple[Literal["mean", "std", "max", "min"], ...] = ("mean", "std")  # over the patches of the image
    size: PixelsOrZero = 0  # side of the image for features, pixels; 0 is the size of pretraining
    read: Literal["tokens", "likeness", "nearest"] = "tokens"  # tokens, or how similar they are (see token_similarity)
    halvings: Annotated[int, Ge(0), Le(12)] = 0  # how often the image is halved and read again
    zoom: tuple[Annotated[int, Ge(1)], ...] = ()  # of the middle of each patch, so many times as large: its embedding alone


@dataclass(frozen=True)
class FrozenConfig:
    """Everything that is needed, with the weights, to rebuild an encoder."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)

    @property
    def features(self) -> int:
        """F, how many numbers `FrozenEncoder.features` gives for an image."""
        depth, vit = self.encoder.depth, self.encoder.backbone == VIT
        widths = [self.encoder.width] * depth if vit else about(self.encoder.backbone).widths
        if self.pool.read in READINGS:
            widths = [READINGS[self.pool.read][1]] * depth
        read = sum(widths[block % depth] for block in self.pool.blocks) * (self.pool.halvings + 1)
        return (read + widths[0] * len(self.pool.zoom)) * len(self.pool.statistics)

    def stored(self) -> dict[str, Any]:
        """As it is stored with the weights. What files of earlier versions do not have is left out where it says nothing."""
        found = asdict(self)
        if self.encoder.backbone == VIT:
            del found["encoder"]["backbone"]
        if not self.pool.zoom:
            del found["pool"]["zoom"]
        return found

    def misfit(self) -> str | None:
        """A value outside its range, or values that cannot work together, as ``key=value: why``; None if all fit."""
        if reason := wrong_field(self.pool):
            return f"pool_{reason}"
        return wrong_field(self) or _wrong_shape(self.encoder) or _wrong_pooling(self.encoder, self.pool)


def _wrong_shape(config: EncoderConfig) -> str | None:
    if config.backbone != VIT:
        return _wrong_network(config)
    if config.width % config.heads or config.width % 4:
        return f"width={config.width}: must be a multiple of 4 and of heads"
    if config.size % config.patch:
        return f"patch={config.patch}: patches of {config.patch} px do not tile size={config.size}"
    if config.patch_embed != "linear" and config.patch % STRIDE:
        return f"patch={config.patch}: must be a multiple of {STRIDE} with patch_embed={config.patch_embed}"
    if config.size // config.patch > ROWS:
        row = config.size // config.patch
        return f"patch={config.patch}: {row} patches in a row of size={config.size}, and {ROWS} are allowed"
    return None


def _wrong_network(config: EncoderConfig) -> str | None:
    name = shown(config.backbone)
    if reason := wrong_name(config.backbone):
        return f"backbone={name}: {reason}"
    for key, value in shape(config.backbone).items():
        if getattr(config, key) != value:
            return f"{key}={getattr(config, key)}: backbone={name} has {key}={value}; leave it out"
    if config.size % config.patch or config.size // config.patch > ROWS:
        return f"size={config.size}: backbone={name} needs a multiple of {config.patch}, at most {ROWS} times it"
    return None


def _wrong_pooling(shape: EncoderConfig, pool: PoolConfig) -> str | None:
    depth, patch, size = shape.depth, shape.patch, pool.size or shape.size
    if not pool.statistics or not pool.blocks:
        return "pool_statistics and pool_blocks: name at least one of each"
    if any(not -depth <= block < depth for block in pool.blocks):
        return f"pool_blocks: with depth={depth} they must be in {-depth}..{depth - 1}"
    if pool.zoom and shape.backbone != VIT:
        return f"pool_zoom: backbone={shown(shape.backbone)} has no patch embedding that is read alone; leave it out"
    if wrong := next((times for times in pool.zoom if patch % times), None):
        return f"pool_zoom={wrong}: must divide patch={patch}"
    if size % (patch << pool.halvings):
        halved = f" halved {pool.halvings} times" if pool.halvings else ""
        return f"pool_size={size}: patches of {patch} px do not tile it{halved}"
    return f"pool_size={size}: {size // patch} patches in a row, and {ROWS} are allowed" if size // patch > ROWS else None


def stored_config(stored: Mapping[str, Any]) -> FrozenConfig:
    """The configuration that an encoder's file has, also one of an earlier version, which had fewer settings.

    Raises:
        KeyError, TypeError, ValueError: if it is none, or its values cannot be.
    """
    pool: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in stored["pool"].items()}
    if reason := (config := FrozenConfig(EncoderConfig(**stored["encoder"]), PoolConfig(**pool))).misfit():
        raise ValueError(reason)
    return config
