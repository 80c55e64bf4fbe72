"""How fast a device multiplies matrices and how much it holds: GPUs by their data sheets, others measured (chapter 10)."""

import os
import time
from dataclasses import dataclass
from functools import cache

import torch

from clicv2lite.device import takes_bfloat16
from clicv2lite.errors import UserError
from clicv2lite.provenance import hardware


@dataclass(frozen=True)
class Gpu:
    """A graphics card by its data sheet. Peaks are dense ones: the doubled figures for sparse matrices do not apply here."""

    name: str
    bf16: float  # FLOP/s of tensor cores, bf16 or fp16 with fp32 accumulation
    fp32: float  # FLOP/s of fp32 without tensor cores, which the loss is computed in
    memory: float  # bytes
    watts: float  # of the board
    source: str


@dataclass(frozen=True)
class Machine:
    """Some equal GPUs."""

    gpu: Gpu
    gpus: int


RTX_3090 = Gpu("RTX 3090", 71e12, 35.6e12, 24e9, 350, "NVIDIA Ampere GA102 GPU Architecture, white paper, appendix A")
RTX_4090 = Gpu("RTX 4090", 165.2e12, 82.6e12, 24e9, 450, "NVIDIA Ada GPU Architecture, white paper, appendix A")
A100 = Gpu("A100 SXM 80 GB", 312e12, 19.5e12, 80e9, 400, "NVIDIA A100 Tensor Core GPU, data sheet")
H100 = Gpu("H100 SXM 80 GB", 989e12, 67e12, 80e9, 700, "NVIDIA H100 Tensor Core GPU, data sheet")
H200 = Gpu("H200 SXM 141 GB", 989e12, 67e12, 141e9, 700, "NVIDIA H200 Tensor Core GPU, data sheet")
GPUS = {"RTX 3090": RTX_3090, "RTX 4090": RTX_4090, "A100": A100, "H100": H100, "H200": H200}
MACHINES = {"4 x RTX 3090": Machine(RTX_3090, 4), "8 x A100": Machine(A100, 8), "8 x H100": Machine(H100, 8)}
"""The paper's machine (section 4.1) and two that one can rent. Prices are not in it: they are the reader's."""
NAMES = {  # as the driver calls them; other variants of these cards have other peaks
    "NVIDIA GeForce RTX 3090": RTX_3090, "NVIDIA GeForce RTX 4090": RTX_4090, "NVIDIA A100-SXM4-80GB": A100,
    "NVIDIA H100 80GB HBM3": H100, "NVIDIA H200": H200,
}  # fmt: skip


def machine(text: str) -> Machine:
    """A machine in words, as ``8 x A100`` or ``H100``, one of ``GPUS``.

    Raises:
        UserError: for another card, or no whole number of them.
    """
    count, name = text.split(" x ", 1) if " x " in text else ("1", text)
    if name not in GPUS or not count.isdecimal() or int(count) < 1:
        raise UserError(f"--on {text}: write it as `8 x A100`; the cards are {', '.join(GPUS)}")
    return Machine(GPUS[name], int(count))


def this_machine(device: torch.device, ranks: int = 1) -> Machine:
    """The device at hand, as often as there are ranks: its measured speed, and its memory; ranks on a CPU share that."""
    bf16, fp32 = (multiplications(device, kind) for kind in (torch.bfloat16, torch.float32))
    if device.type == "cuda":
        held = float(torch.cuda.get_device_properties(device).total_memory)
    else:
        held = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / ranks
    fast = bf16 if takes_bfloat16(device) else fp32  # what precision=auto takes
    return Machine(Gpu(hardware(device), fast, fp32, held, 0, "measured here"), ranks)


@cache
def multiplications(device: torch.device, kind: torch.dtype) -> float:
    """FLOP/s of square matrix products of a type, measured in a fraction of a second, with this process's threads."""
    side = 8192 if device.type == "cuda" else 1024
    a = torch.ones(side, side, dtype=kind, device=device)  # no random number is drawn: a training goes on as if unobserved
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds)


def peak(device: torch.device, precision: str) -> float | None:
    """FLOP/s that a share of is reported as MFU: of the data sheet, on a CPU measured; None for a GPU that is not listed.

    Args:
        precision: a recipe's ``auto``, ``bf16`` or ``fp32``.
    """
    low = takes_bfloat16(device, precision)
    if device.type != "cuda":
        return multiplications(device, torch.bfloat16 if low else torch.float32)
    gpu = NAMES.get(torch.cuda.get_device_name(device))
    if gpu is None:
        return None
    return gpu.bf16 if low else gpu.fp32
