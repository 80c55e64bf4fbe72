"""A recipe: every number of a pretraining in one frozen object, and the parts that need some of them (book chapter 7)."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from clicv2lite.encoders.frozen import PoolConfig
from clicv2lite.method.clicv2 import ModelConfig
from clicv2lite.method.decoder import DecoderConfig
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.infonce import Negatives
from clicv2lite.method.views import ViewConfig

EXECUTION = ("micro", "workers", "compile", "checkpointing", "save_every", "log_every")
"""Settings that say how a run is carried out, not what it learns: they may differ when it is resumed."""


@dataclass(frozen=True)
class Recipe:
    """Every number of a pretraining. The defaults are the paper's ViT-B/32; `--set key=value` changes any of them."""

    name: str = "vit-b32"
    method: Literal["clicv2", "moco", "clic"] = "clicv2"
    # views (see views.ViewConfig)
    size: int = 224
    patch: int = 32
    mask_ratio: float = 0.6
    max_shift: int = -1
    zeros: Literal["after", "before"] = "after"
    augment: Literal["patch", "image", "none"] = "patch"
    crop: Literal["resized", "window"] = "resized"
    crop_min: float = 0.5
    flip: float = 0.5
    color: float = 0.4
    blur: float = 0.5
    target: Literal["entropy", "pixels", "frequency", "none"] = "entropy"
    bins: int | None = None
    unit: Literal["bits", "normalised"] = "bits"
    tile: float = 0.0
    # model (see model.ModelConfig)
    width: int = 768
    depth: int = 12
    heads: int = 12
    class_token: bool = False
    project: int = 256
    decoder_width: int = 256
    decoder_depth: int = 4
    decoder_heads: int = 8
    temperature: float = 0.2
    weight: float = 2.0
    momentum: float = 0.999
    negatives: Negatives = "batch"
    compare: Literal["patch", "image"] = "patch"
    key: Literal["visible", "full"] = "visible"
    reduction: Literal["mean", "sum"] = "mean"
    queue: int = 65_536  # keys that MoCo and CLIC remember
    # optimisation
    batch: int = 2048  # images a step
    passes: int = 300 * 1_500_000  # images seen in all, repeats counted
    warmup: int = 40 * 1_500_000  # of these, with a rising learning rate
    lr: float = 0.003  # the highest, at this batch
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0  # largest gradient norm
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: int = 0
    # input and output
    store: int = 256  # side of the squares that images are kept as, pixels; 0: each base crop is taken from the file anew
    save_every: int = 1000  # steps
    log_every: int = 50  # steps
    # execution
    micro: int = 0  # images of a forward pass on one rank; 0: all of the rank's share
    workers: int = -1  # that decode images for one rank; -1: as many as its share of the cores
    compile: bool = False  # torch.compile of the blocks
    checkpointing: bool = False  # the inside of blocks is computed again in the backward pass: slower, in less memory
    # features of the exported encoder
    pool_blocks: tuple[int, ...] = (-1,)
    pool_statistics: tuple[Literal["mean", "std", "max", "min"], ...] = ("mean", "std")
    pool_size: int = 0
    pool_read: Literal["tokens", "likeness"] = "tokens"
    pool_halvings: int = 0

    @property
    def views(self) -> ViewConfig:
        """The part that concerns shifted patchify, masking and the target."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(ViewConfig)}
        return ViewConfig(**values if self.store else values | {"crop": "given"})

    @property
    def encoder(self) -> EncoderConfig:
        """The shape of the ViT."""
        return EncoderConfig(**{f.name: getattr(self, f.name) for f in dataclasses.fields(EncoderConfig)})

    @property
    def model(self) -> ModelConfig:
        """The model and its losses."""
        return ModelConfig(
            encoder=self.encoder,
            decoder=DecoderConfig(self.decoder_width, self.decoder_depth, self.decoder_heads),
            temperature=self.temperature,
            weight=self.weight,
            momentum=self.momentum,
            negatives=self.negatives,
            compare=self.compare,
            reduction=self.reduction,
            predict=self.views.target_size,
        )

    @property
    def pool(self) -> PoolConfig:
        """How the exported encoder pools tokens."""
        return PoolConfig(self.pool_blocks, self.pool_statistics, self.pool_size, self.pool_read, self.pool_halvings)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return max(1, self.passes // self.batch)
