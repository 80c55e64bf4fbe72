"""A recipe: every number of a pretraining in one frozen object, and the parts that need some of them (book chapter 7)."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from annotated_types import Ge

from clicv2lite.encoders.frozen import PoolConfig
from clicv2lite.learners import METHODS
from clicv2lite.method.clicv2 import LossConfig, ModelConfig
from clicv2lite.method.decoder import DecoderConfig
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.views import ViewConfig
from clicv2lite.ranges import Count, NonNegative, OneOf, Positive, ShareBelowOne, WholeNumber

EXECUTION = ("micro", "workers", "compile", "checkpointing", "save_every", "log_every")
"""Settings that say how a run is carried out, not what it learns: they may differ when it is resumed."""
PARTS = ("decoder", "pool")
"""Parts of a recipe whose settings carry its name on the command line: ``decoder_width``, ``pool_size``."""


@dataclass(frozen=True)
class Recipe(ViewConfig, EncoderConfig, LossConfig):
    """Every number of a pretraining. The defaults are the paper's ViT-B/32; `--set key=value` changes any of them.

    The settings of views, encoder and losses are declared where they are used, and are fields of a recipe, too.
    """

    name: str = "vit-b32"
    method: Annotated[str, OneOf(METHODS)] = "clicv2"
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)  # features of the exported encoder
    own: Mapping[str, Any] = field(default_factory=dict)  # settings of single methods; those of ``method`` count
    # optimisation
    batch: Count = 2048  # images a step
    passes: Count = 300 * 1_500_000  # images seen in all, repeats counted
    warmup: WholeNumber = 40 * 1_500_000  # of these, with a rising learning rate
    lr: Positive = 0.003  # the highest, at this batch
    weight_decay: NonNegative = 0.05
    beta1: ShareBelowOne = 0.9  # of AdamW, which would never forget a gradient at 1
    beta2: ShareBelowOne = 0.95
    clip: Positive = 1.0  # largest gradient norm
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: WholeNumber = 0
    # input and output
    store: WholeNumber = 256  # side of the squares that images are kept as, pixels; 0: a base crop is taken from the file
    save_every: Count = 1000  # steps
    log_every: Count = 50  # steps
    # execution
    micro: WholeNumber = 0  # images of a forward pass on one rank; 0: all of the rank's share
    workers: Annotated[int, Ge(-1)] = -1  # that decode images for one rank; -1: as many as its share of the cores
    compile: bool = False  # torch.compile of the blocks
    checkpointing: bool = False  # the inside of blocks is computed again in the backward pass: slower, in less memory

    @property
    def views(self) -> ViewConfig:
        """The part that concerns shifted patchify, masking and the target."""
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
        """The settings that only this method has."""
        kind = METHODS[self.method].settings
        return kind(**{f.name: self.own[f.name] for f in dataclasses.fields(kind) if f.name in self.own})

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return max(1, self.passes // self.batch)

    def flat(self) -> dict[str, Any]:
        """Every setting under its name on the command line, with the name of the recipe: what config.json stores."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in (*PARTS, "own")}
        for part in PARTS:
            values |= {f"{part}_{key}": value for key, value in vars(getattr(self, part)).items()}
        return values | dict(self.own) | dataclasses.asdict(self.learner)

    def changed(self, settings: Mapping[str, Any]) -> "Recipe":
        """The recipe with some settings changed, under their names on the command line."""
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
