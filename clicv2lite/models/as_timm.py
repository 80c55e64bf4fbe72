"""The encoder of a model, or its first, as a timm model, for code that works with timm (book chapter 12)."""

from pathlib import Path
from typing import Any

from torch import nn

from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.encoders.weight_files import WEIGHTS
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.method.backbone import VIT, arguments
from clicv2lite.method.encoder import vit_arguments
from clicv2lite.models.by_name import SHIPPED, load_encoder


def timm_arguments(spec: str = "default") -> dict[str, Any]:
    """Arguments for `timm.create_model(**timm_arguments())`: the shape of the encoder, and the file with its weights.

    The file is an ordinary timm checkpoint: it has timm's keys and loads strictly. Inputs are RGB in 0..1, normalised with
    ImageNet's mean and deviation (:func:`clicv2lite.method.pixels.normalize`). The patch size must divide their sides.

    Args:
        spec: "default", "lite", a folder of `pretrain` or `probe`, or a .safetensors file that one of them wrote.

    Raises:
        UserError: if there is no such encoder.
    """
    encoder = load_encoder(spec).parts[0]
    shape, path = encoder.config.encoder, Path(encoder.name)  # its file, if no other name is known
    if encoder.name in SHIPPED:
        path = SHIPPED[encoder.name] / WEIGHTS
    file = {"checkpoint_path": str(path)}
    if shape.backbone != VIT and path.exists():
        return {**arguments(shape.backbone, shape.size), **file}
    if not isinstance(encoder.net, PlainViT):
        raise UserError(
            f"{spec}: no file of clicv2lite; give default, lite, a folder of pretrain or probe, or a .safetensors file"
        )
    return {"model_name": "vit_base_patch16_224", **file, **vit_arguments(shape)}  # the plain ViT, of another shape


def timm_model(spec: str = "default") -> nn.Module:
    """timm's own model with the weights of an encoder, in evaluation mode. `forward_features` of a ViT gives (B, [1 +] G, D).

    Unlike `FrozenEncoder.vit` it has gradients. Fine-tune it, or use it wherever a timm model is expected.
    """
    with extra("train"):
        import timm

    model: Any = timm.create_model(**timm_arguments(spec))
    return model.eval()
