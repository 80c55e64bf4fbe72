"""Checkpoints that survive a kill: tensors only, by a temporary file, with a checksum, two kept (book, running pretraining)."""

import hashlib
import io
import re
import sys
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from clicv2lite.distributed import Ranks
from clicv2lite.errors import UserError
from clicv2lite.files import reason, remove_leftovers, write_bytes

KEEP = 2
NAME = re.compile(r"step-\d{9}\.(safetensors|sha256)")


def save(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> Path:
    """Write folder/step-000000123.safetensors and its .sha256. The name appears when all is on disk.

    Of the others, only the newest one before it is kept. One with a higher number goes too: a run goes on from the newest
    checkpoint that it can use, so those above it are damaged. Only the run itself calls this, one process at a time.

    Raises:
        UserError: if the disk is full or the folder cannot be written. The previous checkpoint is not changed.
    """
    path = folder / f"step-{step:09d}.safetensors"
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()} | _optimizer_tensors(model, optimizer)
    data = safetensors.torch.save({k: v.contiguous().cpu() for k, v in tensors.items()}, {"step": str(step)})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder, NAME.fullmatch)  # before the write, which needs the room
        write_bytes(path.with_suffix(".sha256"), hashlib.sha256(data).hexdigest().encode())
        write_bytes(path, data)
    except OSError as error:
        advice = "those before it are untouched; make room there, and go on"
        raise UserError(f"{path}: cannot be written ({reason(error)}); {advice}") from None
    kept = [p.stem for p in _numbered(folder) if p.is_file() and p.stem <= path.stem][-KEEP:]
    for other in _ours(folder):
        if other.stem not in kept and other.is_file():
            other.unlink()
    return path


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ranks: Ranks | None = None) -> int:
    """Load the newest usable checkpoint and return its step. Where no checkpoint lies, return 0 and change nothing.

    A checkpoint that cannot be read, is damaged or belongs to another model is named on standard error, and the one before it
    is tried. The first rank reads the file and sends the tensors to the others.

    Raises:
        UserError: if there are checkpoints and none can be used. A run that started afresh would replace them.
    """
    ranks = ranks or Ranks()
    found = ranks.first_alone(lambda: _newest(folder, model, optimizer))
    step: int = ranks.from_first(found[0] if found else 0)
    if step:
        tensors = ranks.tensors_from_first(found[1] if found else {})
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        _load_optimizer(model, optimizer, tensors)
    return step


def _newest(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, dict[str, Tensor]]:
    """Step and tensors of the newest checkpoint that can be used; (0, {}) if there is no checkpoint."""
    alien, passed = None, list[str]()
    for path in reversed(_numbered(folder)):
        tensors, reason = _read(path, model)
        if tensors and _fits(tensors, model, optimizer):
            for line in passed:
                print(f"clicv2lite: {line}; trying the checkpoint before it", file=sys.stderr)
            return int(path.stem.removeprefix("step-")), tensors
        if tensors:
            alien = alien or path
            reason = "belongs to another model than this recipe"
        passed.append(f"{path}: {reason}")
    if alien:
        raise UserError(f"{alien}: belongs to another model than this recipe; choose another --out")
    if passed:
        advice = f"put it back with its .sha256, or move {folder} away to start afresh"
        raise UserError(f"{passed[0]}, and no checkpoint before it can be used; {advice}")
    return 0, {}


def _read(path: Path, model: nn.Module) -> tuple[dict[str, Tensor], str]:
    """The tensors of a checkpoint, or {} and what is wrong with it."""
    checksum = path.with_suffix(".sha256")
    most = 4 * sum(t.nbytes for t in model.state_dict().values()) + 2**27  # weights, two moments, names and shapes
    try:
        if not path.is_file():
            return {}, "not a file, or a broken link"  # a pipe would never end
        if path.stat().st_size > most:
            return {}, "damaged (it is larger than any checkpoint of this model)"
        data = path.read_bytes()
        with checksum.open("rb") if checksum.is_file() else io.BytesIO() as file:
            wanted = file.read(65)
        if wanted != hashlib.sha256(data).hexdigest().encode():
            return {}, "damaged (its checksum differs)"
        return safetensors.torch.load(data), ""
    except OSError as error:
        return {}, f"cannot be read ({error.strerror})"
    except SafetensorError:  # for example a pickle, which is never loaded
        return {}, "damaged (it is not a safetensors file)"


def _fields(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """What it keeps of a parameter: all of its shape, but the number of steps."""
    return ("momentum_buffer",) if isinstance(optimizer, torch.optim.SGD) else ("step", "exp_avg", "exp_avg_sq")


def _fits(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
    """Whether these are the tensors that `save` writes of such a model and optimizer: names, shapes and types."""
    fields = _fields(optimizer)
    wanted = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, p in _trained(model).items():
        if f"optimizer.{fields[0]}.{name}" in tensors:  # else it had no gradient: the decoder, when nothing is masked
            wanted |= {f"optimizer.{field}.{name}": torch.zeros(()) if field == "step" else p for field in fields}
    return wanted.keys() == tensors.keys() and all(
        tensors[name].shape == value.shape and tensors[name].dtype == value.dtype for name, value in wanted.items()
    )


def _numbered(folder: Path) -> list[Path]:
    return [p for p in _ours(folder) if p.suffix == ".safetensors"]


def _ours(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if NAME.fullmatch(p.name))


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"optimizer.{field}.{name}": torch.as_tensor(value)
        for name, p in _trained(model).items()
        for field, value in optimizer.state.get(p, {}).items()
    }


def _load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    fields = _fields(optimizer)
    for name, p in _trained(model).items():
        if f"optimizer.{fields[0]}.{name}" not in tensors:  # it had no gradient: the decoder, when nothing is masked
            continue
        optimizer.state[p] = {field: tensors[f"optimizer.{field}.{name}"].to(p.device) for field in fields}
