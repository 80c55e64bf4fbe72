"""Recipes: functions that return the complete, frozen configuration of a pretraining (CLICv2, section 4.1; chapter 7)."""

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from clicv2lite.decoder import DecoderConfig
from clicv2lite.encoder import SHAPES, EncoderConfig
from clicv2lite.errors import UserError
from clicv2lite.features import PoolConfig
from clicv2lite.infonce import Negatives
from clicv2lite.model import ModelConfig
from clicv2lite.views import ViewConfig


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
    target: Literal["entropy", "pixels", "frequency"] = "entropy"
    bins: int | None = None
    unit: Literal["bits", "normalised"] = "bits"
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
    store: int = 256  # side of the squares that images are kept as, pixels
    save_every: int = 1000  # steps
    log_every: int = 50  # steps
    # features of the exported encoder
    pool_blocks: tuple[int, ...] = (-1,)
    pool_statistics: tuple[Literal["mean", "std", "max", "min"], ...] = ("mean", "std")
    pool_size: int = 0

    @property
    def views(self) -> ViewConfig:
        """The part that concerns shifted patchify, masking and the target."""
        return ViewConfig(**{f.name: getattr(self, f.name) for f in dataclasses.fields(ViewConfig)})

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
            reduction=self.reduction,
            predict={"entropy": 1, "pixels": 3 * self.patch**2, "frequency": self.patch * (self.patch // 2 + 1)}[
                self.target
            ],
        )

    @property
    def pool(self) -> PoolConfig:
        """How the exported encoder pools tokens."""
        return PoolConfig(self.pool_blocks, self.pool_statistics, self.pool_size)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return max(1, self.passes // self.batch)


def ci() -> Recipe:
    """Seconds on one core: proves that the machinery runs; its features are worth nothing."""
    return Recipe(
        "ci", size=32, patch=8, width=32, depth=2, heads=2, project=16, decoder_width=16, decoder_depth=1,
        decoder_heads=2, momentum=0.99, queue=64, batch=16, passes=640, warmup=64, lr=1e-3, store=40, save_every=5, log_every=5,
    )  # fmt: skip


def lite() -> Recipe:
    """Minutes on two CPU cores; found by experiment, the table of tries is in the book's chapter 7."""
    return Recipe(
        "lite", size=128, patch=16, width=192, depth=4, heads=3, project=128, decoder_width=128, decoder_depth=2,
        decoder_heads=4, crop="window", color=0.2, blur=0.2, momentum=0.99, queue=4096, batch=64, passes=256_000,
        warmup=6_400, lr=1e-3, store=224, save_every=200, log_every=20, pool_blocks=(0, 1, 2, 3),
        pool_statistics=("mean", "std", "max", "min"), pool_size=288,
    )  # fmt: skip


def vit_b32() -> Recipe:
    """The paper's ViT-B/32: IC1M, 300 epochs of 1.5 million images."""
    return Recipe()


def _paper(name: str, shape: str, patch: int) -> Recipe:
    width, depth, heads = SHAPES[shape]
    return Recipe(name, patch=patch, width=width, depth=depth, heads=heads)


def vit_s32() -> Recipe:
    """The paper's ViT-S/32."""
    return _paper("vit-s32", "vit-s", 32)


def vit_l16() -> Recipe:
    """The paper's ViT-L/16."""
    return _paper("vit-l16", "vit-l", 16)


# whole crops are compared: nothing is masked, no patch moves
IMAGE_WISE = {"mask_ratio": 0.0, "max_shift": 0, "augment": "image", "crop": "resized"}
# what a method brings along unless it is set: the crops and colours of MoCo v2, the weight of CLIC's complexity-aware loss
METHOD_SETTINGS: dict[str, dict[str, Any]] = {
    "clicv2": {},
    "moco": IMAGE_WISE | {"crop_min": 0.2, "color": 0.4, "blur": 0.5},
    "clic": IMAGE_WISE | {"crop_min": 0.2, "color": 0.4, "blur": 0.5, "weight": 0.25},
}

RECIPES = {"ci": ci, "lite": lite, "vit-s32": vit_s32, "vit-b32": vit_b32, "vit-l16": vit_l16}


def get_recipe(name: str, settings: list[str] | None = None) -> Recipe:
    """A recipe by name, with settings changed.

    Some settings follow others unless they are set themselves: the learning rate grows linearly with the batch, the warm-up
    keeps its share of the passes, and a method brings those of ``METHOD_SETTINGS``.

    Args:
        name: a key of ``RECIPES``.
        settings: ``key=value`` strings as given to ``--set``.

    Raises:
        UserError: for an unknown recipe or key, a value of the wrong type, or values that do not fit together.
    """
    if name not in RECIPES:
        raise UserError(f"--recipe {name}: no such recipe; choose one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]()
    hints = typing.get_type_hints(Recipe)
    changes: dict[str, Any] = {}
    for setting in settings or []:
        key, equals, text = setting.partition("=")
        if not equals or key not in hints or key == "name":
            raise UserError(f"--set {setting}: write key=value with one of {', '.join(sorted(set(hints) - {'name'}))}")
        try:
            changes[key] = parse(text, hints[key])
        except ValueError:
            raise UserError(f"--set {setting}: {key} must be {describe(hints[key])}") from None
    method = changes.get("method", recipe.method)
    changed = dataclasses.replace(recipe, **METHOD_SETTINGS[method] | changes)
    check(changed)
    if "lr" not in changes:
        changed = dataclasses.replace(changed, lr=recipe.lr * changed.batch / recipe.batch)
    if "warmup" not in changes:
        changed = dataclasses.replace(changed, warmup=round(recipe.warmup * changed.passes / recipe.passes))
    return changed


def parse(text: str, kind: Any) -> Any:
    """Read a value of the annotated type from text; ValueError if it does not fit."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if text.lower() == "none" else parse(text, next(a for a in args if a is not type(None)))
    if origin is Literal:
        if text not in args:
            raise ValueError(text)
        return text
    if origin is tuple:
        return tuple(parse(part, args[0]) for part in text.split(",") if part)
    if kind is bool:
        return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else parse(text, int) > 0
    if kind is int:
        return int(text.replace("_", ""))
    return kind(text)


def describe(kind: Any) -> str:
    """The annotated type in words, for an error message."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " or ".join(args)
    if origin is tuple:
        return f"a comma-separated list of {describe(args[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if a is type(None) else describe(a) for a in args)
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]


def check(recipe: Recipe) -> None:
    """Raise UserError for values that cannot work together."""
    positive = ("size", "patch", "width", "depth", "heads", "project", "decoder_width", "decoder_depth", "decoder_heads",
                "queue", "batch", "passes", "lr", "temperature", "clip", "store", "save_every", "log_every")  # fmt: skip
    for key in positive:
        if not getattr(recipe, key) > 0:
            raise UserError(f"--set {key}={getattr(recipe, key)}: must be above 0")
    for key in ("weight", "weight_decay", "warmup", "pool_size", "seed"):
        if not getattr(recipe, key) >= 0:
            raise UserError(f"--set {key}={getattr(recipe, key)}: must be 0 or more")
    for key in ("mask_ratio", "momentum", "flip", "color", "blur", "crop_min", "beta1", "beta2"):
        if not 0 <= getattr(recipe, key) <= 1:
            raise UserError(f"--set {key}={getattr(recipe, key)}: must lie within 0..1")
    for width, heads in (("width", "heads"), ("decoder_width", "decoder_heads")):
        if getattr(recipe, width) % getattr(recipe, heads) or getattr(recipe, width) % 4:
            raise UserError(f"--set {width}={getattr(recipe, width)}: must be a multiple of 4 and of {heads}")
    if recipe.method != "clicv2":
        for key, only in IMAGE_WISE.items():
            if getattr(recipe, key) != only:
                raise UserError(f"--set {key}={getattr(recipe, key)}: method={recipe.method} has {key}={only}; leave it out")
        if recipe.queue > recipe.passes:
            raise UserError(f"--set queue={recipe.queue}: the run has no more than passes={recipe.passes} keys to fill it")
    if recipe.size % recipe.patch:
        raise UserError(f"--set patch={recipe.patch}: patches of {recipe.patch} px do not tile size={recipe.size}")
    if recipe.mask_ratio == 1:
        raise UserError("--set mask_ratio=1: no patch would be left to see; take less than 1")
    if recipe.crop == "window" and recipe.store < recipe.size:
        raise UserError(f"--set store={recipe.store}: a window of size={recipe.size} needs at least that store")
    if 1 in (recipe.beta1, recipe.beta2):
        raise UserError("--set beta1 or beta2 to less than 1: at 1 AdamW would never forget a gradient")
    if recipe.seed >= 2**63:
        raise UserError(f"--set seed={recipe.seed}: must be below 2**63")
    if recipe.max_shift < -1:
        raise UserError(f"--set max_shift={recipe.max_shift}: must be -1 (a quarter of the patch) or more")
    least = 2 if recipe.unit == "normalised" else 1  # log2(1) = 0 cannot normalise
    if recipe.bins is not None and recipe.bins < least:
        raise UserError(f"--set bins={recipe.bins}: must be none or at least {least}")
    if not recipe.pool_statistics or not recipe.pool_blocks:
        raise UserError("--set pool_statistics and pool_blocks: name at least one each")
    if any(not -recipe.depth <= block < recipe.depth for block in recipe.pool_blocks):
        raise UserError(f"--set pool_blocks: with depth={recipe.depth} they lie within {-recipe.depth}..{recipe.depth - 1}")
    if recipe.pool_size % recipe.patch:
        raise UserError(f"--set pool_size={recipe.pool_size}: patches of {recipe.patch} px do not tile it")
