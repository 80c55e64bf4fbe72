"""A frozen encoder turns images into tokens and pooled features, the inputs of probes and scores (book chapter 8).

A ViT gives tokens; another network gives feature maps, whose places stand for tokens (:mod:`clicv2lite.encoders.feature_maps`).
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clicv2lite.ambient import own_settings
from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.feature_maps import intermediates, stage_maps
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.encoders.pooling import pool
from clicv2lite.encoders.token_similarity import READINGS
from clicv2lite.encoders.weight_files import METADATA, digest_of, encoder_files, numbered_file
from clicv2lite.encoders.zoom import zoomed
from clicv2lite.errors import UserError
from clicv2lite.files import write_bytes
from clicv2lite.method.backbone import VIT
from clicv2lite.method.encoder import build_encoder, build_vit
from clicv2lite.method.pixels import normalize

if TYPE_CHECKING:  # timm takes seconds to import; functions that need it import it
    from timm.models.vision_transformer import VisionTransformer

LEVELS = torch.linspace(-3, 3, 13)  # at which a GELU is told from its approximations
AT_ONCE = 8  # images per pass on a CPU: their tokens fit into its cache; larger passes are slower


class FrozenEncoder:
    """A network without gradients: it turns images into tokens or pooled features.

    Attributes:
        name: where it was loaded from.
        size: side of the square input, pixels.
        width: D of a token, or channels of the last feature map.
        differentiable: whether gradients reach the images through it, as through a network; formulas have none.
        named: if not "", a name that clicv2lite knows it by in every installation: its file then holds the name alone.
    """

    differentiable = True
    named = ""

    def __init__(self, name: str, net: nn.Module, config: FrozenConfig) -> None:
        self.name, self.net, self.config = name, net.eval().requires_grad_(False), config
        self.size = config.pool.size or config.encoder.size
        self.width = config.encoder.width

    @cached_property
    def vit(self) -> "VisionTransformer":
        """The encoder as timm's VisionTransformer. It shares its tensors with `features`; UserError if it is no ViT."""
        if self.config.encoder.backbone != VIT:
            raise UserError(f"{self.name}: a {self.config.encoder.backbone}, and this needs a ViT; take another encoder")
        if not isinstance(self.net, PlainViT):
            return self.net  # type: ignore[return-value]
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
            vit = build_vit(self.config.encoder)
        vit.load_state_dict(self.net.state_dict(), assign=True)
        return vit.eval().requires_grad_(False)

    def read_as(self, pooling: Mapping[str, Any]) -> "FrozenEncoder":
        """The same weights, read in another way.

        Args:
            pooling: fields of `PoolConfig`, each with ``pool_`` before its name; no weight depends on them.

        Raises:
            UserError: if they do not fit the encoder, see `FrozenConfig.misfit`.
        """
        if not pooling:
            return self
        pool = replace(self.config.pool, **{key.removeprefix("pool_"): value for key, value in pooling.items()})
        config = FrozenConfig(self.config.encoder, pool)
        if reason := config.misfit():
            raise UserError(f"--set {reason}")
        return FrozenEncoder(self.name, self.net, config)

    @property
    def members(self) -> "tuple[FrozenEncoder, ...]":
        """The encoders that have a file each in a folder, in order; itself, unless several stand side by side."""
        return (self,)

    @property
    def parts(self) -> "tuple[FrozenEncoder, ...]":
        """The encoders it is made of, in the order of their features; one alone, unless several stand side by side."""
        return (self,)

    @property
    def nets(self) -> list[nn.Module]:
        """The networks that features come from."""
        return [part.net for part in self.parts]

    @property
    def feature_count(self) -> int:
        """F, how many numbers `features` gives for an image."""
        return self.config.features

    @property
    def device(self) -> torch.device:
        """The device that it computes on, where images must be."""
        return next(self.net.parameters()).device

    def to(self, device: torch.device) -> "FrozenEncoder":
        """Move the encoder to the device that it computes on."""
        self.net.to(device)
        if "vit" in vars(self):
            self.vit.to(device)
        return self

    def blocks(self, images: Tensor) -> list[Tensor]:
        """Tokens of the blocks to pool, each token layer-normalised without weights.

        Args:
            images: (B, 3, S, S) in 0..255, uint8 or floating point.

        Returns:
            one (B, G, D) float32 tensor per block of ``config.pool.blocks``.
        """
        depth = self.config.encoder.depth
        indices = [block % depth for block in self.config.pool.blocks]
        # float32, not bfloat16: the features of an image must not depend on the batch it comes in
        inputs = normalize(images.float() / 255)
        if isinstance(self.net, PlainViT):
            found = self.net.intermediates(inputs, indices)
        else:
            found = intermediates(self.vit, inputs, indices, "NLC")
        return [F.layer_norm(tokens.float(), (self.width,)) for tokens in found]

    @own_settings()
    def tokens(self, images: Tensor) -> Tensor:
        """Normalised tokens of the last block as a map, or the last feature map: (B, 3, S, S) uint8 -> (B, h, w, D) float32."""
        with torch.inference_mode():
            return self.traced_tokens(images)

    def traced_tokens(self, images: Tensor) -> Tensor:
        """As `tokens`, in the caller's gradient mode."""
        if self.config.encoder.backbone != VIT:
            return stage_maps(self.net, images, [self.config.encoder.depth - 1], self.config.encoder)[0]
        inputs = normalize(images.float() / 255)
        tokens: Tensor = self.net(inputs) if isinstance(self.net, PlainViT) else self.vit.forward_features(inputs)
        h, w = (side // self.config.encoder.patch for side in images.shape[-2:])
        return tokens[:, -h * w :].float().unflatten(1, (h, w))

    def halved(self, images: Tensor) -> list[Tensor]:
        """The images at full size, then halved again and again: (B, 3, S, S) -> (B, 3, S, S), (B, 3, S / 2, S / 2), ..."""
        whole = images.float()
        return [whole, *(F.avg_pool2d(whole, 2**times) for times in range(1, self.config.pool.halvings + 1))]

    def channels(self, images: Tensor) -> list[Tensor]:
        """The maps that are pooled: at full size every block in order, the same for each halved image, then each zoom.

        Args:
            images: (B, 3, S, S) uint8; S is a multiple of patch * 2 ** ``config.pool.halvings``.

        Returns:
            one (B, h, w, K) float32 map per size and block, and per zoom; K is the width of a token or the channels of a
            stage, or what `token_similarity.READINGS` says.

        Raises:
            ValueError: if a halved image cannot be cut into patches.
        """
        pool, patch = self.config.pool, self.config.encoder.patch
        if any(side % (patch << pool.halvings) for side in images.shape[-2:]):
            raise ValueError(f"patches of {patch} px do not tile {tuple(images.shape[-2:])} px halved {pool.halvings} times")
        found: list[Tensor] = []
        for image in self.halved(images):  # a place of a halved image covers four places of the image before
            found += self._maps(image)
        found += [self.embedded(image) for image in self.zooms(images)]
        return [READINGS[pool.read][0](tokens) for tokens in found] if pool.read in READINGS else found

    def zooms(self, images: Tensor) -> list[Tensor]:
        """The images with the middles of their patches enlarged: (B, 3, S, S) for each zoom."""
        return [zoomed(images, self.config.encoder.patch, times) for times in self.config.pool.zoom]

    def embedded(self, images: Tensor) -> Tensor:
        """Patch embeddings of a ViT, before any block and without positions, layer-normalised without weights.

        Args:
            images: (B, 3, S, S) in 0..255, uint8 or floating point.

        Returns:
            (B, h, w, D) float32.
        """
        net: Any = self.net
        tokens: Tensor = net.patch_embed.proj(normalize(images.float() / 255))
        return F.layer_norm(tokens.permute(0, 2, 3, 1).float(), (self.width,))

    def _maps(self, images: Tensor) -> list[Tensor]:
        shape = self.config.encoder
        if shape.backbone != VIT:
            return stage_maps(self.net, images, [block % shape.depth for block in self.config.pool.blocks], shape)
        grid = images.shape[-2] // shape.patch, images.shape[-1] // shape.patch
        return [tokens.unflatten(1, grid) for tokens in self.blocks(images)]

    @own_settings()
    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Pooled features: (B, 3, S, S) uint8 -> (B, F) float32, F = K * (sizes * blocks + zooms) * statistics."""
        few = AT_ONCE if images.device.type == "cpu" else len(images)
        return torch.cat([self.traced_features(part) for part in images.split(few)])

    def traced_features(self, images: Tensor) -> Tensor:
        """As `features`, in the caller's gradient mode. An export traces this function."""
        names = self.config.pool.statistics
        return torch.cat([pool(part.flatten(1, 2), name) for part in self.channels(images) for name in names], dim=1)

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the weights and of how they are read: what features depend on, beside the images."""
        return digest_of(self.net.state_dict(), json.dumps(self.config.stored()).encode())

    def check_storable(self, option: str) -> None:
        """Refuse early an encoder that `save` could write but nothing could load again.

        Raises:
            UserError: for a timm ViT with parts that ours do not have, such as scaled layers, register tokens, another GELU.
        """
        if self.named or isinstance(self.net, PlainViT) or self.config.encoder.backbone != VIT:
            return
        try:
            blocks: Any = self.vit.blocks
            if not all(torch.allclose(block.mlp.act(LEVELS.clone()), F.gelu(LEVELS)) for block in blocks):
                raise RuntimeError  # no tensor of the state tells
            with torch.device("meta"):
                PlainViT(self.config.encoder).load_timm(self.net.state_dict())
        except RuntimeError:
            raise UserError(f"{option}: {self.name} is not a plain ViT and cannot be stored; leave {option} out") from None

    def save(self, folder: Path, half: bool = False) -> None:
        """Write ``encoder.safetensors``: tensors under timm's keys, with the configuration as metadata.

        Several encoders are a file each: ``encoder.safetensors``, ``encoder_2.safetensors``, ...

        Args:
            folder: made if it is missing.
            half: round the weights to float16, which halves the file. They are float32 again when they are loaded.
        """
        for number, one in enumerate(self.members, 1):
            one.save_numbered(folder, number, half)
        for path in encoder_files(folder)[len(self.members) :]:  # of a model that was here before
            path.unlink()

    def save_numbered(self, folder: Path, number: int, half: bool = False) -> None:
        """As `save`, as one of the encoders of a folder that has several; the first is number 1."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {} if self.named else self.net.state_dict()
        rounded = {k: v.half() if half and v.is_floating_point() else v for k, v in weights.items()}
        state = {k: v.clone(memory_format=torch.contiguous_format) for k, v in rounded.items()}  # some networks share tensors
        about = {"named": self.named, "digest": self.digest()} if self.named else self.config.stored()
        metadata = {METADATA: json.dumps(about)}  # a single entry: safetensors writes several in random order
        write_bytes(numbered_file(folder, number), safetensors.torch.save(state, metadata))


@own_settings()
def untrained_encoder(name: str, config: FrozenConfig, seed: int) -> FrozenEncoder:
    """An encoder of any shape, as it is before the first training step. torch's global random state does not change."""
    with torch.random.fork_rng(devices=[]):  # the weights are drawn on the CPU
        torch.default_generator.manual_seed(seed)
        return FrozenEncoder(name, build_encoder(config.encoder), config)
