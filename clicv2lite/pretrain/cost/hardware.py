"""Speed of matrix products and memory of a device: from data sheets for GPUs, measured for others (book chapter 10)."""

import re
import time
from dataclasses import dataclass
from functools import cache

import torch

from clicv2lite.device import takes_bfloat16
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.pretrain.products import bfloat16_products
from clicv2lite.provenance import hardware


@dataclass(frozen=True)
class Gpu:
    """A graphics card, from its data sheet. Peaks are for dense matrices: the doubled figures for sparse ones do not apply."""

    name: str
    bf16: float  # FLOP/s of tensor cores, bf16 or fp16 with fp32 accumulation
    fp32: float  # FLOP/s of fp32 without tensor cores; the loss is computed in fp32
    memory: float  # bytes
    watts: float  # power of the board
    source: str


@dataclass(frozen=True)
class Machine:
    """A number of equal GPUs."""

    gpu: Gpu
    gpus: int


RTX_3090 = Gpu("RTX 3090", 71e12, 35.6e12, 24e9, 350, "NVIDIA Ampere GA102 GPU Architecture, white paper, appendix A")
RTX_4090 = Gpu("RTX 4090", 165.2e12, 82.6e12, 24e9, 450, "NVIDIA Ada GPU Architecture, white paper, appendix A")
A100 = Gpu("A100 SXM 80 GB", 312e12, 19.5e12, 80e9, 400, "NVIDIA A100 Tensor Core GPU, data sheet")
H100 = Gpu("H100 SXM 80 GB", 989e12, 67e12, 80e9, 700, "NVIDIA H100 Tensor Core GPU, data sheet")
H200 = Gpu("H200 SXM 141 GB", 989e12, 67e12, 141e9, 700, "NVIDIA H200 Tensor Core GPU, data sheet")
GPUS = {"RTX 3090": RTX_3090, "RTX 4090": RTX_4090, "A100": A100, "H100": H100, "H200": H200}
MACHINES = {"4 x RTX 3090": Machine(RTX_3090, 4), "8 x A100": Machine(A100, 8), "8 x H100": Machine(H100, 8)}
"""The paper's machine (section 4.1) and two that one can rent. Prices are not listed: the reader gives them."""
NAMES = {  # the driver's names; other variants of these cards have other peaks
    "NVIDIA GeForce RTX 3090": RTX_3090, "NVIDIA GeForce RTX 4090": RTX_4090, "NVIDIA A100-SXM4-80GB": A100,
    "NVIDIA H100 80GB HBM3": H100, "NVIDIA H200": H200,
}  # fmt: skip


def machine(text: str) -> Machine:
    """A machine from text such as ``8 x A100``, ``H100`` or, for a card of no such name, ``8 x 2250 TFLOP/s 192 GB``.

    The second number of FLOP/s, if there is one, is that of fp32 without tensor cores (``2250 TFLOP/s 192 GB 75 TFLOP/s``);
    without it a card has the H100's ratio of the two.

    Raises:
        UserError: if the card is unknown, a number is missing, or the number of cards is not a positive whole number.
    """
    count, name = text.split(" x ", 1) if " x " in text else ("1", text)
    gpu = GPUS.get(name) or _own_numbers(name)
    if gpu is None or not re.fullmatch("[1-9][0-9]{0,5}", count):
        raise UserError(
            f"--on {text}: write it as `8 x A100`, or with a card's own numbers as `8 x 2250 TFLOP/s 192 GB` (dense bf16,"
            f" memory); the cards are {', '.join(GPUS)}"
        )
    return Machine(gpu, int(count))


def _own_numbers(text: str) -> Gpu | None:
    number, speed = r"([0-9]{1,6}(?:\.[0-9]{1,6})?)", r" *TFLOP(?:/s|S|s)"
    match = re.fullmatch(f"{number}{speed} +{number} *GB(?: +{number}{speed})?", text)
    if match is None or not all(float(given) > 0 for given in match.groups() if given):
        return None
    bf16, memory = float(match[1]) * 1e12, float(match[2]) * 1e9
    fp32 = float(match[3]) * 1e12 if match[3] else bf16 * H100.fp32 / H100.bf16
    return Gpu(text, bf16, fp32, memory, 0, "given with --on")


def this_machine(device: torch.device, ranks: int = 1) -> Machine:
    """This device, once per rank, with its measured speed and its memory. Ranks on a CPU share the memory."""
    bf16, fp32 = (multiplications(device, kind) for kind in (torch.bfloat16, torch.float32))
    held = held_memory(device) / (1 if device.type == "cuda" else ranks)
    fast = bf16 if takes_bfloat16(device) else fp32  # the choice of precision=auto
    return Machine(Gpu(hardware(device), fast, fp32, held, 0, "measured here"), ranks)


def held_memory(device: torch.device) -> int:
    """Bytes of memory of a device, those in use included; the machine's for a CPU or an Apple GPU."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    with extra("train"):
        import psutil
    return int(psutil.virtual_memory().total)


@cache
def multiplications(device: torch.device, kind: torch.dtype) -> float:
    """FLOP/s of square matrix products of a type, measured in a fraction of a second with the threads of this process."""
    side = 8192 if device.type == "cuda" else 1024
    a = torch.ones(side, side, dtype=kind, device=device)  # ones, not random: a training run must not change
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        with bfloat16_products(device, "bf16"):
            a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds)


def peak(device: torch.device, precision: str) -> float | None:
    """Peak FLOP/s for the MFU: from the data sheet, or measured on a CPU; None for a GPU that is not listed.

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
