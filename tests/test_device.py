import argparse
import importlib

import pytest
import torch

import clicv2lite
from clicv2lite.cli import COMMANDS
from clicv2lite.device import autocast, choose_device, has_fast_bfloat16
from clicv2lite.distributed import join
from clicv2lite.errors import UserError
from clicv2lite.models.hub import ComplexityModel

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision, fast, lowered", [
    ("auto", True, True), ("auto", False, False), ("bf16", False, True), ("fp32", True, False),
])  # fmt: skip
def test_bfloat16_is_used_where_it_is_asked_for_or_fast(precision, fast, lowered, monkeypatch):
    monkeypatch.setattr("clicv2lite.device.has_fast_bfloat16", lambda device: fast)
    with autocast(CPU, precision):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if lowered else torch.float32)


@pytest.mark.parametrize("amx", [True, False])
@pytest.mark.parametrize("avx", [True, False])
def test_either_instruction_set_makes_bfloat16_fast_on_a_processor(amx, avx, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    assert has_fast_bfloat16(CPU) is (amx or avx)


def test_the_question_has_an_answer_on_any_device():
    assert has_fast_bfloat16(CPU) in (True, False) and has_fast_bfloat16(torch.device("meta")) is False


@pytest.fixture
def gpus(monkeypatch):
    """A machine with two GPUs of CUDA, and one with an Apple GPU, as torch would tell of them."""

    def pretend(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize("asked, cuda, mps, found", [
    ("auto", 0, False, "cpu"), ("auto", 2, False, "cuda"), ("auto", 0, True, "cpu"), ("cpu", 2, True, "cpu"),
    ("cuda", 2, False, "cuda"), ("cuda:1", 2, False, "cuda:1"), ("mps", 0, True, "mps"), (CPU, 2, False, "cpu"),
    (torch.device("cuda", 0), 1, False, "cuda:0"),
])  # fmt: skip
def test_a_device_is_found_by_name(gpus, asked, cuda, mps, found):
    gpus(cuda, mps)
    assert choose_device(asked) == torch.device(found)


@pytest.mark.parametrize("asked, cuda, words", [
    ("cuda", 0, "torch finds no usable GPU here"), ("cuda:0", 0, "torch finds no usable GPU here"),
    ("cuda:2", 2, "there are 2 GPUs here, cuda:0 to cuda:1"), ("cuda:999", 1, "there are 1 GPUs here"),
    ("mps", 2, "torch finds no Apple GPU here"), ("meta", 0, "write cpu, cuda, cuda:1, mps or auto"), ("", 0, "write cpu"),
    ("cuda:-1", 2, "write cpu"), ("cuda:\u0661", 2, "write cpu"), ("cpu:3", 0, "write cpu"), ("auto:1", 2, "write cpu"),
    ("gpu\n", 0, "write cpu"), ("9" * 5000, 0, "write cpu"), ("xla", 0, "write cpu"), ("CUDA", 2, "write cpu"),
])  # fmt: skip
def test_a_device_that_is_not_there_is_one_short_line(gpus, asked, cuda, words):
    gpus(cuda)
    with pytest.raises(UserError, match=words) as caught:
        choose_device(asked)
    assert str(caught.value).startswith("--device ") and len(str(caught.value)) < 150 and "\n" not in str(caught.value)


COMPUTING = {
    "score", "pretrain", "probe", "evaluate", "supervised", "invariance", "imagenet-features", "handcrafted", "release",
    "bench", "bench-score", "label-curve", "leaderboard", "norms",
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_computes_with_torch_has_the_option(command):
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[command][0]).add_arguments(parser)
    options = {option: action for action in parser._actions for option in action.option_strings}
    assert ("--device" in options) == (command in COMPUTING)
    if command in COMPUTING:
        assert options["--device"].default == "auto" and "mps" in options["--device"].help


def test_a_model_computes_where_it_is_told(models, gpus):
    gpus(0)
    model = clicv2lite.load(models[0], device="cpu")
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    assert (
        model.encoder.device == CPU and model.to("auto") is model and model.ratings(images) == model.to("cpu").ratings(images)
    )
    for device in ("cuda", "mps"):
        for ask in (lambda d: clicv2lite.load(models[0], device=d), model.to, ComplexityModel.of(model).to):
            with pytest.raises(UserError, match=f"--device {device}: "):
                ask(device)
    moved = []
    gpus(1)
    model.encoder.to = moved.append
    model.to("cuda")
    assert moved == [torch.device("cuda")]


def test_several_ranks_take_a_gpu_each_and_share_none(gpus, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    gpus(2, True)
    for device in ("cuda:1", "mps"):
        with pytest.raises(UserError, match="2 ranks cannot share one GPU"), join(device):
            pass
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="2 GPUs for 2 local ranks"), join("auto"):
        pass


def test_one_rank_takes_the_gpu_that_was_named(gpus, monkeypatch):
    gpus(3)
    taken = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    for device, want in (("cuda:2", "cuda:2"), ("cuda", "cuda:0"), ("auto", "cuda:0")):
        with join(device) as ranks:
            assert ranks.device == torch.device(want) == taken.pop()
