"""The encoder of a model, or its first, as a timm model, for code that works with timm (book chapter 12)."""

from pathlib import Path
from typing import Any

from torch import nn

from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.method.backbone import VIT, arguments
from clicv2lite.method.encoder import embed_layer
from clicv2lite.models.by_name import load_encoder


def timm_arguments(spec: str = "default") -> dict[str, Any]:
    """Arguments for `timm.create_model(**timm_arguments())`: the shape of the encoder, and the file with its weights.

    The file is an ordinary timm checkpoint: it has timm's keys and loads strictly. Inputs are RGB in 0..1, normalised with
    ImageNet's mean and deviation (:func:`clicv2lite.method.pixels.normalize`). The patch size must divide their sides.

    Args:
        spec: "default", a folder of `pretrain` or `probe`, or a .safetensors file that one of them wrote.

    Raises:
        UserError: if there is no such encoder.
    """
    encoder = load_encoder(spec).parts[0]
    shape, path = encoder.config.encoder, Path(encoder.name)  # of a part, this is its file
    file = {"checkpoint_path": str(path)}
    if shape.backbone != VIT and path.exists():
        return {**arguments(shape.backbone, shape.size), **file}
    if not isinstance(encoder.net, PlainViT):
        raise UserError(f"{spec}: not a file of clicv2lite; give default, a pretrain or probe folder, or a .safetensors file")
    return {
        "model_name": "vit_base_patch16_224",  # the plain ViT; the arguments below override its shape
        **file,
        "img_size": shape.size,
        "patch_size": shape.patch,
        "embed_dim": shape.width,
        "depth": shape.depth,
        "num_heads": shape.heads,
        "class_token": shape.class_token,
        "global_pool": "avg",
        "fc_norm": False,
        "num_classes": 0,
        "dynamic_img_size": True,
        **({} if shape.patch_embed == "linear" else {"embed_layer": embed_layer(shape.patch_embed)}),
    }


def timm_model(spec: str = "default") -> nn.Module:
    """timm's own model with the weights of an encoder, in evaluation mode. `forward_features` of a ViT gives (B, [1 +] G, D).

    Unlike `FrozenEncoder.vit` it has gradients. Fine-tune it, or use it wherever a timm model is expected.
    """
    with extra("train"):
        import timm

    model: Any = timm.create_model(**timm_arguments(spec))
    return model.eval()
