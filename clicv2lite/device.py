"""Where torch computes, with how many cores, and the fast precision there: bfloat16 if the hardware multiplies it."""

import argparse
import os
import re

import torch

from clicv2lite.errors import UserError
from clicv2lite.ranges import shown

CPU = torch.device("cpu")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option `--device D`, whose value `choose_device` takes."""
    text = "where torch computes: cpu, cuda, cuda:1, mps, or auto, which is a GPU of CUDA if there is one (default)"
    parser.add_argument("--device", default="auto", metavar="D", help=text)


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """The device that a user asked for.

    Args:
        device: ``cpu``; ``cuda`` or ``cuda:1``; ``mps``, the GPU of an Apple computer; or ``auto``, ``cuda`` if there is one,
            else ``cpu``. ``auto`` never takes ``mps``: this package's tests do not run there.

    Raises:
        UserError: if there is no such device here.
    """
    text = str(device)
    match = re.fullmatch(r"(auto|cpu|mps|cuda)(?::([0-9]{1,3}))?", text)
    if not match or (match[2] and match[1] != "cuda" and text not in ("cpu:0", "mps:0")):
        raise UserError(f"--device {shown(text)}: write cpu, cuda, cuda:1, mps or auto")
    if match[1] == "mps":
        if not torch.backends.mps.is_available():
            raise UserError(f"--device {text}: torch finds no Apple GPU here; leave the option out, or write cpu")
        return torch.device("mps")
    if match[1] == "cpu" or (match[1] == "auto" and not torch.cuda.is_available()):
        return CPU
    if not torch.cuda.is_available():
        raise UserError(f"--device {text}: torch finds no usable GPU here; leave the option out, or write cpu")
    number, count = int(match[2] or 0), torch.cuda.device_count()
    if number >= count:
        raise UserError(f"--device {text}: there are {count} GPUs here, cuda:0 to cuda:{count - 1}; name one of them")
    return torch.device("cuda", number) if match[2] else torch.device("cuda")


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_fast_bfloat16(device: torch.device) -> bool:
    """True on GPUs with bfloat16 and on CPUs with AMX tiles or AVX-512 BF16 (Xeon since 2020, EPYC since 2022)."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)  # Turing cards emulate it, slowly
    if device.type != "cpu":
        return False
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def takes_bfloat16(device: torch.device, precision: str = "auto") -> bool:
    """Whether :func:`autocast` computes in bfloat16 for this choice of precision."""
    return precision == "bf16" or (precision == "auto" and has_fast_bfloat16(device))


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """Mixed precision for a forward pass.

    Args:
        device: where the tensors are.
        precision: ``auto`` (bfloat16 where it is fast), ``bf16`` or ``fp32``.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=takes_bfloat16(device, precision))
