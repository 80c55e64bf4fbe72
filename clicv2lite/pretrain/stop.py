"""Stop a run on a signal, after it has saved (book, running pretraining)."""

import signal
import threading
from types import FrameType
from typing import Any

import torch

from clicv2lite.distributed import Ranks


class Stop:
    """A context manager that remembers SIGTERM and SIGINT, so that the loop can save before it stops."""

    def __init__(self) -> None:
        self.asked = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():  # Python handles signals only there
            self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def anywhere(self, ranks: Ranks) -> bool:
        """Whether any rank was asked to stop. All ranks must save after the same step."""
        return bool(ranks.mean(torch.tensor(float(self.asked), device=ranks.device)) > 0)
