import pytest
import torch

from clicv2lite.device import autocast, has_fast_bfloat16

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
