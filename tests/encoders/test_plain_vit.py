import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.encoders.config import FrozenConfig, PoolConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.method.encoder import EncoderConfig, build_vit
from clicv2lite.models.by_name import DEFAULT, load_encoder


def shapes():
    plain = st.tuples(st.integers(2, 6), st.just("linear"))
    stems = st.tuples(st.just(8), st.sampled_from(["conv", "conv-pool"]))
    return st.builds(
        lambda embedding, grid, heads, depth, token: EncoderConfig(
            embedding[0] * grid, embedding[0], 8 * heads, depth, heads, token, patch_embed=embedding[1]
        ),
        plain | stems, st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.booleans(),
    )  # fmt: skip


def both(config):
    torch.manual_seed(0)
    vit = build_vit(config).eval().requires_grad_(False)
    for parameter in vit.parameters():
        parameter.add_(torch.randn_like(parameter) / 10)  # norms and biases too
    return vit, PlainViT(config).load_timm(vit.state_dict()).eval().requires_grad_(False)


@given(shapes(), st.integers(1, 6), st.integers(1, 6))
def test_it_computes_what_timm_computes_at_any_size(config, rows, columns):
    vit, plain = both(config)
    images = torch.randn(2, 3, config.patch * rows, config.patch * columns)
    np.testing.assert_allclose(plain(images), vit.forward_features(images), atol=1e-5)
    indices = list(range(config.depth))[::-1]
    want = vit.forward_intermediates(images, indices=indices, output_fmt="NLC", intermediates_only=True)
    for got, tokens in zip(plain.intermediates(images, indices), want[::-1], strict=True):
        np.testing.assert_allclose(got, tokens, atol=1e-5)


@given(shapes())
def test_its_weights_are_timms_under_timms_names(config):
    vit, plain = both(config)
    state = plain.state_dict()
    assert set(state) == set(vit.state_dict()) and all(v.equal(state[k]) for k, v in vit.state_dict().items())


def test_the_timm_model_of_an_encoder_shares_its_tensors_and_agrees(tmp_path):
    vit, _ = both(EncoderConfig(24, 6, 16, 3, 2))
    FrozenEncoder("x", vit, FrozenConfig(EncoderConfig(24, 6, 16, 3, 2), PoolConfig((0, 2)))).save(tmp_path)
    encoder = load_encoder(str(tmp_path))
    images = torch.randint(0, 256, (3, 3, 24, 24), dtype=torch.uint8)
    torch.manual_seed(7)
    want = torch.rand(1)
    torch.manual_seed(7)
    timm = FrozenEncoder("timm", encoder.vit, encoder.config)
    assert torch.rand(1).equal(want), "building it left the generator alone"
    np.testing.assert_allclose(encoder.features(images), timm.features(images), atol=1e-5)
    np.testing.assert_allclose(encoder.tokens(images), timm.tokens(images), atol=1e-5)
    encoder.vit.patch_embed.proj.weight.mul_(2)
    np.testing.assert_allclose(encoder.features(images), timm.features(images), atol=1e-5)


def test_weights_of_another_shape_are_refused():
    vit, _ = both(EncoderConfig(24, 6, 16, 3, 2))
    for other in (EncoderConfig(24, 6, 16, 2, 2), EncoderConfig(24, 6, 32, 3, 2), EncoderConfig(24, 6, 16, 3, 2, True)):
        with pytest.raises(RuntimeError):
            PlainViT(other).load_timm(vit.state_dict())
    with pytest.raises(ValueError, match="do not tile"):
        PlainViT(EncoderConfig(25, 6, 16, 3, 2))


def test_scoring_imports_neither_timm_nor_what_only_others_need():
    heavy = "{'timm', 'torchvision', 'scipy', 'sklearn', 'skimage', 'pandas', 'matplotlib', 'torch._dynamo', 'huggingface_hub'}"
    code = (
        "import sys; from clicv2lite.cli import main; from clicv2lite.data.embedded import photographs\n"
        "assert main(['score', str(photographs()['coffee'])]) == 0\n"
        f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert (DEFAULT / "encoder.safetensors").is_file()
