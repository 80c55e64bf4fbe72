"""Checkpoints that survive a kill: tensors only, written to a temporary file, with a checksum, two kept (book chapter 7)."""

import hashlib
import re
import sys
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from clicv2lite.errors import UserError
from clicv2lite.files import write_bytes
from clicv2lite.pretrain.distributed import Ranks

KEEP = 2
PATTERN = re.compile(r"step-(\d{9})\.safetensors$")


def save(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> Path:
    """Write folder/step-000000123.safetensors and its .sha256, and keep the newest two. The name appears when all is on disk.

    Raises:
        UserError: if the disk is full or the folder cannot be written. The previous checkpoint is not changed.
    """
    path = folder / f"step-{step:09d}.safetensors"
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()} | _optimizer_tensors(model, optimizer)
    data = safetensors.torch.save({k: v.contiguous().cpu() for k, v in tensors.items()}, {"step": str(step)})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path.with_suffix(".sha256"), hashlib.sha256(data).hexdigest().encode())
        write_bytes(path, data)
    except OSError as error:
        raise UserError(f"{path}: could not be written ({error.strerror}); the previous checkpoint is untouched") from None
    for old in _numbered(folder)[:-KEEP]:
        old.unlink()
        old.with_suffix(".sha256").unlink(missing_ok=True)
    return path


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ranks: Ranks | None = None) -> int:
    """Load the newest complete checkpoint and return its step. If there is none, return 0 and change nothing.

    If a checkpoint is damaged, its name goes to standard error and the one before it is used. The first rank reads the file and
    sends the tensors to the others.

    Raises:
        UserError: if a checkpoint is complete but belongs to another model.
    """
    ranks = ranks or Ranks()
    path, tensors = _newest(folder) if ranks.first else (folder, {})
    path = ranks.from_first(path)
    if path == folder:
        return 0
    try:
        tensors = ranks.tensors_from_first(tensors)
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        _load_optimizer(model, optimizer, tensors)
    except (RuntimeError, KeyError):
        raise UserError(f"{path}: belongs to another model than this recipe; choose another --out") from None
    return int(path.stem.removeprefix("step-"))


def _newest(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    """The newest complete checkpoint and its tensors; (folder, {}) if there is none."""
    for path in reversed(_numbered(folder)):
        data = path.read_bytes()
        checksum = path.with_suffix(".sha256")
        reason = "its checksum differs"
        if checksum.is_file() and checksum.read_bytes() == hashlib.sha256(data).hexdigest().encode():
            try:
                return path, safetensors.torch.load(data)
            except SafetensorError:  # for example a pickle, which is never loaded
                reason = "it is not a safetensors file"
        print(f"clicv2lite: {path}: damaged ({reason}); trying the checkpoint before it", file=sys.stderr)
    return folder, {}


def _numbered(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*.safetensors") if PATTERN.search(p.name))


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"optimizer.{field}.{name}": torch.as_tensor(value)
        for name, p in _trained(model).items()
        for field, value in optimizer.state.get(p, {}).items()
    }


def _load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    fields = ("momentum_buffer",) if isinstance(optimizer, torch.optim.SGD) else ("step", "exp_avg", "exp_avg_sq")
    for name, p in _trained(model).items():
        if f"optimizer.{fields[0]}.{name}" not in tensors:  # it had no gradient: the decoder, when nothing is masked
            continue
        optimizer.state[p] = {field: tensors[f"optimizer.{field}.{name}"].to(p.device) for field in fields}
