"""CLICv2: a query encoder, a momentum key encoder, a decoder, two losses (CLICv2, equation 12, figure 4; chapter 6)."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor

from clicv2lite.method.decoder import Decoder, DecoderConfig
from clicv2lite.method.encoder import EncoderConfig, encode_visible
from clicv2lite.method.infonce import NEGATIVES, infonce
from clicv2lite.method.masking import take
from clicv2lite.method.momentum import QueryAndKey
from clicv2lite.method.views import Views
from clicv2lite.ranges import NonNegative, OneOf, Share


@dataclass(frozen=True)
class LossConfig:
    """How queries and keys are compared, and the weight of the second loss. Defaults: the paper's."""

    temperature: Annotated[float, Ge(1e-4), Le(1e4)] = 0.2  # tau of equation 2
    auxiliary_weight: NonNegative = 2.0  # lambda of equation 12; in other methods, the weight of their own second loss
    momentum: Share = 0.999  # of the key encoder
    negatives: Annotated[str, OneOf(NEGATIVES)] = "batch"
    compare: Literal["patch", "image"] = "patch"  # image: one feature per image, from its mean visible token (table 4)


@dataclass(frozen=True)
class ModelConfig(LossConfig):
    """The model and its losses."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    target_size: int = 1  # numbers that the decoder predicts per patch: 1 for entropy; 0: no decoder (table 5, "None")


class Keys(NamedTuple):
    """The keys that queries are compared with: those of the whole global batch."""

    features: Tensor  # (B, V, d), unit length, no gradient
    places: Tensor  # (B, V) int64, position of each patch
    first: int = 0  # the queries belong to images first, first + 1, ... of the batch


class Output(NamedTuple):
    """Losses and features of one batch."""

    total: Tensor  # scalar, equation 12
    contrast: Tensor  # scalar, L_PwIN (equation 3) in nats
    auxiliary: Tensor  # scalar, the second loss without its weight: L_rec (equation 11), in bits^2 for entropy; 0 if none
    queries: Tensor  # (B, V, d), unit length
    keys: Tensor  # (B, V, d) of the same patches, unit length, no gradient


class CLICv2(QueryAndKey):
    """Query and key encoder see the visible patches; the decoder predicts the entropy of the masked ones (figure 4)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.encoder, config.momentum)
        self.config = config
        shape = config.encoder
        self.decoder = Decoder(shape.width, shape.grid, config.decoder, config.target_size) if config.target_size else None

    def forward(self, views: Views, keys: Keys | None = None) -> Output:
        """The loss of some images of a batch: L = L_PwIN + lambda * L_rec (equation 12).

        Args:
            views: the views of these images.
            keys: the keys of the whole batch. None if `views` are the whole batch.
        """
        keys = self.keys(views) if keys is None else keys
        tokens = encode_visible(self.query, views.query, views.visible)
        queries = self.query_head(self._compared(tokens))
        contrast = infonce(
            queries, keys.features, keys.places, self.config.temperature, self.config.negatives, first=keys.first
        )
        reconstruction = self.reconstruction(tokens, views)
        total = contrast + self.config.auxiliary_weight * reconstruction
        own = keys.features[keys.first : keys.first + len(queries)]
        return Output(total, contrast, reconstruction, queries.detach(), own)

    def keys(self, views: Views) -> Keys:
        """The keys of these images and their places: one key per visible patch, or one per image, at place 0."""
        features = self.encode_keys(views)
        return Keys(features, views.visible if self.config.compare == "patch" else torch.zeros_like(views.visible[:, :1]))

    @torch.no_grad()
    def encode_keys(self, views: Views) -> Tensor:
        """Key features (B, V, d) of the visible patches. The key encoder may see only those, or the whole image."""
        if views.key.shape[1] == views.visible.shape[1]:
            tokens = encode_visible(self.key, views.key, views.visible)
        else:
            every = torch.arange(views.key.shape[1], device=views.key.device).expand(len(views.key), -1)
            tokens = take(encode_visible(self.key, views.key, every), views.visible)
        keys: Tensor = self.key_head(self._compared(tokens))
        return keys

    def _compared(self, tokens: Tensor) -> Tensor:
        return tokens if self.config.compare == "patch" else tokens.mean(1, keepdim=True)

    def reconstruction(self, tokens: Tensor, views: Views) -> Tensor:
        """L_rec (equation 11, as a mean) from the query tokens (B, V, D); 0 when nothing is masked or predicted."""
        if self.decoder is None or views.masked.shape[1] == 0:
            return tokens.new_zeros((), dtype=torch.float32)
        return (self.decoder(tokens, views.visible, views.masked) - views.target).square().mean(-1).mean()  # over (B, M)
