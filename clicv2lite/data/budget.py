"""How many bytes of decoded pixels the threads of this process hold at once (book chapter 12).

A file of a few hundred kilobytes may hold a picture of PIL's most pixels, 360 MB once it is decoded. So a thread says how
much it will need, from the file's header, and waits until there is room.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

PIXEL_BYTES = 2**30  # for all threads of a process


class Budget:
    """Bytes that threads share, first come, first served.

    What a thread takes inside `hold` is given back when its outermost `hold` ends. A thread that has taken something never
    waits, so that no two can wait for each other; and more than the whole budget is given to a thread that is alone.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int = PIXEL_BYTES) -> None:
        self.limit = limit
        self.taken = 0
        self._lock = threading.Lock()  # taken in one step; a Ctrl-C while a Condition is taken may leave it taken for ever
        self._changed = threading.Condition(self._lock)
        self._queue: deque[object] = deque()  # the threads that wait
        self._mine = _Mine()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep what this thread takes until the block ends."""
        self._mine.depth += 1
        try:
            yield
        finally:
            self._mine.depth -= 1
            if self._mine.depth == 0 and self._mine.bytes:
                with self._lock:
                    self.taken -= self._mine.bytes
                    self._changed.notify_all()
                self._mine.bytes = 0

    def take(self, size: int) -> None:
        """Take `size` bytes, inside `hold`; waits until they are free if this thread holds none."""
        if self._mine.depth == 0:
            raise RuntimeError("take room inside hold(), which gives it back")
        with self._lock:
            if not self._mine.bytes:
                place = object()
                self._queue.append(place)
                try:
                    self._changed.wait_for(lambda: self._queue[0] is place and self._fits(size))
                finally:  # also when a Ctrl-C ends the waiting
                    self._queue.remove(place)
                    self._changed.notify_all()
            self.taken += size
            self._mine.bytes += size

    def _fits(self, size: int) -> bool:
        return self.taken == 0 or self.taken + size <= self.limit


class _Mine(threading.local):
    """What the calling thread holds."""

    depth = 0
    bytes = 0


PIXELS = Budget()
"""The budget of this process; every decoder here takes from it."""
if hasattr(os, "register_at_fork"):  # the threads of the parent, and what they hold, are not in the child
    os.register_at_fork(after_in_child=PIXELS.__init__)  # type: ignore[misc]
