import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError
from clicv2lite.method.encoder import EncoderConfig, build_vit
from clicv2lite.method.pixels import normalize
from clicv2lite.models.as_timm import timm_arguments, timm_model
from clicv2lite.models.by_name import load_encoder


def agrees(model, encoder):
    images = torch.randint(0, 256, (2, 3, encoder.size, encoder.size), dtype=torch.uint8)
    with torch.no_grad():
        tokens = model.forward_features(normalize(images / 255))[:, model.num_prefix_tokens :]
    np.testing.assert_allclose(tokens, encoder.tokens(images).flatten(1, 2), atol=1e-4)


@pytest.mark.parametrize("name", ["default", "lite", "plus"])
def test_timm_creates_the_encoder_of_a_shipped_model_from_its_file(name):
    model = timm.create_model(**timm_arguments(name)).eval()
    assert type(model) is VisionTransformer
    agrees(model, load_encoder("lite" if name == "lite" else "default"))  # plus has that of default, and formulas
    assert all(p.requires_grad for p in timm_model(name).parameters())


@pytest.mark.parametrize("patch_embed", ["linear", "conv", "conv-pool"])
@pytest.mark.parametrize("class_token, half", [(False, True), (True, False)])
def test_timm_creates_an_encoder_of_any_shape(tmp_path, class_token, half, patch_embed):
    config = EncoderConfig(24, 8, 24, 3, 2, class_token, patch_embed=patch_embed)
    FrozenEncoder("x", build_vit(config), FrozenConfig(config)).save(tmp_path, half)
    for spec in (tmp_path, tmp_path / "encoder.safetensors"):
        agrees(timm_model(str(spec)), load_encoder(str(spec)))


def test_what_has_no_file_is_refused():
    with pytest.raises(UserError, match="no file of clicv2lite"):
        timm_arguments("random")
