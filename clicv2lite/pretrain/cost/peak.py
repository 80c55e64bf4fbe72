"""Peak memory of a computation, counted tensor by tensor on any device (book chapter 10)."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Count(TorchDispatchMode):
    """Adds the bytes of each storage that an operation makes, and subtracts them when the storage is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: dict[int, int] = {}  # id of a storage in use -> its bytes

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                self._see(leaf, new=False)  # it existed before this computation
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._see(leaf, new=True)
        return result

    def _see(self, tensor: Tensor, new: bool) -> None:
        storage = tensor.untyped_storage()
        if id(storage) in self.known:
            return
        self.known[id(storage)] = storage.nbytes() if new else 0
        self.now += self.known[id(storage)]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, id(storage))

    def _forget(self, key: int) -> None:
        self.now -= self.known.pop(key)


def peak_bytes(computation: Callable[[], object]) -> int:
    """Largest number of bytes that the tensors of a computation take at the same time.

    Views of the same storage count once. Tensors that exist before the computation and temporary memory inside one operation do
    not count. Backward passes count on every device.
    """
    with torch.enable_grad(), _Count() as count:
        computation()
    return count.peak
