import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.method.encoder import (
    SHAPES,
    EncoderConfig,
    ProjectionHead,
    build_vit,
    encode_visible,
    prepare,
    run_blocks,
    sincos_positions,
)
from clicv2lite.method.patches import patchify
from clicv2lite.method.views import draws_per_image, make_views, uniform
from clicv2lite.recipes.library import get_recipe

TINY = EncoderConfig(size=12, patch=4, width=8, depth=2, heads=2)


def vit_of(config, seed=0):
    """A float64 ViT whose every weight is random, biases and norms too."""
    torch.manual_seed(seed)
    vit = build_vit(config).double()
    for p in vit.parameters():
        if p.requires_grad:
            p.data.add_(0.3 * torch.randn_like(p))
    return vit


@st.composite
def cases(draw):
    """A ViT of any small shape, images for it, and some patches of each image in any order."""
    patch, side, heads = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 4]))
    config = EncoderConfig(patch * side, patch, 8, draw(st.integers(1, 2)), heads, draw(st.booleans()))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    images = torch.randn(draw(st.integers(1, 3)), 3, config.size, config.size, generator=generator, dtype=torch.float64)
    v = draw(st.integers(1, side * side))
    visible = torch.rand(len(images), side * side, generator=generator).argsort(1)[:, :v]
    return config, images, visible


def layer_norm(x, weight, bias):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * weight + bias


def tokens_by_hand(vit, config, patches, places):
    """The ViT of one image in NumPy: patches (V, 3, p, p) at places -> (V, width), one head and one query at a time."""
    w = {name: value.detach().numpy() for name, value in vit.state_dict().items()}
    prefix = int(config.class_token)
    x = [w["cls_token"][0, 0] + w["pos_embed"][0, 0]] if prefix else []
    for patch, place in zip(patches, places, strict=True):
        kernel = w["patch_embed.proj.weight"]
        token = np.array([(kernel[d] * patch).sum() for d in range(config.width)]) + w["patch_embed.proj.bias"]
        x.append(token + w["pos_embed"][0, prefix + place])
    x = np.array(x)
    size = config.width // config.heads
    for i in range(config.depth):
        block = {name.removeprefix(f"blocks.{i}."): value for name, value in w.items() if name.startswith(f"blocks.{i}.")}
        y = layer_norm(x, block["norm1.weight"], block["norm1.bias"])
        q, k, v = np.split(y @ block["attn.qkv.weight"].T + block["attn.qkv.bias"], 3, axis=1)
        mixed = np.zeros_like(x)
        for head in range(config.heads):
            part = slice(head * size, (head + 1) * size)
            for n in range(len(x)):
                score = np.array([q[n, part] @ k[m, part] / math.sqrt(size) for m in range(len(x))])
                share = np.exp(score - score.max()) / np.exp(score - score.max()).sum()
                mixed[n, part] = share @ v[:, part]
        x = x + mixed @ block["attn.proj.weight"].T + block["attn.proj.bias"]
        y = layer_norm(x, block["norm2.weight"], block["norm2.bias"]) @ block["mlp.fc1.weight"].T + block["mlp.fc1.bias"]
        x = x + (y * (1 + erf(y / math.sqrt(2))) / 2) @ block["mlp.fc2.weight"].T + block["mlp.fc2.bias"]
    return layer_norm(x, w["norm.weight"], w["norm.bias"])[prefix:]


def some(images, visible, patch):
    return torch.stack([p[v] for p, v in zip(patchify(images, patch), visible, strict=True)])


@given(cases())
@torch.no_grad()
def test_all_patches_in_order_give_timms_own_features(case):
    config, images, _ = case
    vit = vit_of(config)
    every = torch.arange((config.size // config.patch) ** 2).expand(len(images), -1)
    got = encode_visible(vit, patchify(images, config.patch), every)
    np.testing.assert_allclose(got, vit.forward_features(images)[:, vit.num_prefix_tokens :], atol=1e-9)


@given(cases())
@torch.no_grad()
def test_visible_patches_give_the_vit_written_out_by_hand(case):
    config, images, visible = case
    vit, patches = vit_of(config), some(images, visible, config.patch)
    got = encode_visible(vit, patches, visible)
    assert got.shape == (*visible.shape, config.width)
    for tokens, seen, places in zip(got, patches.numpy(), visible.tolist(), strict=True):
        np.testing.assert_allclose(tokens, tokens_by_hand(vit, config, seen, places), atol=1e-8)


@given(cases())
@torch.no_grad()
def test_tokens_depend_on_no_other_image_and_follow_the_order_of_the_patches(case):
    config, images, visible = case
    vit, patches = vit_of(config), some(images, visible, config.patch)
    got = encode_visible(vit, patches, visible)
    np.testing.assert_allclose(encode_visible(vit, patches[:1], visible[:1]), got[:1], atol=1e-9)
    np.testing.assert_allclose(encode_visible(vit, patches.flip(1), visible.flip(1)), got.flip(1), atol=1e-9)


@torch.no_grad()
def test_the_same_patch_elsewhere_is_another_token():
    vit, patch = vit_of(TINY), torch.randn(1, 1, 3, 4, 4, dtype=torch.float64)
    here, there = (encode_visible(vit, patch, torch.tensor([[place]])) for place in (0, 8))
    assert (here - there).abs().max() > 1e-3


@pytest.mark.parametrize("class_token", [False, True])
def test_only_visible_tokens_reach_the_blocks(class_token):
    vit = build_vit(EncoderConfig(24, 4, 8, 3, 2, class_token))
    seen = []
    for block in vit.blocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    encode_visible(vit, torch.randn(2, 5, 3, 4, 4), torch.arange(5).repeat(2, 1))
    assert seen == [(2, 5 + class_token, 8)] * 3  # of 36 patches


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 8))
def test_positions_are_sines_and_cosines_of_row_and_column(h, w, quarter):
    got = sincos_positions((h, w), 4 * quarter)
    assert got.shape == (h * w, 4 * quarter) and got.dtype == torch.float32
    for g, row in enumerate(got.tolist()):
        angles = [place / 10000 ** (i / quarter) for place in (g // w, g % w) for i in range(quarter)]
        assert row == pytest.approx([math.sin(a) for a in angles] + [math.cos(a) for a in angles], abs=1e-5)


def test_no_two_positions_are_alike():
    distance = torch.cdist(*[sincos_positions((7, 7), 64)] * 2) + 9 * torch.eye(49)
    assert distance.min() > 0.5


@pytest.mark.parametrize("width", [6, 9, 10])
def test_a_width_without_room_for_positions_is_refused(width):
    with pytest.raises(ValueError, match="multiple of 4"):
        sincos_positions((2, 2), width)


@pytest.mark.parametrize(
    "change, message", [({"size": 13}, "do not tile"), ({"heads": 3}, "not a multiple of 3 heads"), ({"width": 6}, "of 4")]
)
def test_shapes_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build_vit(EncoderConfig(**{"size": 12, "patch": 4, "width": 8, "depth": 1, "heads": 2, **change}))


@pytest.mark.parametrize("class_token", [False, True])
def test_positions_are_fixed_and_the_class_token_has_none(class_token):
    vit = build_vit(EncoderConfig(12, 4, 8, 1, 2, class_token))
    assert not vit.pos_embed.requires_grad
    assert vit.pos_embed[0, int(class_token) :].equal(sincos_positions((3, 3), 8))
    assert not class_token or not vit.pos_embed[0, 0].any()
    encode_visible(vit, torch.randn(1, 2, 3, 4, 4), torch.tensor([[0, 5]])).square().sum().backward()
    assert all(p.grad is not None for name, p in vit.named_parameters() if name != "pos_embed")


@pytest.mark.parametrize("name, millions", [("vit-ti", 5.5), ("vit-s", 21.7), ("vit-b", 85.8), ("vit-l", 303.3)])
def test_the_shapes_have_the_sizes_of_the_papers_backbones(name, millions):
    width, depth, heads = SHAPES[name]
    with torch.device("meta"):
        vit = torch.nn.TransformerEncoderLayer(width, heads, 4 * width)  # one block, independent of timm
    patch_embedding = (3 * 16 * 16 + 1) * width
    assert (depth * sum(p.numel() for p in vit.parameters()) + patch_embedding) / 1e6 == pytest.approx(millions, abs=0.3)


def test_the_projection_head_is_a_two_layer_network_onto_the_unit_sphere():
    torch.manual_seed(0)
    head = ProjectionHead(8, 5).double()
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    w = {name: value.detach().numpy() for name, value in head.state_dict().items()}
    y = x.numpy() @ w["0.weight"].T + w["0.bias"]
    y = (y * (1 + erf(y / math.sqrt(2))) / 2) @ w["2.weight"].T + w["2.bias"]
    np.testing.assert_allclose(head(x).detach(), y / np.linalg.norm(y, axis=-1, keepdims=True), atol=1e-6)


def test_features_have_unit_length_in_float32_under_autocast_too():
    with torch.autocast("cpu", torch.bfloat16):
        out = ProjectionHead(8, 5)(torch.randn(4, 6, 8))
    assert out.dtype == torch.float32
    np.testing.assert_allclose(out.detach().norm(dim=-1), 1, atol=1e-6)


def gradients(checkpointing, compile=False):
    """Loss and gradients of a small model with a decoder."""
    recipe = get_recipe("ci", ["class_token=true"])
    torch.manual_seed(0)
    model = CLICv2(recipe.model)
    for part in (model.query, model.decoder):
        prepare(part, compile, checkpointing)
    images = torch.randint(0, 256, (4, 3, 40, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    noise = uniform(0, np.zeros(4, np.int64), np.arange(4), draws_per_image(recipe.views))
    loss = model(make_views(images, noise, recipe.views)).total
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_checkpointing_gives_the_same_loss_and_gradient_bit_for_bit():
    (loss, plain), (again, found) = gradients(False), gradients(True)
    assert loss.equal(again) and plain.keys() == found.keys() and len(plain) > 20
    assert all(plain[name].equal(found[name]) for name in plain)


def test_checkpointing_keeps_less_for_the_backward_pass():
    vit, tokens = build_vit(EncoderConfig(size=64, patch=8, width=64, depth=6, heads=2)), torch.randn(2, 64, 64)
    kept = []
    for checkpointing in (False, True):
        size = 0

        def pack(x):
            nonlocal size
            size += x.nbytes
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            run_blocks(vit.blocks, tokens, checkpointing)
        kept.append(size)
    assert kept[1] < kept[0] / 5


def test_compiled_blocks_give_the_same_loss_and_gradient_to_rounding_under_the_same_names(monkeypatch):
    # traced and differentiated as always, but not handed to a C++ compiler, which takes a minute
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    (loss, plain), (again, found) = gradients(False), gradients(False, compile=True)
    torch.testing.assert_close(loss, again)
    assert plain.keys() == found.keys()
    for name in plain:
        torch.testing.assert_close(plain[name], found[name], atol=1e-5, rtol=1e-3)
