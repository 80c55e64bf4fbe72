import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.pretrain.optim import learning_rate, make_optimizer
from clicv2lite.recipes.library import get_recipe


def recipe_of(steps, warmup, batch=16, lr=0.5):
    plain = get_recipe("ci", [f"batch={batch}", f"passes={steps * batch}", f"lr={lr}"])
    return plain.changed({"warmup": warmup * batch})  # longer than the run, too, as in runs of earlier versions


@given(st.integers(2, 60), st.integers(0, 40), st.integers(1, 64))
def test_the_rate_rises_linearly_and_falls_as_a_cosine(steps, warmup, batch):
    warmup = min(warmup, steps - 1)
    recipe = recipe_of(steps, warmup, batch)
    assert recipe.steps == steps
    for step in range(steps):
        if step < warmup:
            want = 0.5 * (step + 1) / warmup
        else:
            want = 0.25 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
        assert learning_rate(step, recipe) == pytest.approx(want, abs=1e-12)


def test_the_peak_is_reached_once_and_the_end_is_near_zero():
    recipe = recipe_of(100, 10)
    rates = [learning_rate(step, recipe) for step in range(100)]
    assert max(rates) == rates[9] == rates[10] == 0.5 and 0 < rates[-1] < 0.001
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize("steps, warmup", [(1, 0), (5, 5), (5, 50)])
def test_a_run_as_short_as_its_warmup_has_a_rate_too(steps, warmup):
    assert all(0 < learning_rate(step, recipe_of(steps, warmup)) <= 0.5 for step in range(steps))


@given(st.integers(2, 60), st.integers(0, 40))
def test_with_steps_the_rate_is_a_tenth_at_three_fifths_and_a_hundredth_at_four_fifths(steps, warmup):
    warmup = min(warmup, steps - 1)
    recipe = recipe_of(steps, warmup).changed({"schedule": "steps"})
    for step in range(steps):
        done = Fraction(step - warmup, steps - warmup)
        want = 0.5 if done < Fraction(3, 5) else 0.05 if done < Fraction(4, 5) else 0.005
        want = 0.5 * (step + 1) / warmup if step < warmup else want
        assert learning_rate(step, recipe) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("class_token", ["true", "false"])
def test_weight_decay_is_for_matrices_and_never_for_the_key_encoder(class_token):
    recipe = get_recipe("ci", ["weight_decay=0.3", "beta1=0.8", "beta2=0.7", f"class_token={class_token}"])
    model = CLICv2(recipe.model)
    optimizer = make_optimizer(model, recipe)
    decay = {p: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert all(group["betas"] == (0.8, 0.7) for group in optimizer.param_groups)
    for name, p in model.named_parameters():
        if name.startswith("key") or name == "query.pos_embed":
            assert p not in decay, name
        else:
            plain = name.endswith("bias") or "norm" in name or name.endswith(("mask_token", "cls_token"))
            assert decay[p] == (0 if plain else 0.3), name


def test_a_step_is_that_of_adamw():
    recipe = get_recipe("ci", ["lr=0.1", "weight_decay=0.2", "beta1=0.5", "beta2=0.75"])
    matrix, bias = torch.nn.Parameter(torch.full((1, 1), 2.0)), torch.nn.Parameter(torch.full((1,), 2.0))
    model = torch.nn.ParameterList([matrix, bias])
    optimizer = make_optimizer(model, recipe)
    want = {matrix: 2.0, bias: 2.0}
    for step, gradient in enumerate((3.0, -1.0), start=1):
        for p, decay in ((matrix, 0.2), (bias, 0.0)):
            p.grad = torch.full_like(p, gradient)
            m = (0.25 * 3 - 0.5 if step == 2 else 0.5 * 3) / (1 - 0.5**step)
            v = (0.75 * 0.25 * 9 + 0.25 if step == 2 else 0.25 * 9) / (1 - 0.75**step)
            want[p] = want[p] * (1 - 0.1 * decay) - 0.1 * m / (math.sqrt(v) + 1e-8)
        optimizer.step()
        assert matrix.item() == pytest.approx(want[matrix], rel=1e-5) and bias.item() == pytest.approx(want[bias], rel=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_step_is_that_of_sgd_with_momentum_and_all_weights_decay(momentum):
    recipe = get_recipe("ci", ["optimizer=sgd", "lr=0.1", "weight_decay=0.2", f"beta1={momentum}"])
    matrix, bias = torch.nn.Parameter(torch.full((1, 1), 2.0)), torch.nn.Parameter(torch.full((1,), 2.0))
    optimizer = make_optimizer(torch.nn.ParameterList([matrix, bias]), recipe)
    want, speed = 2.0, 0.0
    for gradient in (3.0, -1.0, 0.5):
        for p in (matrix, bias):
            p.grad = torch.full_like(p, gradient)
        speed = momentum * speed + gradient + 0.2 * want
        want -= 0.1 * speed
        optimizer.step()
        assert matrix.item() == pytest.approx(want, rel=1e-5) and bias.item() == pytest.approx(want, rel=1e-5)


def test_sgd_never_moves_the_key_encoder():
    model = CLICv2(get_recipe("ci").model)
    optimizer = make_optimizer(model, get_recipe("ci", ["optimizer=sgd"]))
    moved = {p for group in optimizer.param_groups for p in group["params"]}
    assert moved == {p for name, p in model.named_parameters() if not name.startswith("key") and name != "query.pos_embed"}
