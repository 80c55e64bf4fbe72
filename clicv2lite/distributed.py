"""The ranks of a run: their shares of a batch, and the data that they exchange (book chapter 10).

torchrun starts the processes and restarts them after a failure. In this module they find each other. Without torchrun there is
one rank, and nothing is exchanged.
"""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from clicv2lite.device import CPU, choose_device
from clicv2lite.errors import UserError
from clicv2lite.torchrun import from_torchrun


@dataclass(frozen=True)
class Ranks:
    """This process: number ``rank`` of ``size``, on ``device``."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files and shows progress."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """Number of images per rank in a global batch. Rank r has images r * share .. (r + 1) * share - 1.

        Raises:
            UserError: if the shares cannot be equal; on ranks that are not the first, SystemExit.
        """
        if batch % self.size:
            self.refuse(f"--set batch={batch}: {self.size} ranks cannot share it equally; take a multiple of {self.size}")
        return batch // self.size

    def gather(self, part: Tensor) -> Tensor:
        """Join the parts (b, ...) of all ranks to (B, ...), in the order of ranks, which is that of the batch. No gradient."""
        if self.size == 1:
            return part
        whole = part.new_empty(self.size * len(part), *part.shape[1:])
        dist.all_gather_into_tensor(whole, part.contiguous())
        return whole

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over all ranks. Every rank gets it."""
        if self.size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total / self.size

    def any(self, value: bool) -> bool:
        """Whether it is true on any rank. Every rank gets it."""
        return bool(self.mean(torch.tensor(float(value), device=self.device)) > 0)

    def from_first(self, value: Any) -> Any:
        """A small value of the first rank. Every rank gets it."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def tensors_from_first(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The named tensors of the first rank. Every rank gets them; the arguments of the other ranks are ignored."""
        if self.size == 1:
            return tensors
        shapes = self.from_first({name: (tuple(t.shape), t.dtype) for name, t in tensors.items()} if self.first else None)
        received = {}
        for name, (shape, dtype) in shapes.items():  # one at a time, so a device never holds two copies of all
            part = tensors[name].to(self.device) if self.first else torch.empty(shape, dtype=dtype, device=self.device)
            dist.broadcast(part, src=0)
            received[name] = part.cpu()
        return received

    def collect(self, value: Any) -> list[Any]:
        """The values of all ranks. Every rank gets them."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def first_alone(self, action: Callable[[], Any]) -> Any:
        """Let the first rank do something while the others wait. If it raises UserError, all ranks end, with one message.

        Returns:
            the result of the action on the first rank, None on the others.
        """
        message, result = None, None
        if self.first:
            try:
                result = action()
            except UserError as error:
                message = str(error)
        if (message := self.from_first(message)) is not None:
            self.refuse(message)
        return result

    def refuse(self, message: str) -> NoReturn:
        """Stop all ranks for a reason that each of them has found. Only the first one prints it."""
        raise UserError(message) if self.first else SystemExit(2)

    def wrap(self, model: nn.Module, unused: bool) -> nn.Module:
        """Wrap the model so that its gradients are averaged over ranks during the backward pass.

        Args:
            unused: some parts get no gradient (the decoder, if nothing is masked).
        """
        if self.size == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, ids, find_unused_parameters=unused, gradient_as_bucket_view=True)


def without_exchange(model: nn.Module) -> AbstractContextManager[None]:
    """A context in which backward passes only add to this rank's gradients. Use it for all micro-batches except the last."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()


@contextmanager
def join(device: str, patience: timedelta | None = None) -> Iterator[Ranks]:
    """Join the other ranks that torchrun started. Without torchrun there is only this rank.

    Args:
        device: as for `choose_device`; with ``cuda`` or ``auto``, each local rank has its own GPU.
        patience: how long a rank waits for another one; None is torch's choice, minutes.

    Raises:
        UserError: if there is no such device, several ranks would share one GPU, or nobody started them as torchrun does.
    """
    size, number, local = (from_torchrun(name) for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"))
    if number >= size:
        raise UserError(f"RANK={number}: there is none of WORLD_SIZE={size}; start the ranks with torchrun, or unset RANK")
    where = choose_device(device)
    if size > 1 and (where.index is not None or where.type == "mps"):
        raise UserError(f"--device {device}: {size} ranks cannot share one GPU; write cuda, and each of them takes its own")
    if where.type == "cuda" and where.index is None:
        if local >= torch.cuda.device_count():
            here = f"{torch.cuda.device_count()} GPUs for {os.environ.get('LOCAL_WORLD_SIZE', size)} local ranks"
            raise UserError(f"--device cuda: {here}; start torchrun with fewer --nproc-per-node")
        where = torch.device("cuda", local)
    if where.type == "cuda":
        torch.cuda.set_device(where)
    if size == 1:
        yield Ranks(device=where)
        return
    try:
        store, rank, _ = next(dist.rendezvous("env://"))
    except ValueError as error:  # a variable is missing: a job or an image of a container has set WORLD_SIZE alone
        raise UserError(f"WORLD_SIZE={size}: {error}; start the ranks with torchrun, or unset WORLD_SIZE") from None
    if os.environ.get("GROUP_WORLD_SIZE") == "1":  # one machine: torchrun's store still has addresses of killed ranks
        store = dist.PrefixStore(f"attempt-{from_torchrun('TORCHELASTIC_RESTART_COUNT')}", store)
    backend = "nccl" if where.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=patience)
    yield Ranks(dist.get_rank(), size, where)
    # Free wrapped models first. Freed later, they could end the group while holding Python's lock, and gloo's threads may wait
    # for that lock.
    gc.collect()
    dist.destroy_process_group()  # not called after a failure: it would wait for ranks that are gone
