"""Threads on one limiter: the promises hold for all of them together.

With the GIL, threads race only inside a batch, which is decided without it; on a free-threaded interpreter in
every call. Each test about a hot key runs until a compare-and-swap was really lost to another thread.
"""

import sys
import threading
import time

import numpy as np
import pytest
from cases import ALGORITHMS, START, quota_of
from waiting import PATIENCE, until

from ratelimit.testing import ManualClock

pytestmark = pytest.mark.stress

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()
PERIOD = 86_400 * 10**9
WINDOWED = [one for one in ALGORITHMS if one.name not in ("token bucket", "leaky bucket")]


def together(*works):
    """Run all functions at once, each in a thread, and return their results in order."""
    barrier = threading.Barrier(len(works))
    results = [None] * len(works)

    def run(i, work):
        barrier.wait()
        results[i] = work()

    threads = [threading.Thread(target=run, args=(i, work)) for i, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(result is not None for result in results), "a thread failed"
    return results


def until_seen(attempt):
    """Repeat until `attempt` has seen a collision; return the numbers of collisions and of attempts."""
    deadline = time.monotonic() + PATIENCE
    attempts = 0
    while time.monotonic() < deadline:
        attempts += 1
        if seen := attempt():
            return seen, attempts
    pytest.fail(f"no collision in {attempts} attempts, {PATIENCE} s")


@pytest.mark.parametrize("threads", [2, 4])
def test_batches_on_one_hot_key_admit_exactly_the_limit(algorithm, threads, record_property, capsys):
    """Not one more and not one less, however often two threads collide in the slot."""
    limit, size = 40_000, 60_000 // threads

    def attempt():
        limiter = algorithm.make(quota_of(limit, PERIOD), ManualClock(START), max_keys=1)
        budget = limiter.peek("hot").limit
        batches = together(*[lambda: limiter.allow_many(["hot"] * size)] * threads)
        assert sum(int(batch.sum()) for batch in batches) == budget
        return limiter.collision_count

    seen, attempts = until_seen(attempt)
    record_property("collisions", seen)
    with capsys.disabled():
        print(f" {algorithm}, {threads} threads: {seen} collisions in {attempts} attempts", end="")


def test_batches_on_new_keys_admit_each_exactly_once(algorithm):
    """Several threads bring the same new keys at the same time: each key gets one slot and one budget."""
    keys = np.arange(3_000)
    for turn in range(10):
        limiter = algorithm.make(quota_of(2, PERIOD), ManualClock(START), max_keys=4_000)
        limit = limiter.peek(0).limit
        batches = together(*[lambda keys=keys, limiter=limiter: limiter.allow_many(np.repeat(keys, 2))] * 4)
        assert sum(int(batch.sum()) for batch in batches) == limit * len(keys), turn
        assert len(limiter) == len(keys)


def test_reclaimed_slots_admit_no_more_than_the_limit(algorithm):
    """In small tables fresh slots are claimed all the time: no key gets more than its limit at one time."""
    limiter = algorithm.make(quota_of(3, 1_000), max_keys=16)
    limit = limiter.peek(0, now=START).limit
    for turn in range(60):
        now = START + turn * 10_000
        # 12 new keys a turn; those of the previous turn are fresh by now, and their slots are free.
        keys = np.tile(np.arange(12) + 100 * turn, limit + 2)
        batches = together(*[lambda keys=keys, now=now: limiter.allow_many(keys, now=now)] * 3)
        admitted = np.bincount(np.concatenate([keys[batch] for batch in batches]) - 100 * turn, minlength=12)
        assert admitted.tolist() == [limit] * 12


@pytest.mark.parametrize("algorithm", WINDOWED, ids=repr)
def test_costs_are_all_or_nothing(algorithm):
    """The remainder, once every cost is refused, is less than the smallest cost; nothing leaks."""
    limiter = algorithm.make(quota_of(9_001, PERIOD), ManualClock(START), max_keys=1)
    batches = together(*[lambda: limiter.allow_many(["hot"] * 3_000, 2)] * 3)
    assert sum(int(batch.sum()) for batch in batches) * 2 == 9_001 - limiter.peek("hot").remaining
    if algorithm.name != "sliding log":  # which takes a cost one by one, and may refuse beside another
        assert limiter.peek("hot").remaining == 1


def test_refunds_and_batches_of_concurrent_threads_add_up(algorithm):
    """One thread spends the refunds of another."""
    limiter = algorithm.make(quota_of(2_000, PERIOD), ManualClock(START), max_keys=1)
    limit = limiter.peek("hot").limit
    limiter.hit("hot", 1_000)

    def give_back():
        for _ in range(1_000):
            limiter.refund("hot")
        return 0

    spent, _ = together(lambda: int(limiter.allow_many(["hot"] * 900).sum()), give_back)
    assert spent == 900
    assert limiter.peek("hot").remaining == limit - 900


def test_composites_spend_all_or_nothing_in_threads(clock):
    """The tighter limit is spent completely, the wider one by the same amount."""
    algorithms = [one for one in ALGORITHMS if one.name in ("fixed window", "token bucket")]
    wide, tight = (
        one.make(quota_of(limit, PERIOD), clock) for one, limit in zip(algorithms, (9_000, 4_000), strict=True)
    )
    both = wide & tight
    batches = together(*[lambda: both.allow_many(["hot"] * 4_000)] * 3)
    admitted = sum(int(batch.sum()) for batch in batches)
    assert 4_000 - 3 <= admitted <= 4_000  # one a thread may be refused for another's sake
    assert wide.peek("hot").remaining == 9_000 - admitted
    assert tight.peek("hot").remaining == 4_000 - admitted


@pytest.mark.parametrize("verb", ["allow", "hit"])
def test_single_calls_admit_exactly_the_limit(algorithm, verb):
    """Without a GIL, single calls race as batches do, and collisions are counted."""
    limit = 2_000

    def attempt():
        limiter = algorithm.make(quota_of(limit, PERIOD), ManualClock(START), max_keys=4)
        budget = limiter.peek("hot").limit
        ask = getattr(limiter, verb)

        def work():
            return sum(bool(ask("hot")) for _ in range(limit))

        assert sum(together(*[work] * 4)) == budget
        return limiter.collision_count

    if FREE_THREADED:
        until_seen(attempt)
    else:
        attempt()


def test_batch_releases_the_gil(clock):
    """While one thread decides a batch, another runs Python; on a busy machine that may not show in every batch."""
    limiter = ALGORITHMS[0].make("1000/day", clock)
    keys = np.zeros(3_000_000, int)

    def another_thread_runs():
        done = threading.Event()
        thread = threading.Thread(target=lambda: (limiter.allow_many(keys), done.set()))
        thread.start()
        steps = 0
        while not done.is_set() and steps < 10**7:
            steps += 1
        thread.join()
        return steps > 100

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1_000)  # no thread is made to give it up
    try:
        until(another_thread_runs)
    finally:
        sys.setswitchinterval(interval)
