import os
import threading

import pytest

from clicv2lite.data.budget import Budget


def test_threads_hold_no_more_than_the_budget_at_once():
    budget, most, lock = Budget(100), [0], threading.Lock()

    def work():
        for _ in range(50):
            with budget.hold():
                budget.take(30)
                with lock:
                    most.append(budget.taken)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 90 and budget.taken == 0


def test_threads_hold_at_once_what_fits():
    budget, together = Budget(100), threading.Barrier(3)

    def work():
        with budget.hold():
            budget.take(30)
            together.wait(30)  # breaks if one of the three is kept waiting

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken


def test_more_than_the_whole_budget_is_given_to_a_thread_that_is_alone_and_it_waits_for_that():
    budget, order = Budget(100), []
    with budget.hold():
        budget.take(1)
        large = threading.Thread(target=take, args=(budget, 500, order))
        large.start()
        while not budget._queue:
            pass
        small = threading.Thread(target=take, args=(budget, 1, order))  # fits, but came later: the large one does not starve
        small.start()
        while len(budget._queue) < 2:
            pass
        assert order == []
    large.join()
    small.join()
    assert order == [500, 1] and budget.taken == 0


def take(budget, size, order):
    with budget.hold():
        budget.take(size)
        order.append(size)


def test_a_thread_that_holds_something_never_waits():
    budget = Budget(100)
    with budget.hold():
        budget.take(80)
        with budget.hold():
            budget.take(80)  # it would wait for itself
        assert budget.taken == 160
    assert budget.taken == 0


def test_room_is_given_back_after_an_error_and_asked_for_only_inside_hold():
    budget = Budget(100)
    with pytest.raises(KeyError), budget.hold():
        budget.take(70)
        raise KeyError
    assert budget.taken == 0
    with pytest.raises(RuntimeError, match="inside hold"):
        budget.take(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_a_budget_of_its_own():
    from clicv2lite.data.budget import PIXELS

    with PIXELS.hold():
        PIXELS.take(PIXELS.limit)
        child = os.fork()
        if child == 0:
            with PIXELS.hold():
                PIXELS.take(1)
            os._exit(7 if PIXELS.taken == 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
