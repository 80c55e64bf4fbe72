"""Any network of timm's as an encoder: ``backbone=resnet50`` for MoCo and CLIC (CLICv2, table 1; book chapter 11).

The interface is timm's own. An encoder is called with images (B, 3, S, S) and gives one feature per image (B, F), and it has
*stages*: modules whose outputs are its feature maps. In this package's ViT (``backbone=vit``, :mod:`clicv2lite.method.encoder`)
the feature is the mean token, the stages are the blocks, and the places of a map are patch tokens, which can be left out and
compared one by one. CLICv2 needs that; MoCo and CLIC do not.

Networks start from random weights, and nothing is downloaded. They have no dropout and no stochastic depth: no random number is
drawn inside them, so a resumed run ends with the same weights. Batch norm sees the images of one forward pass, so with it the
size of the micro-batches and the number of ranks matter a little, unlike everywhere else in this package.
"""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.method.pixels import MEAN, STD

VIT = "vit"
STAGES = 4  # of a network whose maps get smaller; what timm lists before the last four is the stem
NAMED: dict[str, tuple[str, Mapping[str, Any]]] = {
    "swin-b": ("swin_base_patch4_window7_224", {}),
    # small members of the two families of table 1, about as large as the ViT of `lite`
    "resnet-lite": ("resnet50", {"layers": (1, 1, 1, 1), "channels": (32, 64, 128, 256)}),
    "swin-lite": (
        "swin_tiny_patch4_window7_224",
        {"embed_dim": 32, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8), "window_size": 8},
    ),
}
"""Name of our own -> timm's name, and the arguments that change its shape. Every other backbone has the name timm gives it."""


FREE = {"strict_img_size": False, "dynamic_img_size": True}
"""Arguments of timm's that let a network with windows or positions take images of every size; the first one is used."""


class About(NamedTuple):
    """What is known of a network before it is built."""

    features: int  # F, numbers per image when it is called
    widths: tuple[int, ...]  # channels of each stage
    stride: int  # pixels of the image for one place of the last map, along each axis
    told: frozenset[str]  # arguments by which it is told the size of its images
    fixed: bool  # it takes only images of the size that it was built for
    size: int  # side of the images that timm's own weights were trained on
    mean: tuple[float, float, float]  # what its pixels are normalised with: timm's numbers if the name has the tag of
    std: tuple[float, float, float]  # pretrained weights (resnet50.a1_in1k), else this package's


def wrong_name(name: str) -> str | None:
    """Why there is no such backbone, as the end of an error message; None if there is one.

    Only names of ``NAMED`` and of timm's registry pass, never an address that timm would download a model from.
    """
    if name not in NAMED:
        with extra("train"):
            import timm

        if not timm.is_model(name):
            return f"must be {VIT}, {', '.join(NAMED)}, or a name that timm.list_models() has, such as resnet50"
    try:
        about(name)
    except ValueError as error:
        return f"{error}; take another"
    return None


@cache
def about(name: str) -> About:
    """Read off a network without memory for its weights.

    Raises:
        ValueError: if timm cannot build it, or lists no feature maps of it; the message says why.
    """
    try:
        with torch.device("meta"):
            net: Any = _create(**_named(name))
    except Exception as error:  # networks refuse in many ways: unknown weights behind the dot, a missing package
        raise ValueError(f"timm cannot build it ({' '.join(str(error).split())[:100]})") from None
    if not getattr(net, "feature_info", None) or not hasattr(net, "forward_intermediates"):
        raise ValueError("timm reads no feature maps of it")
    maps, cfg = _maps(net), net.pretrained_cfg
    told = frozenset({"img_size", *FREE} & inspect.signature(type(net).__init__).parameters.keys())
    mean, std = (tuple(cfg["mean"]), tuple(cfg["std"])) if "." in name else (MEAN, STD)
    return About(
        features=getattr(net, "head_hidden_size", None) or net.num_features,
        widths=tuple(one["num_chs"] for one in maps),
        stride=maps[-1]["reduction"],
        told=told,
        fixed=bool(cfg.get("fixed_input_size")) and not told & FREE.keys(),
        size=cfg["input_size"][-1],
        mean=mean,
        std=std,
    )


def shape(name: str) -> dict[str, Any]:
    """Fields of :class:`~clicv2lite.method.encoder.EncoderConfig` that a network decides: its last map and its stages."""
    what = about(name)
    return {
        "width": what.widths[-1],
        "depth": len(what.widths),
        "patch": what.stride,
        "heads": 1,
        "class_token": False,
        "patch_embed": "linear",
    }


def arguments(name: str, size: int) -> dict[str, Any]:
    """What ``timm.create_model`` takes for a network without classifier that reads images of this side."""
    told = about(name).told
    free = next(({key: FREE[key]} for key in FREE if key in told), {})
    return {**_named(name), **free, **({"img_size": size} if "img_size" in told else {})}


def build_network(name: str, size: int) -> nn.Module:
    """A network with random weights from torch's generator: images (B, 3, size, size) -> (B, F).

    Swin and the ViTs of timm are told the size and take others, too: windows are padded, positions resampled.
    """
    net = _create(**arguments(name, size))
    for part in net.modules():  # also timm's DropPath; see above
        for rate in ("p", "drop_prob"):
            if isinstance(getattr(part, rate, None), float):
                setattr(part, rate, 0.0)
    net.register_forward_pre_hook(_channels_last)
    return net


@cache
def unfit(name: str, size: int) -> str | None:
    """Why a network cannot be trained on images of this side, as the end of an error message; None if it can.

    It is built and run without memory for its numbers: timm does not say beforehand what a network of fixed size refuses.
    """
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]), torch.no_grad():
            build_network(name, size)(torch.empty(2, 3, size, size))
    except Exception as error:  # each family refuses in its own way
        return f"timm's network does not run at size={size} ({' '.join(str(error).split())[:100]}); take another"
    return None


@cache
def may_checkpoint(name: str) -> bool:
    """Whether a network can compute the inside of its blocks again in the backward pass."""
    with torch.device("meta"):
        net: Any = _create(**_named(name))
    try:
        net.set_grad_checkpointing(True)
    except AssertionError:
        return False
    return True


def _channels_last(net: nn.Module, images: tuple[Tensor]) -> Tensor:
    """Images with the channels of a pixel side by side: convolutions keep that layout and are faster in it."""
    return images[0].contiguous(memory_format=torch.channels_last)


def stages(net: nn.Module) -> list[nn.Module]:
    """The modules whose outputs are the feature maps of an encoder: the blocks of a ViT, layer1 to layer4 of a ResNet.

    Raises:
        UserError: if the network has none for one of its maps.
    """
    try:
        return [net.get_submodule(found["module"]) for found in _maps(net)]
    except AttributeError as error:
        raise UserError(f"backbone: its maps are not outputs of modules ({error}); take another, or method=moco") from None


def _named(name: str) -> dict[str, Any]:
    own, changed = NAMED.get(name, (name, {}))
    return {"model_name": own, "num_classes": 0, **changed}


def _maps(net: nn.Module) -> list[dict[str, Any]]:
    """timm's records of the stages: all of them if their strides are equal, otherwise the last four."""
    found: list[dict[str, Any]] = list(net.feature_info)  # type: ignore[arg-type]
    return found if len({one["reduction"] for one in found}) == 1 else found[-STAGES:]


def _create(**named: Any) -> nn.Module:
    with extra("train"):
        import timm

    net: nn.Module = timm.create_model(pretrained=False, **named)
    return net
