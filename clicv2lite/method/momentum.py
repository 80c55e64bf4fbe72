"""A query encoder and its momentum key encoder, which every method here has (He et al. 2020; CLICv2, figure 4; chapter 6)."""

import copy

import torch
from torch import nn

from clicv2lite.method.encoder import EncoderConfig, ProjectionHead, build_vit


class QueryAndKey(nn.Module):
    """The query encoder learns; the key encoder, equal to it at the start, follows.

    Args:
        shape: of both encoders and their projection heads.
        momentum: m, within 0..1: how much of the key stays in a step.
    """

    def __init__(self, shape: EncoderConfig, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.query = build_vit(shape)  # first, so that every method starts from the same weights at the same seed
        self.query_head = ProjectionHead(shape.width, shape.project)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.key_head = copy.deepcopy(self.query_head).requires_grad_(False)

    @torch.no_grad()
    def update_key(self) -> None:
        """After a step: key = m key + (1 - m) query."""
        for key, query in ((self.key, self.query), (self.key_head, self.query_head)):
            torch._foreach_lerp_(list(key.parameters()), list(query.parameters()), 1 - self.momentum)
