"""The caller's settings of torch and NumPy are put aside while this package computes: scores do not depend on them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
import torch.overrides

backends: Any = torch.backends
overrides: Any = torch.overrides


def _of(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """How to read and to write an attribute."""
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _read_cudnn() -> tuple[str, str]:
    return backends.cudnn.conv.fp32_precision, backends.cudnn.rnn.fp32_precision


def _write_cudnn(value: tuple[str, str]) -> None:
    if value in (EXACT, TF32):
        backends.cudnn.allow_tf32 = value == TF32  # both at once: set one by one, torch's older name cannot be read any more
    else:
        backends.cudnn.conv.fp32_precision, backends.cudnn.rnn.fp32_precision = value


EXACT, TF32 = ("none", "none"), ("tf32", "tf32")
# Settings of the whole process: how to read one, how to write it, its values that do not change a score; the first is taken.
# float32_matmul_precision is read where it acts: torch's older name for it raises an error if both names were used.
PROCESS: tuple[tuple[Callable[[], Any], Callable[[Any], None], tuple[Any, ...]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype, (torch.float32,)),
    (*_of(backends.mkldnn.matmul, "fp32_precision"), ("ieee", "none")),
    (*_of(backends.mkldnn.conv, "fp32_precision"), ("ieee", "none")),
    (*_of(backends.cuda.matmul, "fp32_precision"), ("ieee", "none")),
    (_read_cudnn, _write_cudnn, (EXACT, ("ieee", "ieee"))),  # by default it is TensorFloat-32, with three digits
    (*_of(backends.mkldnn, "enabled"), (True,)),
    (*_of(backends.cudnn, "enabled"), (True,)),
    (*_of(backends.cudnn, "benchmark"), (False,)),
    (*_of(backends.cudnn, "deterministic"), (True,)),
    (backends.cuda.math_sdp_enabled, backends.cuda.enable_math_sdp, (True,)),
    (backends.cuda.flash_sdp_enabled, backends.cuda.enable_flash_sdp, (True,)),
    (backends.cuda.mem_efficient_sdp_enabled, backends.cuda.enable_mem_efficient_sdp, (True,)),
    (backends.cuda.cudnn_sdp_enabled, backends.cuda.enable_cudnn_sdp, (True,)),
    (backends.mha.get_fastpath_enabled, backends.mha.set_fastpath_enabled, (True,)),
)
NUMPY = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # NumPy's own defaults

_lock = threading.Lock()
_inside = 0  # how many threads compute: the first changes settings of the process, and the last gives them back
_before: list[tuple[Callable[[Any], None], Any]] = []


@contextmanager
def own_settings() -> Iterator[None]:
    """Compute with torch's and NumPy's defaults: as a decorator of a public function, or in a `with` statement.

    It puts aside: autocast, default type and device, other function modes of torch, gradient and inference mode,
    `numpy.errstate`, the precision of float32 products, mkldnn, and the choice of attention kernels. Gradients can be computed
    inside. Afterwards the caller has these settings again. Not put aside: the number of threads and deterministic algorithms,
    on which no score depends.

    What differs from the defaults is changed, and nothing else: mostly this costs a few microseconds. A setting of the process
    is also changed for the caller's other threads, until this package is done.
    """
    with ExitStack() as stack:
        # function modes: a default device is one, and while there is any, some layers compute in another way
        for _ in range(overrides._len_torch_function_stack()):
            stack.enter_context(overrides._pop_mode_temporarily())
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        stack.enter_context(np.errstate(**NUMPY))  # type: ignore[arg-type]
        _enter()
        stack.callback(_leave)
        yield


def _enter() -> None:
    global _inside
    with _lock:
        if _inside == 0:
            for read, write, good in PROCESS:
                if (value := read()) not in good:
                    _before.append((write, value))
                    write(good[0])
        _inside += 1


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        while _inside == 0 and _before:
            write, value = _before.pop()
            write(value)
