"""Ctrl-C at any moment: threads that it cannot lock up, and loops that end where they can."""

import atexit
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Threads:
    """Threads that take tasks from one queue. Use them as a context manager; its end drops what has not begun, and waits.

    Not those of concurrent.futures: their locks are written in Python, and a Ctrl-C just after one was taken, before it is
    used, leaves it taken. Their threads then wait for ever, and the process with them. All that these wait for is one step of
    the interpreter.

    Args:
        number: how many at most, 1 or more; each begins with a task.
        name: of each thread, for a debugger.
    """

    def __init__(self, number: int, name: str = "worker") -> None:
        self.number, self._name, self._closed = number, name, False
        self._tasks: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        _open.add(self)

    def __enter__(self) -> "Threads":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def submit(self, work: Callable[..., Result], *args: Any) -> "Task[Result]":
        """Have a thread call `work(*args)`.

        Raises:
            RuntimeError: after `close`.
        """
        self.go_on()
        task = Task(partial(work, *args))
        self._tasks.put(task)
        if len(self._threads) < self.number:
            # a daemon: nothing waits for one whose start a Ctrl-C cut off
            thread = threading.Thread(target=_work, args=(self._tasks,), name=self._name, daemon=True)
            thread.start()
            self._threads.append(thread)
        return task

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """What `work` makes of each item, in order; all are given to the threads at once."""
        tasks = deque([self.submit(work, item) for item in items])
        return (tasks.popleft().result() for _ in range(len(tasks)))

    def go_on(self) -> None:
        """End a long task that nobody waits for any more: it calls this between its steps.

        Raises:
            RuntimeError: after `close`.
        """
        if self._closed:
            raise RuntimeError("these threads have ended")

    def close(self) -> None:
        """Drop the tasks that have not begun, wait for the others, and end the threads."""
        self._closed = True
        with suppress(Empty):
            while True:
                if task := self._tasks.get_nowait():
                    task.drop()
        self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        _open.discard(self)


class Task(Generic[Result]):
    """A call that a thread makes.

    Args:
        work: what is called.
    """

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._over = threading.Lock()
        self._over.acquire()

    def run(self) -> None:
        """Make the call; only once."""
        try:
            self._value = self._work()
        except BaseException as error:
            self._error = error
        self._over.release()
        del self  # an error's traceback holds this frame, and would keep what the call was given

    def drop(self) -> None:
        """Let it be known that there will be no call."""
        self._error = RuntimeError("dropped, for its threads have ended")
        self._over.release()

    def result(self) -> Result:
        """Wait for the call, and give back what it returned.

        Raises:
            BaseException: the one that the call raised; RuntimeError if the call was dropped.
        """
        with self._over:
            pass
        try:
            if self._error:
                raise self._error
            return self._value
        finally:
            del self  # as in `run`


def _work(tasks: "SimpleQueue[Task[Any] | None]") -> None:
    while task := tasks.get():
        task.run()
        del task  # its images are not kept while this thread waits
    tasks.put(None)  # for the next thread


_open: set[Threads] = set()


@atexit.register
def _end() -> None:
    """End the threads of a generator that is still open, or that a second Ctrl-C left at work.

    The interpreter may not end before them: it would abort if one is inside torch then, and wait for ever for the others.
    """
    try:
        for threads in list(_open):
            threads.close()
    except KeyboardInterrupt:  # one more
        os._exit(130)


FOREIGN = (None, signal.SIG_IGN)  # handlers that stay: one of a program that Python runs in, or a job that is to be deaf


class Stop:
    """While it is open, Ctrl-C and SIGTERM are counted, so that a loop can end, and save, where nothing is half done.

    Args:
        numbers: the signals.

    Attributes:
        asked: how many of them came.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self.asked = 0
        self._numbers = numbers or (signal.SIGINT, signal.SIGTERM)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():  # Python handles signals only there
            taken = [number for number in self._numbers if signal.getsignal(number) not in FOREIGN]
            self._before = {number: signal.signal(number, self._ask) for number in taken}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in reversed(self._before.items()):  # Ctrl-C is the last that can break in here
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a Ctrl-C that ends the block be a KeyboardInterrupt, whatever a library makes of it.

    C code may take it for an error of its own: of one while a file of weights is loaded, safetensors makes a ValueError.
    """
    before = signal.getsignal(signal.SIGINT)
    came = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal came
        came = True
        signal.default_int_handler(number, frame)

    try:
        if before in (signal.default_int_handler, signal.SIG_DFL) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupt)
        yield
    except Exception:
        if came:
            raise KeyboardInterrupt from None
        raise
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, before)


@contextmanager
def unheard() -> Iterator[None]:
    """Put Ctrl-C off; processes that are started meanwhile never hear it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
