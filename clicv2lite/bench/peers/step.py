"""One step of MoCo and of MAE: lightly's parts against ours, and solo-learn's MoCo v3 where it can be installed."""

import copy
import importlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clicv2lite.bench.measure import Operation
from clicv2lite.bench.peers.row import Comparison, Sides
from clicv2lite.learners.moco import Crops, MoCo
from clicv2lite.method.clicv2 import ModelConfig
from clicv2lite.method.decoder import Decoder, DecoderConfig
from clicv2lite.method.encoder import EncoderConfig, build_vit, encode_visible
from clicv2lite.method.masking import take
from clicv2lite.method.patches import patchify
from clicv2lite.pretrain.engine import plain_attention
from clicv2lite.pretrain.optim import make_optimizer
from clicv2lite.recipes.library import get_recipe

SHAPE = EncoderConfig(size=128, patch=16, width=192, depth=6, heads=3)
DECODER = DecoderConfig(width=128, depth=2, heads=4)
BATCH, QUEUE, MASK = 32, 4096, 0.75
TAU, MOMENTUM = 0.2, 0.999


def comparisons() -> list[Comparison]:
    """MoCo, MAE, MoCo v3."""
    what = (
        f"ViT of width {SHAPE.width}, depth {SHAPE.depth} and patch {SHAPE.patch}, {BATCH} images of {SHAPE.size} px in "
        "memory, float32, AdamW (fused)"
    )
    return [
        Comparison(
            "MoCo step", "lightly", f"{what}, queue of {QUEUE:,}, heads of one shape, same weights of the encoder",
            "attention as two products; GELU in the head; all weights of the key encoder in one call",
            "timm's fused attention; ReLU in the head; the key encoder weight by weight; its bank is copied in each step", moco,
        ),
        Comparison(
            "MAE step", "lightly", f"{what}, {MASK:.0%} masked, decoder of width {DECODER.width}, same weights of the encoder",
            "attention as two products; embeds the visible patches only",
            "timm's fused attention; embeds all patches, and then drops the masked ones", mae,
        ),
        Comparison("MoCo v3 step", "solo-learn", what, "", "", solo),
    ]  # fmt: skip


def moco() -> Sides:
    """Keys, queries, loss against the queue, backward, update, momentum."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules.heads import MoCoProjectionHead
    from lightly.models.utils import update_momentum

    query, key = torch.rand(2, BATCH, 3, SHAPE.size, SHAPE.size).unbind()
    own = MoCo(ModelConfig(encoder=SHAPE, momentum=MOMENTUM, temperature=TAU), QUEUE)
    peer = nn.Sequential(copy.deepcopy(own.query), MoCoProjectionHead(SHAPE.width, SHAPE.width, SHAPE.project))
    follower = copy.deepcopy(peer).requires_grad_(False)
    loss = NTXentLoss(temperature=TAU, memory_bank_size=(QUEUE, SHAPE.project))
    plain_attention(own)
    step, step_there = stepping(own), stepping(peer)

    def ours() -> torch.Size:
        views = Crops(query, key)
        output = own(views, own.keys(views))
        step(output.total)
        own.update_key()
        return output.queries.flatten(1).shape

    def theirs() -> torch.Size:
        update_momentum(peer, follower, m=MOMENTUM)
        with torch.no_grad():
            keys = follower(key)
        queries = peer(query)
        step_there(loss(queries, keys))
        return queries.shape

    return ours, theirs


def stepping(model: nn.Module) -> Callable[[Tensor], None]:
    """Backward and update, the same for both sides."""
    optimizer = make_optimizer(model, get_recipe("lite"))

    def step(total: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()

    return step


class PixelMAE(nn.Module):
    """Masked autoencoding of pixels from our parts."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = build_vit(SHAPE)
        self.decoder = Decoder(SHAPE.width, SHAPE.grid, DECODER, out=3 * SHAPE.patch**2)

    def forward(self, images: Tensor) -> tuple[Tensor, torch.Size]:
        """Images (B, 3, S, S) -> mean squared error of the masked patches, and the shape of the tokens."""
        patches = patchify(images, SHAPE.patch)  # (B, G, 3, p, p)
        order = torch.rand(patches.shape[:2]).argsort(1)
        visible, masked = order.tensor_split([int((1 - MASK) * patches.shape[1])], dim=1)
        tokens = encode_visible(self.vit, take(patches, visible), visible)
        return F.mse_loss(self.decoder(tokens, visible, masked), take(patches, masked).flatten(2)), tokens.shape


class LightlyMAE(nn.Module):
    """The same from lightly's parts, as in its own example."""

    def __init__(self) -> None:
        from lightly.models import modules, utils

        super().__init__()
        self.utils, places = utils, SHAPE.grid[0] * SHAPE.grid[1]
        self.encoder = modules.MaskedVisionTransformerTIMM(vit=build_vit(SHAPE))
        self.embed = nn.Linear(SHAPE.width, DECODER.width)
        self.decoder = modules.MaskedVisionTransformerDecoderTIMM(
            num_patches=places, embed_dim=DECODER.width, depth=DECODER.depth, num_heads=DECODER.heads, num_prefix_tokens=0
        )
        self.predict = nn.Linear(DECODER.width, 3 * SHAPE.patch**2)

    def forward(self, images: Tensor) -> tuple[Tensor, torch.Size]:
        """As PixelMAE; there is no class token, so any token may be masked."""
        size = len(images), self.encoder.sequence_length
        keep, mask = self.utils.random_token_mask(size=size, mask_ratio=MASK, mask_class_token=True)
        tokens = self.encoder.encode(images=images, idx_keep=keep)
        embedded = self.embed(tokens)
        full = self.utils.set_at_index(self.utils.repeat_token(self.decoder.mask_token, size), keep, embedded)
        predicted = self.predict(self.utils.get_at_index(self.decoder(full), mask))
        target = self.utils.get_at_index(self.utils.patchify(images, SHAPE.patch), mask)
        return F.mse_loss(predicted, target), tokens.shape


def mae() -> Sides:
    """Mask, encode what is visible, decode, error of the masked pixels, backward, update."""
    own, peer = PixelMAE(), LightlyMAE()
    peer.encoder.vit.load_state_dict(own.vit.state_dict())
    plain_attention(own)
    images = torch.rand(BATCH, 3, SHAPE.size, SHAPE.size)

    def side(model: nn.Module) -> Operation:
        step = stepping(model)

        def run() -> torch.Size:
            total, shape = model(images)
            step(total)
            return shape

        return run

    return side(own), side(peer)


def solo() -> Sides:
    """No release of solo-learn goes with a torch of today; if one comes, its step belongs here."""
    importlib.import_module("solo")
    raise NotImplementedError("this release of solo-learn installs, and its step is not compared yet")
