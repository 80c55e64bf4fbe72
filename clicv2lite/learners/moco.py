"""MoCo v2: it compares whole crops, not patches. CLIC and CLICv2 build on it (CLICv2, equation 1; chapter 9).

He et al. 2020 (queue, momentum key), Chen et al. 2020 (crops, two-layer head, temperature 0.2). The encoder is any `backbone`
(:mod:`clicv2lite.method.backbone`): a ResNet-50 in table 1 of the paper, this package's ViT by default, with the mean token as
the feature of the image. Our choices: hue jitter and the conversion to gray are left out, and the optimiser is the recipe's,
so that all methods share one augmentation and one training (method.augmentation);
:mod:`clicv2lite.learners.moco_published` has MoCo's own. Batches are not shuffled between GPUs: with batch norm, a query and
its key see the averages of the same images.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from annotated_types import Gt, Le
from torch import Tensor

from clicv2lite.learners.base import Method, Price, Run, Step
from clicv2lite.method.augmentation import augment
from clicv2lite.method.clicv2 import Keys, ModelConfig, Output
from clicv2lite.method.momentum import QueryAndKey
from clicv2lite.method.pixels import normalize
from clicv2lite.method.views import CROP_DRAWS, ViewConfig, base_crop

AUGMENT_DRAWS = 5  # uniform numbers that augment needs
DRAWS = CROP_DRAWS + AUGMENT_DRAWS  # for one crop


class Crops(NamedTuple):
    """Two crops of each image, normalised."""

    query: Tensor  # (B, 3, S, S)
    key: Tensor  # (B, 3, S, S)


def draws_per_image(config: ViewConfig) -> int:
    """How many uniform numbers :func:`make_views` needs per image."""
    return 2 * DRAWS


def given(images: Tensor, config: ViewConfig) -> tuple[Tensor, Tensor]:
    """Where the two crops are cut from: twice the same images, or two base crops (B, 2, 3, S, S) that are cut already."""
    query, key = images.unbind(1) if config.crop == "given" else (images, images)
    return query, key


def one_crop(images: Tensor, noise: Tensor, config: ViewConfig) -> Tensor:
    """A random resized crop that is mirrored, colour-jittered and blurred as a whole.

    Args:
        images: (B, 3, H, W) uint8.
        noise: (B, 10) uniform in [0, 1).

    Returns:
        (B, 3, size, size) float32 in [0, 1].
    """
    crop_noise, augment_noise = noise.split([CROP_DRAWS, AUGMENT_DRAWS], dim=1)
    crop = base_crop(images, crop_noise, config)
    return augment(crop[:, None], augment_noise[:, None], config)[:, 0]  # here the crop is one large patch


def make_views(images: Tensor, noise: Tensor, config: ViewConfig) -> Crops:
    """Two independent crops of each image: images as :func:`given` takes them, uint8, and uniform noise (B, 20) -> Crops."""
    pairs = zip(given(images, config), noise.split(DRAWS, dim=1), strict=True)
    query, key = (normalize(one_crop(part, draws, config)) for part, draws in pairs)
    return Crops(query, key)


def infonce_queue(q: Tensor, k: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE of whole images against a queue of earlier keys (equation 1).

    Args:
        q, k: (B, d) query and key of the same image, unit length.
        queue: (K, d) keys of earlier batches, unit length: the negatives.
        temperature: tau, above 0. Logits are q . k / tau (equation 1 is printed without the division sign, equation 2 with it).

    Returns:
        scalar, the mean over the batch, in nats.
    """
    with torch.autocast(q.device.type, enabled=False):  # bfloat16 logits would be off by 1 / (500 tau)
        positive = (q * k).sum(1, keepdim=True)  # (B, 1)
        negative = q @ queue.T  # (B, K)
        logits = torch.cat([positive, negative], dim=1) / temperature
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))


@dataclass(frozen=True)
class QueueSettings:
    """The settings that only MoCo has."""

    queue: Annotated[int, Gt(0), Le(2**24)] = 65_536  # number of keys in the queue


class MoCo(QueryAndKey):
    """Query and momentum key encoder on whole crops, and a first-in-first-out queue of keys.

    Attributes:
        queue: (K, d) keys, the newest first; random directions at the start. It is stored in checkpoints.
    """

    queue: Tensor

    def __init__(self, config: ModelConfig, queue: int) -> None:
        super().__init__(config.encoder, config.momentum)
        self.config = config
        self.register_buffer("queue", F.normalize(torch.randn(queue, config.encoder.project), dim=1))
        self.fresh = self.queue[:0]  # keys of the last batch; they enter the queue after the step

    def forward(self, views: Crops, keys: Keys | None = None) -> Output:
        """L_IN (equation 1) of some images of a batch. Queries and keys have V = 1: one feature per image.

        Args:
            views: the views of these images.
            keys: the keys of the whole batch. None if `views` are the whole batch.
        """
        keys = self.keys(views) if keys is None else keys
        queries = self.query_head(self.query(views.query))
        self.fresh = keys.features[:, 0]
        own = keys.features[keys.first : keys.first + len(queries)]
        contrast = infonce_queue(queries, own[:, 0], self.queue, self.config.temperature)
        return Output(contrast, contrast, contrast.new_zeros(()), queries.detach()[:, None], own)

    @torch.no_grad()
    def keys(self, views: Crops) -> Keys:
        """One key per image, at place 0."""
        features = self.key_head(self.key(views.key))[:, None]
        return Keys(features, torch.zeros(len(features), 1, dtype=torch.long, device=features.device))

    @torch.no_grad()
    def update_key(self) -> None:
        """Call this after each step: the key encoder follows, and the new keys replace the oldest ones in the queue."""
        super().update_key()
        self.queue.copy_(torch.cat([self.fresh, self.queue])[: len(self.queue)])


def price(step: Step, own: QueueSettings) -> Price:
    """The cost of InfoNCE against a queue of K keys: the logits of a micro-batch, the queue and its next state."""
    products = 2 * own.queue * step.project
    return Price(step.batch * own.queue, products, products, 2 * own.queue + 3 * step.share, 8 * step.micro * own.queue)


def check(run: Run) -> str | None:
    """Refuse a queue that the run cannot fill: it would hold random keys to the end."""
    queue, passes = run.own.queue, run.passes
    return f"queue={queue}: the run has no more than passes={passes} keys to fill it" if queue > passes else None


# MoCo compares whole crops: nothing is masked and no patch moves
WHOLE_CROPS = {"mask_ratio": 0.0, "max_shift": 0, "augment": "image", "crop": "resized", "crop_mix": 0.0}
COLOURS = {"crop_min": 0.2, "color": 0.4, "blur": 0.5}  # the crops and colours of MoCo v2
# settings of masks, of single patches and of what a decoder predicts; its negatives are the queue
UNREAD = (
    "negatives", "compare", "target", "bins", "unit", "auxiliary_weight", "zeros", "fill", "key_patches", "flip",
    "decoder_width", "decoder_depth", "decoder_heads",
)  # fmt: skip

METHOD = Method(
    build=lambda model, own: MoCo(model, own.queue),
    draws_per_image=draws_per_image,
    make_views=make_views,
    price=price,
    compared=lambda model, visible: 1,
    auxiliary=lambda views: None,
    settings=QueueSettings,
    brings=WHOLE_CROPS | COLOURS,
    fixed=WHOLE_CROPS,
    crop_draws=(0, DRAWS),
    ignores=UNREAD,
    check=check,
)
