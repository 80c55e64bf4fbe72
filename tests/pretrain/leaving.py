"""`pretrain` under torchrun, saying "left behind" if a wrapped model outlives the group of ranks (used by test_distributed)."""

import gc
import sys

import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from clicv2lite.cli import main

leave = dist.destroy_process_group


def look_and_leave() -> None:
    if any(type(thing) is DistributedDataParallel for thing in gc.get_objects()):
        print("left behind")
    leave()
    print("left")


dist.destroy_process_group = look_and_leave
sys.exit(main())
