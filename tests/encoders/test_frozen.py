from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.models.vision_transformer import VisionTransformer

from clicv2lite.encoders.config import FrozenConfig, PoolConfig, stored_config
from clicv2lite.encoders.frozen import FrozenEncoder, untrained_encoder
from clicv2lite.encoders.pooling import pool
from clicv2lite.encoders.weight_files import digest_of
from clicv2lite.errors import UserError
from clicv2lite.method.backbone import shape
from clicv2lite.method.encoder import EncoderConfig, build_vit
from clicv2lite.method.pixels import normalize
from clicv2lite.models.by_name import load_encoder

SHAPE = EncoderConfig(size=24, patch=6, width=8, depth=3, heads=2)


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Float32 on every machine, as on one without fast bfloat16."""
    monkeypatch.setattr("clicv2lite.device.has_fast_bfloat16", lambda device: False)


def frozen(shape=SHAPE, pooling=None, seed=0):
    torch.manual_seed(seed)
    return FrozenEncoder("tiny", build_vit(shape), FrozenConfig(shape, pooling or PoolConfig()))


def pictures(b, side, seed=0):
    return torch.randint(0, 256, (b, 3, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.mark.parametrize("class_token", [False, True])
@pytest.mark.parametrize("size, patch", [(24, 6), (20, 4), (32, 16), (9, 9)])
def test_an_exported_encoder_is_a_plain_timm_vit(tmp_path, size, patch, class_token):
    shape = replace(SHAPE, size=size, patch=patch, class_token=class_token)
    encoder, images = frozen(shape), pictures(2, size)
    encoder.save(tmp_path / "new")
    vit = VisionTransformer(
        img_size=size, patch_size=patch, embed_dim=8, depth=3, num_heads=2, class_token=class_token,
        global_pool="avg", fc_norm=False, num_classes=0,
    )  # fmt: skip
    vit.load_state_dict(safetensors.torch.load_file(tmp_path / "new" / "encoder.safetensors"), strict=True)
    with torch.no_grad():
        want = vit.eval().forward_features(normalize(images / 255))[:, int(class_token) :]
    got = encoder.tokens(images)
    assert got.shape == (2, size // patch, size // patch, 8)
    np.testing.assert_allclose(got.flatten(1, 2), want, atol=1e-5)


@pytest.mark.parametrize("class_token", [False, True])
def test_an_encoder_comes_back_from_its_file_as_it_was(tmp_path, class_token):
    pooling = PoolConfig((0, -1), ("std",), 48)
    encoder = frozen(replace(SHAPE, class_token=class_token, project=17), pooling)
    encoder.save(tmp_path)
    for spec in (tmp_path, tmp_path / "encoder.safetensors"):
        loaded = load_encoder(str(spec))
        assert loaded.config == encoder.config and loaded.size == 48 and loaded.width == 8
        assert all(tensor.equal(loaded.net.state_dict()[key]) for key, tensor in encoder.net.state_dict().items())
        # timm's layers and ours may round differently
        np.testing.assert_allclose(loaded.features(pictures(2, 48)), encoder.features(pictures(2, 48)), atol=1e-5)


def test_what_is_read_comes_back_and_older_files_read_tokens_at_one_size(tmp_path):
    pooling = PoolConfig((0,), ("std",), 48, "likeness", 1)
    frozen(pooling=pooling).save(tmp_path)
    assert load_encoder(str(tmp_path)).config.pool == pooling
    older = {"blocks": [0], "statistics": ["std"], "size": 48}
    stored = stored_config({"encoder": vars(SHAPE), "pool": older})
    assert stored.pool == PoolConfig((0,), ("std",), 48, "tokens", 0)


def test_a_halved_image_is_read_as_that_image_alone_would_be():
    images = pictures(2, 48)
    halved = torch.nn.functional.avg_pool2d(images.float(), 2)
    both, small = frozen(pooling=PoolConfig(halvings=1)), frozen()
    want = torch.cat([small.features(images), small.features(halved)], 1)
    torch.testing.assert_close(both.features(images), want)
    with pytest.raises(ValueError, match="do not tile"):
        both.features(pictures(1, 30))


def test_the_same_encoder_is_always_the_same_file(tmp_path):
    files = set()
    for i in range(12):
        frozen().save(tmp_path / str(i))
        files.add((tmp_path / str(i) / "encoder.safetensors").read_bytes())
    assert len(files) == 1


STATISTICS = st.lists(st.sampled_from(["mean", "std", "max", "min"]), min_size=1, max_size=3)


@given(st.lists(st.integers(-3, 2), min_size=1, max_size=4), STATISTICS)
def test_features_are_the_pooled_blocks_one_after_the_other(blocks, statistics):
    encoder, images = frozen(pooling=PoolConfig(tuple(blocks), tuple(statistics))), pictures(3, 24)
    outputs = []
    hooks = [block.register_forward_hook(lambda _, __, out: outputs.append(out)) for block in encoder.vit.blocks]
    encoder.tokens(images)
    for hook in hooks:
        hook.remove()
    want = []
    for block in blocks:
        tokens = outputs[block].double().numpy()
        tokens = (tokens - tokens.mean(-1, keepdims=True)) / np.sqrt(tokens.var(-1, keepdims=True) + 1e-5)
        want += [getattr(tokens, statistic)(1) for statistic in statistics]
    got = encoder.features(images)
    assert got.dtype == torch.float32 and got.shape == (3, 8 * len(blocks) * len(statistics))
    np.testing.assert_allclose(got, np.concatenate(want, 1), atol=1e-5)


def test_features_of_an_image_do_not_depend_on_its_batch():
    encoder, images = frozen(), pictures(5, 24)
    np.testing.assert_allclose(encoder.features(images[2:3]), encoder.features(images)[2:3], atol=1e-6)


@pytest.mark.parametrize("side", [6, 12, 36, 48])
@pytest.mark.parametrize("class_token", [False, True])
def test_another_resolution_than_that_of_training_gives_more_or_fewer_tokens(side, class_token):
    encoder = frozen(replace(SHAPE, class_token=class_token))
    tokens = encoder.tokens(pictures(2, side))
    assert tokens.shape == (2, side // 6, side // 6, 8) and tokens.isfinite().all()
    assert encoder.features(pictures(2, side)).shape == (2, 16)
    vit = build_vit(replace(encoder.config.encoder, size=side))  # timm resamples the positions of another input size
    state = encoder.vit.state_dict()
    state["pos_embed"] = timm.layers.resample_abs_pos_embed(
        state["pos_embed"], [side // 6] * 2, num_prefix_tokens=int(class_token), interpolation="bicubic", antialias=True
    )
    vit.load_state_dict(state)
    np.testing.assert_allclose(FrozenEncoder("other", vit, encoder.config).tokens(pictures(2, side)), tokens, atol=1e-4)


def test_a_frozen_encoder_has_no_gradient_and_no_dropout():
    encoder = frozen()
    assert not any(p.requires_grad for p in encoder.vit.parameters()) and not encoder.vit.training
    assert not encoder.features(pictures(1, 24)).requires_grad and not encoder.tokens(pictures(1, 24)).requires_grad


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_pooling_is_a_statistic_over_the_patches(b, g, seed):
    tokens = torch.randn(b, g, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for statistic in ("mean", "std", "max", "min"):
        np.testing.assert_allclose(pool(tokens, statistic), getattr(tokens.numpy(), statistic)(1), atol=1e-12)
    assert not pool(tokens[:, :1], "std").any()


def test_an_unknown_statistic_is_refused():
    with pytest.raises(ValueError, match="choose mean, std, max or min"):
        pool(torch.zeros(1, 2, 3), "median")


@pytest.mark.parametrize("name, value", [("size", -1), ("halvings", 99), ("blocks", (0, 0))])
def test_a_setting_of_the_reading_is_named_as_it_was_written(name, value):
    with pytest.raises(UserError, match=f"^--set pool_{name}="):
        frozen().read_as({f"pool_{name}": value})


def test_digests_are_those_of_earlier_versions():
    tensors = {"f": torch.arange(6.0).view(2, 3).mT, "h": torch.arange(4).half(), "i": torch.tensor(7), "e": torch.zeros(0, 3)}
    before = "20c0ba19ca494410f8236cbe5ae090b29d8cf029d1e34d874f89df6379b2785d"
    assert digest_of(tensors | {"b": torch.tensor([True, False])}, b"about") == before


def test_a_vit_with_another_gelu_is_not_stored():
    encoder = frozen()
    encoder.check_storable("--out")
    encoder.net.blocks[1].mlp.act = timm.layers.get_act_layer("gelu_tanh")()
    with pytest.raises(UserError, match="--out: tiny is not a plain ViT and cannot be stored; leave --out out"):
        encoder.check_storable("--out")


@pytest.mark.parametrize("half", [False, True])
def test_a_network_that_uses_a_tensor_twice_is_stored(tmp_path, half):
    name = "coat_lite_tiny"
    tied = untrained_encoder(name, FrozenConfig(EncoderConfig(224, backbone=name, **shape(name)), PoolConfig(blocks=(3,))), 0)
    tied.save(tmp_path, half)
    again = load_encoder(str(tmp_path)).features(pictures(1, 224))
    torch.testing.assert_close(again, tied.features(pictures(1, 224)), rtol=0, atol=0.05 if half else 0)


def test_half_precision_is_half_the_file_and_nearly_the_same_features(tmp_path):
    encoder, images = frozen(replace(SHAPE, width=64)), pictures(3, 24)
    encoder.save(tmp_path / "whole")
    encoder.save(tmp_path / "half", half=True)
    sizes = [(tmp_path / name / "encoder.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.52 * sizes[0]
    got = load_encoder(str(tmp_path / "half")).features(images)
    assert got.dtype == torch.float32 and not got.equal(encoder.features(images))
    np.testing.assert_allclose(got, encoder.features(images), atol=5e-3)
