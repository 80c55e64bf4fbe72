"""Threads that a Ctrl-C cannot lock up, and signals that a loop sees where it can end."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from contextlib import suppress

import pytest
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.interrupts import Stop, Threads, interruptible


def test_map_keeps_the_order_and_each_item_is_worked_on_once():
    seen = []
    with Threads(4) as threads:
        assert list(threads.map(lambda i: seen.append(i) or i * i, range(100))) == [i * i for i in range(100)]
    assert sorted(seen) == list(range(100))


def test_as_many_tasks_as_threads_run_at_once():
    together = threading.Barrier(3)
    with Threads(3) as threads:
        tasks = [threads.submit(together.wait, 60) for _ in range(3)]
        assert sorted(task.result() for task in tasks) == [0, 1, 2]


def test_an_error_comes_out_where_the_result_is_asked_for_each_time_and_the_thread_goes_on():
    with Threads(1) as threads:
        task = threads.submit(int, "x")
        for _ in range(2):
            with pytest.raises(ValueError, match="'x'"):
                task.result()
        assert threads.submit(int, "7").result() == 7


def test_the_end_drops_what_has_not_begun_and_waits_for_the_rest():
    begun, go_on, done = threading.Event(), threading.Event(), []

    def first():
        begun.set()
        go_on.wait(60)
        done.append("first")

    threads = Threads(1)
    running, waiting = threads.submit(first), threads.submit(done.append, "second")
    begun.wait(60)
    threading.Timer(0.05, go_on.set).start()
    threads.close()
    running.result()
    with pytest.raises(RuntimeError, match="dropped"):
        waiting.result()
    assert done == ["first"]
    with pytest.raises(RuntimeError, match="ended"):
        threads.submit(int)
    threads.close()  # once more is no error


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_task_was_given_is_free_when_it_is_over(fails):
    class Image:
        def use(self):
            if fails:
                raise ValueError

    gc.disable()  # a cycle would wait for it
    try:
        with Threads(1) as threads:
            image = Image()
            gone = weakref.ref(image)
            task = threads.submit(image.use)
            del image
            with suppress(ValueError):
                task.result()
            del task
            threads.submit(int).result()  # the thread has put down the task before
            assert gone() is None
    finally:
        gc.enable()


def test_an_interrupt_at_any_moment_leaves_threads_that_end():
    script = """
        import random, signal
        from collections import deque
        from clicv2lite.interrupts import Threads
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        draw = random.Random(0)
        interrupts = 0
        for _ in range(400):
            threads, waiting = Threads(3), deque()
            try:
                threads.submit(int).result()
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(0.0002, 0.002))
                while True:  # nothing but giving tasks and waiting for them
                    while len(waiting) < 16:
                        waiting.append(threads.submit(int))
                    waiting.popleft().result()
            except KeyboardInterrupt:
                interrupts += 1
            threads.close()
        print(interrupts)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == ("400\n", "")


def test_a_program_ends_although_it_holds_an_unfinished_generator_with_threads():
    script = """
        from clicv2lite.interrupts import Threads

        def squares():
            with Threads(2) as threads:
                yield from threads.map(int, range(4))

        held = squares()
        next(held)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_interpreter_does_not_end_under_a_thread_that_works():
    script = """
        import atexit, threading, time
        atexit.register(lambda: print(done))  # the first that is registered runs last
        from clicv2lite.interrupts import Threads

        begun, done = threading.Event(), []
        Threads(1).submit(lambda: (begun.set(), time.sleep(0.3), done.append(1)))
        begun.wait()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("[1]\n", "", 0)


def test_a_ctrl_c_in_the_last_wait_ends_the_process():
    script = """
        import atexit, signal, threading, time
        from clicv2lite.interrupts import Threads

        signal.signal(signal.SIGALRM, signal.default_int_handler)
        atexit.register(signal.setitimer, signal.ITIMER_REAL, 0.3)
        begun = threading.Event()
        Threads(1).submit(lambda: (begun.set(), time.sleep(600)))
        begun.wait()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 130)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_counted_while_it_is_open_and_raised_again_afterwards(number):
    before = signal.getsignal(number)
    with Stop() as stop:
        assert stop.asked == 0
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        for _ in range(1000):  # Python calls a handler between two of its steps
            pass
        assert stop.asked == 2
    assert signal.getsignal(number) is before


def test_only_the_named_signals_are_counted():
    term, interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Stop(signal.SIGINT):
        assert signal.getsignal(signal.SIGTERM) is term and signal.getsignal(signal.SIGINT) is not interrupt


def test_beside_the_main_thread_no_signal_is_touched():
    before = signal.getsignal(signal.SIGINT)

    def look():
        with Stop() as stop:
            return stop.asked, signal.getsignal(signal.SIGINT) is before

    with Threads(1) as threads:
        assert threads.submit(look).result() == (0, True)


def test_a_signal_that_the_job_is_deaf_to_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in `clicv2lite pretrain ... &` of a script
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):
                pass
            assert stop.asked == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def _mistaken():
    """An interrupt, as safetensors passes it on."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise ValueError("could not determine the shape") from None


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_DFL], ids=["python", "system"])
def test_an_interrupt_that_a_library_takes_for_an_error_is_one(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            _mistaken()
        assert signal.getsignal(signal.SIGINT) is handler
        with pytest.raises(ValueError, match="own"), interruptible():
            raise ValueError("its own")
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_command_whose_library_mistakes_an_interrupt_ends_as_interrupted(monkeypatch, tmp_path):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("clicv2lite.models.by_name.safetensors.torch.load_file", lambda path: _mistaken())
    try:
        Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
        assert main(["score", str(tmp_path / "a.png")]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
