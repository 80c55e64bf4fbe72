"""bfloat16 on a processor without units for it: the same products, computed in float32 (chapter 10).

torch multiplies bfloat16 there in plain loops, many times as slowly as float32. A product of two bfloat16 numbers is exact in
float32, and units for bfloat16 sum in float32, too. So the factors are widened, and the sums rounded once: what such units
give, but for the order of the sums.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode  # torch's documented way to see every operation, gradients' included
from torch.utils._pytree import tree_map_only

from clicv2lite.device import has_fast_bfloat16

_aten = torch.ops.aten
PRODUCTS = (
    _aten.mm, _aten.addmm, _aten.bmm, _aten.baddbmm, _aten.addmv, _aten.mv, _aten.dot,
    _aten.convolution, _aten.convolution_backward,
)  # fmt: skip
"""What torch's layers, attention and their gradients multiply with."""


class WideProducts(TorchDispatchMode):
    """Inside, products of bfloat16 are computed in float32 and rounded to bfloat16; other operations are left alone."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One operation."""
        kwargs = kwargs or {}
        if func.overloadpacket not in PRODUCTS or not any(isinstance(x, Tensor) and x.dtype == torch.bfloat16 for x in args):
            return func(*args, **kwargs)
        wide = tree_map_only(Tensor, Tensor.float, (args, kwargs))
        return tree_map_only(Tensor, Tensor.bfloat16, func(*wide[0], **wide[1]))


def bfloat16_products(device: torch.device, precision: str, compiled: bool = False) -> AbstractContextManager[object]:
    """Around forward and backward passes under :func:`clicv2lite.device.autocast`: products in bfloat16 are never slow.

    Args:
        device: where the tensors are.
        precision: ``auto`` (which takes bfloat16 only where it is fast), ``bf16`` or ``fp32``.
        compiled: whether `torch.compile` made the passes; its code is then left alone, at its own speed.
    """
    slow = device.type == "cpu" and precision == "bf16" and not has_fast_bfloat16(device)
    return WideProducts() if slow and not compiled else nullcontext()
