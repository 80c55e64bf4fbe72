"""A query encoder and its momentum key encoder; every method here has both (He et al. 2020; CLICv2, figure 4; chapter 6)."""

import copy
from typing import Any

import torch
from torch import nn

from clicv2lite.method.encoder import EncoderConfig, ProjectionHead, build_encoder, feature_width


class QueryAndKey(nn.Module):
    """The query encoder learns. The key encoder starts with the same weights and follows it (figure 4).

    Args:
        shape: shape of both encoders and their projection heads.
        momentum: m, in 0..1: the share of the key weights that stays in each step.
    """

    def __init__(self, shape: EncoderConfig, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.query: Any = build_encoder(shape)  # made first: so all methods with the same seed start from the same weights
        self.query_head = ProjectionHead(feature_width(shape), shape.project)
        self.key: Any = copy.deepcopy(self.query).requires_grad_(False)
        self.key_head = copy.deepcopy(self.query_head).requires_grad_(False)

    @torch.no_grad()
    def update_key(self) -> None:
        """Call this after each step: key = m * key + (1 - m) * query (section 4.1: m = 0.999).

        Averages of batch norm are no weights: as in MoCo, the key encoder keeps those of the images that it has seen.
        """
        for key, query in ((self.key, self.query), (self.key_head, self.query_head)):
            torch._foreach_lerp_(list(key.parameters()), list(query.parameters()), 1 - self.momentum)
