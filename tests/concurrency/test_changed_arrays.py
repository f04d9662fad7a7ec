"""Arguments of a batch that change while it is decided: by another thread, or by a clock that the caller gave.

A batch is decided by what was checked. A moment or cost that was never checked would poison the table: a moment far in
the future refuses new keys for as long, a cost of 0 or near 2**64 breaks the arithmetic.
"""

import threading

import numpy as np
import pytest

from ratelimit import TokenBucket

START = 10**18
SIZE = 2_000
WRONG = 2**64 - 1


class ChangingClock:
    """A clock that changes an array each time it is read, which a batch does after the costs have been checked."""

    def __init__(self):
        self.change = lambda: None

    def now_ns(self):
        self.change()
        return START


@pytest.mark.parametrize("cost", [0, WRONG])
@pytest.mark.parametrize("verb", ["allow_many", "hit_many"])
def test_costs_that_change_after_they_are_checked(cost, verb):
    clock = ChangingClock()
    limiter = TokenBucket("3/hour", max_keys=100, clock=clock)
    costs = np.ones(5, np.uint64)
    clock.change = lambda: costs.fill(cost)
    result = getattr(limiter, verb)(["key"] * 5, costs)
    allowed = result if verb == "allow_many" else result["allowed"]
    assert allowed.tolist() == [True, True, True, False, False]


@pytest.mark.parametrize("verb", ["allow_many", "hit_many"])
def test_arrays_that_another_thread_changes(verb):
    """Keys, costs and moments; each batch is decided by valid ones, or refused as a whole."""
    limiter = TokenBucket("5/hour", max_keys=100_000)
    keys, costs, now = np.arange(SIZE, dtype=np.uint64), np.ones(SIZE, np.uint64), np.full(SIZE, START, np.uint64)
    changes, stop = 0, threading.Event()

    def change():
        nonlocal changes
        while not stop.is_set():
            for array, right in (keys, np.arange(SIZE)), (costs, 1), (now, START):
                array[:] = WRONG
                array[:] = 0
                array[:] = right
            changes += 1

    thread = threading.Thread(target=change)
    thread.start()
    decided = refused = 0
    try:
        while changes < 300 or not decided:
            try:
                decided += bool(len(getattr(limiter, verb)(keys, costs, now=now)))
            except ValueError:
                refused += 1
    finally:
        stop.set()
        thread.join()
    assert sum(limiter.hit("another key", now=START).allowed for _ in range(9)) == 5
    assert limiter.peek("a third key", now=START).remaining == 5
