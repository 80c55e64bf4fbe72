"""The fast precision of a device: bfloat16 if the hardware multiplies it, float32 otherwise."""

import os

import torch


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_fast_bfloat16(device: torch.device) -> bool:
    """True on GPUs with bfloat16 and on CPUs with AMX tiles or AVX-512 BF16 (Xeon since 2020, EPYC since 2022)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
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
