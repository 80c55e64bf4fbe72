import dataclasses

import pytest
import torch

from clicv2lite.errors import UserError
from clicv2lite.pretrain.cost import hardware
from clicv2lite.pretrain.cost import plan as module
from clicv2lite.pretrain.cost.budget import hours, memory, parameters
from clicv2lite.pretrain.cost.hardware import GPUS, MACHINES, RTX_3090, Machine, machine, multiplications, peak, this_machine
from clicv2lite.pretrain.cost.plan import dry_run, lines, plan, refusal
from clicv2lite.recipes.library import RECIPES, get_recipe

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def measured_once(monkeypatch):
    """A speed that no other process disturbs; the measurement has a test of its own."""
    monkeypatch.setattr(hardware, "multiplications", lambda device, kind: 2e11 if kind == torch.bfloat16 else 1e11)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_plan_with_its_weights_its_parts_and_every_machine(name):
    recipe = get_recipe(name)
    found = plan(recipe, CPU, asked=machine("8 x H100"))
    text = "\n".join(lines(found))
    assert f"{sum(parameters(recipe).values()):,}" in text and f"{recipe.steps:,} steps" in text
    assert all(part in text for part in [*parameters(recipe), *memory(recipe, 8, 1)]) and all(m in text for m in MACHINES)
    assert max(map(len, text.splitlines())) <= 140


@pytest.mark.parametrize("method", ["moco", "clic"])
def test_other_methods_have_a_plan_too(method):
    found = plan(get_recipe("vit-b32", [f"method={method}"]), CPU, asked=machine("8 x A100"))
    assert found.parameters["decoder"] == 0 and refusal(found) is None
    assert found.flops["query encoder"].forward == found.flops["key encoder"].forward


def test_speed_and_hours_are_those_of_the_budget():
    recipe = get_recipe("vit-b32")
    for outlook in plan(recipe, CPU, asked=machine("4 x RTX 3090")).outlooks:
        assert outlook.hours == pytest.approx(hours(recipe, outlook.machine, outlook.utilisation))
        assert outlook.images_per_second * outlook.hours * 3600 == pytest.approx(recipe.steps * recipe.batch)
    assert plan(recipe, CPU).outlooks[0].machine.gpu.source == "measured here"


@pytest.mark.parametrize("settings", [["micro=0"], ["micro=400"]])
def test_what_cannot_fit_is_refused_with_micro_batches_that_do(settings, capsys):
    recipe, asked = get_recipe("vit-l16", settings), machine("4 x RTX 3090")
    with pytest.raises(UserError, match="needs") as caught:
        dry_run(recipe, CPU, asked=asked)
    assert "RTX 3090" in capsys.readouterr().out and "\n" not in str(caught.value)
    offers = str(caught.value).rsplit("; ", 1)[1].removesuffix(" fits").split(" or ")
    assert len(offers) == 2 and "checkpointing=true" in offers[1]
    for offer in offers:
        pairs = offer.removeprefix("--set ").split()
        assert refusal(plan(get_recipe("vit-l16", pairs), CPU, asked=asked)) is None
        larger = int(pairs[0].removeprefix("micro=")) + 1
        if larger <= 512:
            assert refusal(plan(get_recipe("vit-l16", [f"micro={larger}", *pairs[1:]]), CPU, asked=asked))


def test_what_fits_is_not_refused(capsys):
    dry_run(get_recipe("vit-l16"), CPU, asked=machine("4 x RTX 3090"))
    assert "micro-batches of 64 images" in capsys.readouterr().out


def test_nothing_is_offered_where_no_image_fits():
    tiny = Machine(dataclasses.replace(RTX_3090, memory=1e9), 4)
    assert "not even a micro-batch of 1 fits" in str(refusal(plan(get_recipe("vit-l16"), CPU, asked=tiny)))


def test_a_batch_that_cannot_be_shared_equally_is_refused():
    assert "multiple of 3" in str(refusal(plan(get_recipe("vit-b32"), CPU, asked=machine("3 x H100"))))


def test_without_a_name_the_run_must_fit_here(monkeypatch):
    small = Machine(hardware.Gpu("old", 1e11, 1e11, 1e9, 0, "measured here"), 1)
    monkeypatch.setattr(module, "this_machine", lambda device, ranks: small)
    assert refusal(plan(get_recipe("ci"), CPU)) is None
    assert "micro=" in str(refusal(plan(get_recipe("lite", ["batch=512"]), CPU)))


@pytest.mark.parametrize("text, count, name", [("8 x A100", 8, "A100"), ("H100", 1, "H100"), ("16 x RTX 3090", 16, "RTX 3090")])
def test_a_machine_is_read_from_words(text, count, name):
    assert machine(text) == Machine(GPUS[name], count)


@pytest.mark.parametrize(
    "text, count, numbers",
    [
        ("8 x 2250 TFLOP/s 192 GB", 8, (2250e12, 2250e12 * 67 / 989, 192e9)),
        ("2250 TFLOPS 192GB", 1, (2250e12, 2250e12 * 67 / 989, 192e9)),
        ("2 x 165.2TFLOPs 24 GB 82.6 TFLOP/s", 2, (165.2e12, 82.6e12, 24e9)),
    ],
)
def test_a_card_without_a_name_has_the_numbers_given(text, count, numbers):
    found = machine(text)
    assert found.gpus == count and (found.gpu.bf16, found.gpu.fp32, found.gpu.memory) == pytest.approx(numbers)


def test_the_plan_of_own_numbers_is_that_of_the_card_with_these_numbers():
    recipe = get_recipe("vit-l16")
    own, named = (plan(recipe, CPU, asked=machine(on)).outlooks[0] for on in ("8 x 989 TFLOP/s 80 GB", "8 x H100"))
    assert (own.hours, own.needed, own.images_per_second) == pytest.approx((named.hours, named.needed, named.images_per_second))
    half = plan(recipe, CPU, asked=machine("8 x 494.5 TFLOP/s 80 GB 33.5 TFLOP/s")).outlooks[0]
    assert half.hours == pytest.approx(2 * named.hours)
    text = "\n".join(lines(plan(recipe, CPU, asked=machine("8 x 2250 TFLOP/s 192 GB"))))
    assert "8 x 2250 TFLOP/s 192 GB" in text and max(map(len, text.splitlines())) <= 140


MISFITS = ["8 x 2250 TFLOP/s", "8 x 192 GB", "8 x 0 TFLOP/s 192 GB", "8 x -1 TFLOP/s 192 GB", "8 x nan TFLOP/s 192 GB"]
MISFITS += [
    "9" * 400 + " TFLOP/s 1 GB",
    "8 x 2250 192 GB",
    "8 x 2250 TFLOP/s 192 TB",
    "8 x 2250 GFLOP/s 192 GB",
    "0 x 2250 TFLOP/s 192 GB",
    "9" * 5000 + " x A100",
]


@pytest.mark.parametrize(
    "text", ["", "8", "x", "0 x A100", "-1 x A100", "2.5 x A100", "8 x TPU", "A100 x 8", "8x A100", *MISFITS]
)
def test_another_machine_is_one_line_with_those_there_are(text):
    with pytest.raises(
        UserError, match=r"write it as `8 x A100`, or with .* `8 x 2250 TFLOP/s 192 GB` .*; the cards are RTX 3090"
    ):
        machine(text)


def test_a_network_without_checkpointing_is_planned_without_it():
    found = plan(get_recipe("ci", ["method=moco", "backbone=dla34", "size=64", "passes=64"]), CPU)
    assert all(o.largest >= 1 and o.largest_checkpointing == 0 for o in found.outlooks[:1])


def test_ranks_share_the_memory_of_a_computer():
    one, four = this_machine(CPU), this_machine(CPU, 4)
    assert four.gpu.memory * 4 == one.gpu.memory > 1e8 and four.gpus == 4


def test_the_speed_of_matrix_products_is_measured_without_a_random_number():
    state = torch.get_rng_state()
    speed = multiplications(CPU, torch.float32)
    assert 1e9 < speed < 1e14 and torch.get_rng_state().equal(state)
    assert multiplications(CPU, torch.float32) == speed  # measured once


def test_the_peak_is_of_the_precision(monkeypatch):
    assert peak(CPU, "fp32") == 1e11 and peak(CPU, "bf16") == 2e11
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    assert (peak(gpu, "bf16"), peak(gpu, "fp32")) == (989e12, 67e12)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 PCIe")
    assert peak(gpu, "bf16") is None
