"""MoCo v2 on a ViT: whole crops are compared, not patches; what CLIC and CLICv2 start from (CLICv2, equation 1; chapter 9).

He et al. 2020 (queue, momentum key), Chen et al. 2020 (crops, two-layer head, temperature 0.2). Named choices: the encoder is
this package's ViT and its mean token the image's feature, where the paper's table 1 has a ResNet-50; hue jitter and the
conversion to gray are left out, so that all methods share one augmentation (views.augment).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from clicv2lite.learners.base import Method, Price, Step
from clicv2lite.method.clicv2 import Keys, ModelConfig, Output
from clicv2lite.method.momentum import QueryAndKey
from clicv2lite.method.pixels import normalize
from clicv2lite.method.views import CROP_DRAWS, ViewConfig, augment, base_crop
from clicv2lite.ranges import Count

AUGMENT_DRAWS = 5  # uniform numbers that augment consumes
DRAWS = CROP_DRAWS + AUGMENT_DRAWS  # of one crop


class Crops(NamedTuple):
    """Two crops of each image, normalised."""

    query: Tensor  # (B, 3, S, S)
    key: Tensor  # (B, 3, S, S)


def draws_per_image(config: ViewConfig) -> int:
    """How many uniform numbers :func:`make_views` consumes for one image."""
    return 2 * DRAWS


def one_crop(images: Tensor, noise: Tensor, config: ViewConfig) -> Tensor:
    """A random resized crop, mirrored, its colours jittered and blurred as a whole.

    Args:
        images: (B, 3, H, W) uint8.
        noise: (B, 10) uniform in [0, 1).

    Returns:
        (B, 3, size, size) float32 in [0, 1].
    """
    crop_noise, augment_noise = noise.split([CROP_DRAWS, AUGMENT_DRAWS], dim=1)
    crop = base_crop(images, crop_noise, config)
    return augment(crop[:, None], augment_noise[:, None], config)[:, 0]  # the crop is one patch as large as the image


def make_views(images: Tensor, noise: Tensor, config: ViewConfig) -> Crops:
    """Two independent crops of each image: (B, 3, H, W) uint8 and (B, 20) uniform noise -> Crops."""
    query, key = (normalize(one_crop(images, part, config)) for part in noise.split(DRAWS, dim=1))
    return Crops(query, key)


def infonce_queue(q: Tensor, k: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE of whole images against a queue of earlier keys (equation 1).

    Args:
        q, k: (B, d) query and key of the same image, unit length.
        queue: (K, d) keys of earlier batches, unit length: the negatives.
        temperature: tau, above 0; logits are q . k / tau (equation 1 prints no division sign, equation 2 has it).

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
    """What MoCo has beside the settings of every method."""

    queue: Count = 65_536  # keys that are remembered


class MoCo(QueryAndKey):
    """Query and momentum key encoder on whole crops, and a first-in-first-out queue of keys.

    Attributes:
        queue: (K, d) keys, the newest first; random directions at the start. Part of the state, so of a checkpoint.
    """

    queue: Tensor

    def __init__(self, config: ModelConfig, queue: int) -> None:
        super().__init__(config.encoder, config.momentum)
        self.config = config
        self.register_buffer("queue", F.normalize(torch.randn(queue, config.encoder.project), dim=1))
        self.fresh = self.queue[:0]  # the last batch's keys, which the queue takes after the step

    def forward(self, views: Crops, keys: Keys | None = None) -> Output:
        """L_IN of some images of a batch; queries and keys have V = 1, one feature an image.

        Args:
            views: of these images.
            keys: of the whole batch, when `views` are a part of it; their own if None.
        """
        keys = self.keys(views) if keys is None else keys
        queries = self.query_head(mean_token(self.query, views.query))
        self.fresh = keys.features[:, 0]
        own = keys.features[keys.first : keys.first + len(queries)]
        contrast = infonce_queue(queries, own[:, 0], self.queue, self.config.temperature)
        return Output(contrast, contrast, contrast.new_zeros(()), queries.detach()[:, None], own)

    @torch.no_grad()
    def keys(self, views: Crops) -> Keys:
        """One key an image, at place 0."""
        features = self.key_head(mean_token(self.key, views.key))[:, None]
        return Keys(features, torch.zeros(len(features), 1, dtype=torch.long, device=features.device))

    @torch.no_grad()
    def update_key(self) -> None:
        """After a step: the key encoder follows, and the batch's keys push the oldest out of the queue."""
        super().update_key()
        self.queue.copy_(torch.cat([self.fresh, self.queue])[: len(self.queue)])


def mean_token(vit: VisionTransformer, images: Tensor) -> Tensor:
    """Mean of the last block's patch tokens: (B, 3, S, S), normalised -> (B, width)."""
    tokens: Tensor = vit.forward_features(images)
    return tokens[:, vit.num_prefix_tokens :].mean(1)


def price(step: Step, own: QueueSettings) -> Price:
    """Of InfoNCE against a queue of K keys: its logits for a micro-batch, the queue and its next state."""
    products = 2 * own.queue * step.project
    return Price(step.batch * own.queue, products, products, 2 * own.queue + 3 * step.share, 8 * step.micro * own.queue)


def check(own: QueueSettings, passes: int) -> str | None:
    """A queue that the run never fills would hold random keys to the end."""
    return f"queue={own.queue}: the run has no more than passes={passes} keys to fill it" if own.queue > passes else None


# whole crops are compared: nothing is masked, no patch moves
WHOLE_CROPS = {"mask_ratio": 0.0, "max_shift": 0, "augment": "image", "crop": "resized", "crop_mix": 0.0}
COLOURS = {"crop_min": 0.2, "color": 0.4, "blur": 0.5}  # the crops and colours of MoCo v2

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
    crops=2,
    check=check,
)
