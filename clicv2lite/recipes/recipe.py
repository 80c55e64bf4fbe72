"""A recipe: every setting of a pretraining in one frozen object, and views of it for each part of the code (chapter 7)."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from clicv2lite.encoders.config import PoolConfig
from clicv2lite.learners import METHODS
from clicv2lite.method.clicv2 import LossConfig, ModelConfig
from clicv2lite.method.decoder import DecoderConfig
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.views import ViewConfig
from clicv2lite.ranges import Count, NonNegative, OneOf, Passes, PixelsOrZero, Positive, ShareBelowOne, WholeNumber

EXECUTION = ("micro", "workers", "compile", "checkpointing", "save_every", "log_every")
"""Settings that say how a run is executed, not what it learns. They may change when it is resumed."""
PARTS = ("decoder", "pool")
"""Parts of a recipe. Their settings begin with the name of the part on the command line: ``decoder_width``, ``pool_size``."""


@dataclass(frozen=True)
class Recipe(ViewConfig, EncoderConfig, LossConfig):
    """Every setting of a pretraining. The defaults are the paper's ViT-B/32; `--set key=value` changes any of them.

    The settings of views, encoder and losses are declared in the modules that use them. A recipe inherits them.
    """

    name: str = "vit-b32"
    method: Annotated[str, OneOf(METHODS)] = "clicv2"
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)  # features of the exported encoder
    own: Mapping[str, Any] = field(default_factory=dict)  # settings that only one method has; those of ``method`` are used
    # optimisation
    batch: Annotated[int, Gt(0), Le(10**6)] = 2048  # images per step
    passes: Passes = 300 * 1_500_000  # images seen in total, with repeats
    warmup: Annotated[int, Ge(0), Le(10**15)] = 40 * 1_500_000  # the first of these passes, with a rising learning rate
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: Positive = 0.003  # highest learning rate, at this batch
    schedule: Literal["cosine", "steps"] = "cosine"  # after the warm-up: to zero, or to a tenth at 60 % and again at 80 %
    weight_decay: NonNegative = 0.05  # of AdamW's matrices; SGD's of all weights
    beta1: ShareBelowOne = 0.9  # of AdamW, and the momentum of SGD; with 1 they would never forget a gradient
    beta2: ShareBelowOne = 0.95  # of AdamW
    clip: Positive = 1.0  # largest gradient norm
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: Annotated[int, Ge(0), Lt(2**63)] = 0
    # input and output
    store: PixelsOrZero = 256  # images are kept as squares of this side, pixels; 0: base crops are cut from the files
    save_every: Count = 1000  # steps
    log_every: Count = 50  # steps
    # execution
    micro: WholeNumber = 0  # images per forward pass on one rank; 0: all images of the rank
    workers: Annotated[int, Ge(-1), Le(4096)] = -1  # threads that decode images for one rank; -1: its share of the cores
    compile: bool = False  # torch.compile of the blocks
    checkpointing: bool = False  # compute the inside of blocks again in the backward pass: slower, but less memory

    @property
    def views(self) -> ViewConfig:
        """The settings of shifted patchify, masking and the target."""
        values = self._fields_of(ViewConfig)
        return ViewConfig(**values if self.store else values | {"crop": "given"})

    @property
    def encoder(self) -> EncoderConfig:
        """The shape of the ViT."""
        return EncoderConfig(**self._fields_of(EncoderConfig))

    @property
    def model(self) -> ModelConfig:
        """The model and its losses."""
        size = self.views.target_size
        return ModelConfig(**self._fields_of(LossConfig), encoder=self.encoder, decoder=self.decoder, target_size=size)

    @cached_property
    def learner(self) -> Any:
        """The own settings of the method."""
        kind = METHODS[self.method].settings
        return kind(**{f.name: self.own[f.name] for f in dataclasses.fields(kind) if f.name in self.own})

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return max(1, self.passes // self.batch)

    def flat(self) -> dict[str, Any]:
        """Every setting under its name on the command line, and the name of the recipe. config.json stores this."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in (*PARTS, "own")}
        for part in PARTS:
            values |= {f"{part}_{key}": value for key, value in vars(getattr(self, part)).items()}
        return values | dict(self.own) | dataclasses.asdict(self.learner)

    def changed(self, settings: Mapping[str, Any]) -> "Recipe":
        """The recipe with some settings changed; keys are their names on the command line."""
        fields, parts = {f.name for f in dataclasses.fields(self)}, {part: getattr(self, part) for part in PARTS}
        plain, own = {}, dict(self.own)
        for key, value in settings.items():
            part, _, name = key.partition("_")
            if key in fields:
                plain[key] = value
            elif part in PARTS:
                parts[part] = dataclasses.replace(parts[part], **{name: value})
            else:
                own[key] = value
        return dataclasses.replace(self, **parts, own=own, **plain)

    def _fields_of(self, part: type) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(part)}
