"""The arithmetic of a run against torch: counted weights, counted operations, saved bytes; hours by hand."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from clicv2lite.learners import METHODS
from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.method.decoder import DecoderConfig
from clicv2lite.method.encoder import prepare
from clicv2lite.method.views import draws_per_image, make_views, uniform
from clicv2lite.pretrain.cost.budget import (
    TRAINED,
    cost,
    energy,
    hours,
    image_flops,
    largest_micro_batch,
    memory,
    pairs,
    parameters,
    tokens,
)
from clicv2lite.pretrain.cost.hardware import A100, MACHINES, RTX_3090, Machine
from clicv2lite.pretrain.cost.peak import peak_bytes
from clicv2lite.pretrain.engine import plain_attention
from clicv2lite.pretrain.optim import make_optimizer
from clicv2lite.recipes.library import RECIPES, get_recipe
from clicv2lite.recipes.recipe import Recipe


def recipes():
    """Small recipes of every kind of shape."""
    return st.builds(
        Recipe,
        size=st.sampled_from([32, 48]),
        patch=st.sampled_from([8, 16]),
        mask_ratio=st.sampled_from([0.0, 0.3, 0.6]),
        width=st.sampled_from([16, 24]),
        depth=st.integers(1, 3),
        heads=st.sampled_from([1, 2]),
        class_token=st.booleans(),
        patch_embed=st.sampled_from(["linear", "conv", "conv-pool"]),
        key_patches=st.sampled_from(["visible", "full"]),
        project=st.sampled_from([8, 20]),
        decoder=st.builds(
            DecoderConfig, width=st.sampled_from([8, 16]), depth=st.integers(1, 2), heads=st.sampled_from([1, 2])
        ),
        target=st.sampled_from(["entropy", "pixels", "frequency", "none"]),
        compare=st.sampled_from(["patch", "image"]),
        batch=st.integers(2, 5),
        optimizer=st.sampled_from(["adamw", "sgd"]),
        beta1=st.sampled_from([0.0, 0.9]),
        precision=st.just("fp32"),
    )


def views_of(recipe, images=None):
    n = images or recipe.batch
    pictures = torch.randint(0, 256, (n, 3, recipe.size, recipe.size), dtype=torch.uint8)
    noise = uniform(0, np.zeros(n, int), np.arange(n), draws_per_image(recipe.views))
    return make_views(pictures, noise, recipe.views)


def count(module, fixed=False):
    return sum(p.numel() for name, p in module.named_parameters() if name.endswith("pos_embed") == fixed)


def assert_counts(recipe):
    with torch.device("meta"):
        model = CLICv2(recipe.model)
    got = parameters(recipe)
    parts = (model.query, model.query_head, model.decoder, model.key, model.key_head)
    assert list(got.values())[:5] == [count(part) if part else 0 for part in parts]
    assert got["positions"] == count(model, fixed=True)
    assert sum(got[part] for part in TRAINED) == sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", RECIPES)
def test_weights_of_the_named_recipes_are_those_of_the_model(name):
    assert_counts(RECIPES[name]())


@given(recipes())
@settings(max_examples=15, deadline=None)
def test_weights_are_those_of_the_model(recipe):
    assert_counts(recipe)


@pytest.mark.skipif(
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu not in flop_registry,
    reason="this torch does not count the attention that the loss is computed with",
)
@given(recipes())
@settings(max_examples=25, deadline=None)
def test_operations_of_a_step_are_those_that_torch_counts(recipe):
    model, views = CLICv2(recipe.model), views_of(recipe)
    plain_attention(model)  # the fused kernel computes its logits twice, which is no work of the model
    with FlopCounterMode(display=False) as counter:
        total = model(views).total
    parts = image_flops(recipe)
    assert counter.get_total_flops() == recipe.batch * sum(part.forward for part in parts.values())
    with FlopCounterMode(display=False) as counter:
        total.backward()
    assert counter.get_total_flops() == recipe.batch * sum(part.backward for part in parts.values())


@pytest.mark.parametrize("method", ["moco", "clic"])
@pytest.mark.parametrize("class_token", [False, True])
def test_operations_and_weights_of_the_other_methods_are_those_that_torch_counts(method, class_token):
    recipe = get_recipe("ci", [f"method={method}", "batch=4", f"class_token={class_token}"])
    with torch.random.fork_rng():
        model = METHODS[method].build(recipe.model, recipe.learner)
    plain_attention(model)
    pictures = torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8)
    noise = uniform(0, np.zeros(4, int), np.arange(4), METHODS[method].draws_per_image(recipe.views))
    views = METHODS[method].make_views(pictures, noise, recipe.views)
    with FlopCounterMode(display=False) as forward:
        total = model(views).total
    with FlopCounterMode(display=False) as backward:
        total.backward()
    parts = image_flops(recipe)
    assert forward.get_total_flops() == 4 * sum(part.forward for part in parts.values())
    assert backward.get_total_flops() == 4 * sum(part.backward for part in parts.values())
    assert sum(parameters(recipe).values()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("shape", [["width=192", "depth=4", "heads=3"], ["width=128", "depth=8", "heads=2"]])
def test_peak_memory_of_a_step_is_that_of_the_budget(shape, checkpointing):
    settings = ["size=128", "patch=16", "batch=12", "precision=fp32", *shape]
    recipe = get_recipe("vit-b32", [*settings, f"checkpointing={checkpointing}"])
    model, views = CLICv2(recipe.model), views_of(recipe)
    for part in (model.query, model.decoder):
        prepare(part, checkpointing=checkpointing)
    model(views).total.backward()  # the gradients exist: they are no part of what is measured
    got = memory(recipe, 1, 12, checkpointing)
    # views stand before the step
    assert peak_bytes(lambda: model(views).total.backward()) == pytest.approx(got["activations"], rel=0.15)


@given(recipes())
@settings(max_examples=15, deadline=None)
def test_each_part_has_its_own_operations(recipe):
    model, views = CLICv2(recipe.model), views_of(recipe)
    plain_attention(model)
    with FlopCounterMode(display=False, depth=3) as counter:
        model(views)
    by_module = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    parts = image_flops(recipe)
    for part, module in (("query head", "query_head"), ("key head", "key_head"), ("decoder", "decoder")):
        assert by_module.get(f"CLICv2.{module}", 0) == recipe.batch * parts[part].forward


def test_loss_of_vit_l16_has_25_billion_pairs_and_204_gigabytes_of_logits_the_naive_way():
    recipe = RECIPES["vit-l16"]()
    assert tokens(recipe)[:3] == (196, 78, 118)
    assert pairs(recipe) == (2048 * 78) ** 2
    assert round(memory(recipe, 1, 1, loss="dense")["logits"] / 1e9) == 204
    assert memory(recipe, 1, 1)["logits"] < 0.1e9


@given(recipes())
@settings(max_examples=10, deadline=None)
def test_training_state_has_the_bytes_that_torch_holds(recipe):
    model = CLICv2(recipe.model)
    optimizer = make_optimizer(model, recipe)
    model(views_of(recipe)).total.backward()
    for p in model.parameters():
        if p.requires_grad and p.grad is None:
            p.grad = torch.zeros_like(p)  # the decoder's, when nothing is masked
    optimizer.step()
    got = memory(recipe, 1, recipe.batch)
    own, key = ([p for m in ms if m for p in m.parameters()] for ms in
                ((model.query, model.query_head, model.decoder), (model.key, model.key_head)))  # fmt: skip
    moments = [s for state in optimizer.state.values() for name, s in state.items() if name != "step"]
    held = "SGD" if recipe.optimizer == "sgd" else "AdamW"
    assert got["weights"] == sum(p.nbytes for p in own)
    assert got["gradients"] == sum(p.grad.nbytes for p in own if p.grad is not None)
    assert got[held] == sum(moment.nbytes for moment in moments)
    assert got["key copy"] == sum(p.nbytes for p in key)


def saved_bytes(recipe, images):
    """Bytes of all storages that a forward pass keeps for its backward pass, and of the views."""
    torch.manual_seed(0)
    model, views = CLICv2(recipe.model), views_of(recipe, images)
    kept = {}  # storage -> its bytes and a tensor that keeps it alive

    def pack(x):
        kept[x.untyped_storage().data_ptr()] = (x.untyped_storage().nbytes(), x)
        return x

    on = recipe.precision != "fp32"
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x), torch.autocast("cpu", torch.bfloat16, enabled=on):
        model(views)
    return sum(size for size, _ in kept.values()), views.query.nbytes + views.key.nbytes


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize(
    "shape",
    [
        {"width": 192, "depth": 4, "heads": 3},
        {"width": 128, "depth": 2, "heads": 2, "patch": 32, "class_token": True},
        {"width": 128, "depth": 2, "heads": 2, "patch_embed": "conv-pool"},
    ],
)
def test_activations_have_the_bytes_that_autograd_saves(shape, precision):
    recipe = Recipe(**({"patch": 16, "size": 128, "precision": precision} | shape))
    (few, few_views), (many, many_views) = saved_bytes(recipe, 3), saved_bytes(recipe, 6)
    gradient = 3 * tokens(recipe).visible * recipe.project * 4  # of the queries: counted with the features
    got = memory(dataclasses.replace(recipe, batch=3), 1, 3)  # a rank holds the views of all its images
    views = many_views - few_views
    assert got["views"] == views
    saved = many - few - gradient - (views // 2 if precision == "fp32" else 0)  # fp32 saves the pixels of the query view
    counted = got["activations"] - (views // 2 if precision == "fp32" else 0)
    assert counted == pytest.approx(saved, rel=0.02)


def test_checkpointing_keeps_one_fp32_input_a_block():
    recipe = RECIPES["vit-l16"]()
    deeper = dataclasses.replace(recipe, depth=recipe.depth + 1)
    less, more = (memory(r, 8, 5, checkpointing=True)["activations"] for r in (recipe, deeper))
    assert more - less == 5 * 4 * recipe.width * tokens(recipe).query
    assert memory(recipe, 8, 5)["activations"] > 5 * less


def test_memory_of_a_rank_shrinks_with_the_number_of_ranks_where_it_is_shared():
    recipe = RECIPES["vit-b32"]()
    rows = [memory(recipe, gpus, 8, loss="dense") for gpus in (1, 2, 4, 8)]
    for one, two in pairwise(rows):
        assert two["logits"] * 2 == one["logits"] and two["features"] < one["features"]
        assert all(two[part] == one[part] for part in ("weights", "gradients", "AdamW", "key copy", "activations"))


@pytest.mark.parametrize("name", ["vit-s32", "vit-b32", "vit-l16"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_largest_micro_batch_fits_and_one_more_does_not(name, checkpointing):
    recipe = RECIPES[name]()
    for machine in MACHINES.values():
        images = largest_micro_batch(recipe, machine, checkpointing, share=0.5)
        limit = 0.5 * machine.gpu.memory
        assert sum(memory(recipe, machine.gpus, images, checkpointing).values()) <= limit
        if images < recipe.batch // machine.gpus:
            assert sum(memory(recipe, machine.gpus, images + 1, checkpointing).values()) > limit
        else:
            assert images == recipe.batch // machine.gpus


def test_nothing_fits_where_the_training_state_does_not():
    tiny = Machine(dataclasses.replace(RTX_3090, memory=1e9), 4)
    assert largest_micro_batch(RECIPES["vit-l16"](), tiny) == 0


def test_hours_are_operations_over_the_speed_that_is_reached():
    recipe, machine = RECIPES["vit-b32"](), Machine(A100, 8)
    parts = image_flops(recipe)
    products = sum(part.forward + part.backward for name, part in parts.items() if name != "InfoNCE")
    seconds = recipe.steps * 2048 * (products / 312e12 + parts["InfoNCE"].forward / 19.5e12) / 8 / 0.4
    assert hours(recipe, machine, 0.4) == pytest.approx(seconds / 3600)
    assert hours(recipe, machine, 0.2) == pytest.approx(2 * hours(recipe, machine, 0.4))
    again = sum(parts[part].forward for part in ("query encoder", "decoder"))
    slower = hours(recipe, machine, 0.4, checkpointing=True) - hours(recipe, machine, 0.4)
    assert slower == pytest.approx(recipe.steps * 2048 * again / (8 * 312e12 * 0.4) / 3600)


def test_single_precision_runs_at_its_own_peak():
    recipe = dataclasses.replace(RECIPES["vit-b32"](), precision="fp32")
    total = sum(sum(part) for part in image_flops(recipe).values())
    assert hours(recipe, Machine(A100, 1), 1.0) == pytest.approx(recipe.steps * 2048 * total / 19.5e12 / 3600)


@pytest.mark.parametrize("utilisation", [0, -0.1, 1.1])
def test_a_utilisation_that_cannot_be_is_refused(utilisation):
    with pytest.raises(ValueError, match="utilisation"):
        hours(RECIPES["ci"](), MACHINES["8 x A100"], utilisation)


def test_cost_and_energy_are_of_all_gpus():
    assert cost(10, MACHINES["4 x RTX 3090"], 0.5) == 20
    assert energy(10, MACHINES["8 x H100"]) == 56
