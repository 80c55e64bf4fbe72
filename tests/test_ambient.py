"""The caller's settings change no score, to the bit, and are the caller's again afterwards."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import clicv2lite
from clicv2lite.ambient import PROCESS, own_settings
from clicv2lite.heads.icnet import IcnetShape, IcnetTraining, fit_icnet
from clicv2lite.models.by_name import load_encoder

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 60, 50, 3), dtype=np.uint8)


@contextmanager
def changed(read, write, value):
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def precision(owner):
    return lambda: changed(lambda: owner.fp32_precision, lambda v: setattr(owner, "fp32_precision", v), "bf16")


STATES = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default dtype": lambda: changed(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "default device": lambda: torch.device("meta"),
    "set_default_device": lambda: changed(lambda: None, torch.set_default_device, "meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "matmul precision": lambda: changed(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "mkldnn precision": precision(torch.backends.mkldnn.matmul),
    "no mkldnn": lambda: torch.backends.mkldnn.flags(enabled=False),
    "attention": lambda: sdpa_kernel(SDPBackend.MATH),
    "slow path": lambda: changed(torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled, False),
    "deterministic": lambda: changed(torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True),
    "threads": lambda: changed(torch.get_num_threads, torch.set_num_threads, torch.get_num_threads() + 1),
    "errstate": lambda: np.errstate(all="raise"),
}  # fmt: skip


def everything(folder):
    """All that a model says of two images, and what it says after it was loaded again."""
    model = clicv2lite.load(folder, device="cpu")
    return [model.score(IMAGES), model.features(IMAGES), model.complexity_map(IMAGES[0]), model.encoder.width]


def settings():
    return [read() for read, _, _ in PROCESS] + [torch.is_autocast_enabled("cpu"), torch.is_grad_enabled(), np.geterr()]


@pytest.fixture(scope="module")
def undisturbed(models):
    """Of the shipped model and of a tiny one: where it lies, and what it says in torch's own settings."""
    return {spec: (folder, everything(folder)) for spec, folder in (("default", "default"), ("tiny", models[0]))}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("spec", ["default", "tiny"])
def test_no_setting_of_the_caller_changes_a_score_by_one_bit(state, spec, undisturbed):
    folder, want = undisturbed[spec]
    with STATES[state]():
        before = settings()
        got = everything(folder)
        assert settings() == before
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("state", STATES)
def test_a_head_is_fitted_alike_in_every_setting_of_the_caller(state):
    tokens = torch.rand(8, 3, 3, 4, generator=torch.Generator().manual_seed(0))

    def fitted():
        head = fit_icnet(tokens, np.linspace(0, 1, 8), IcnetShape(4, 4, channels=4), IcnetTraining(epochs=1, batch_size=4), 0)
        return head.predict(tokens)

    want = fitted()
    with STATES[state]():
        got = fitted()
    if state == "threads":  # a sum of gradients is cut into as many parts as there are threads
        np.testing.assert_allclose(got, want, atol=1e-6)
    else:
        np.testing.assert_array_equal(got, want)


def test_the_random_numbers_of_the_caller_go_on(models):
    torch.manual_seed(5)
    np.random.seed(5)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    everything(models[0])
    load_encoder("random", 3)
    fit_icnet(torch.rand(4, 2, 2, 4, generator=torch.Generator()), np.zeros(4), IcnetShape(4, 4, 4), IcnetTraining(epochs=1), 0)
    assert torch.get_rng_state().equal(torch_before) and (np.random.get_state()[1] == numpy_before).all()


def test_an_encoder_that_is_loaded_in_inference_mode_can_be_trained():
    with torch.inference_mode():
        vit = load_encoder("random").vit
    vit.requires_grad_(True)
    vit.forward_features(torch.zeros(1, 3, 128, 128)).sum().backward()
    assert vit.norm.weight.grad is not None


def test_threads_that_come_and_go_leave_the_callers_settings():
    def work(_):
        with own_settings():
            return torch.get_default_dtype() == torch.float32 and torch.zeros(1).dtype == torch.float32

    with changed(torch.get_default_dtype, torch.set_default_dtype, torch.float64):
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(400)))
        assert torch.get_default_dtype() == torch.float64


def test_settings_come_back_after_an_error():
    with changed(torch.get_default_dtype, torch.set_default_dtype, torch.float64):
        with pytest.raises(ZeroDivisionError), own_settings():
            raise ZeroDivisionError
        assert torch.get_default_dtype() == torch.float64 and torch.is_grad_enabled()


def test_torchs_older_names_can_be_read_as_before():
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    with own_settings():
        assert torch.backends.cudnn.conv.fp32_precision in ("none", "ieee") and torch.backends.cudnn.allow_tf32 is False
    assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == before
