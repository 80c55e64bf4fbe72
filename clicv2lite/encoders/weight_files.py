"""The files of the encoders in a folder, and a digest of tensors (book chapter 8)."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

WEIGHTS, METADATA = "encoder.safetensors", "clicv2lite"
BESIDE = "encoder_{}.safetensors"  # the second encoder of a folder, the third, ..., see `side_by_side`


def encoder_files(folder: Path) -> list[Path]:
    """The files of the encoders in a folder, in order; the first one even if it is missing."""
    found = [numbered_file(folder, 1)]
    while (path := numbered_file(folder, len(found) + 1)).is_file():
        found.append(path)
    return found


def numbered_file(folder: Path, number: int) -> Path:
    """The file of one encoder of a folder; the first is number 1."""
    return folder / (WEIGHTS if number == 1 else BESIDE.format(number))


def digest_of(tensors: Mapping[str, Tensor], about: bytes = b"") -> str:
    """Hexadecimal SHA-256 of tensors and their names, and of what else belongs to them."""
    found = hashlib.sha256(about)
    for name, tensor in sorted(tensors.items()):  # as bytes: NumPy has no bfloat16
        found.update(name.encode() + tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
