"""Threads on one table until updates have really met: exactly as many are admitted as one thread would be.

On a free-threaded interpreter plain `allow` runs in parallel; elsewhere a batch does, which decides without the GIL.
"""

import sys
import threading
import time

import numpy as np
import pytest
from cases import ALGORITHMS, SECOND, START, quota_of
from tools import NIGHTLY
from waiting import PATIENCE

from ratelimit.testing import ManualClock

pytestmark = pytest.mark.stress

THREADS, LIMIT = 4, 100
COLLISIONS = 10_000 if NIGHTLY else 100  # that have to be seen
PARALLEL = not getattr(sys, "_is_gil_enabled", lambda: True)()


def together(work):
    """Run `work(number)` in all threads at once and return the results."""
    barrier = threading.Barrier(THREADS)
    results = [None] * THREADS

    def run(number):
        barrier.wait()
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert None not in results, "a thread failed"
    return results


def test_interpreter_without_the_gil_keeps_it_off():
    if "free-threading" in sys.version:
        assert PARALLEL


@pytest.mark.parametrize("keys", ["hot", "fresh"])
def test_exactly_the_limit_is_admitted(algorithm, keys):
    collisions = runs = 0
    deadline = time.monotonic() + PATIENCE
    while collisions < COLLISIONS:
        assert time.monotonic() < deadline, f"{collisions} collisions in {runs} runs"
        # Only requests that are admitted write, so that about half of all are: refused ones do not collide.
        limit, names = (
            (40 * LIMIT, np.zeros(20 * LIMIT, int)) if keys == "hot" else (LIMIT, np.arange(LIMIT).repeat(LIMIT))
        )
        limiter = algorithm.make(quota_of(limit, SECOND), ManualClock(), max_keys=1000)
        most = 1 if keys == "hot" else LIMIT
        own = limiter.peek("somebody").remaining  # a leaky bucket serves one more than may wait

        def work(_, limiter=limiter, names=names):
            if PARALLEL:
                return sum(limiter.allow(name) for name in names.tolist())
            return int(limiter.allow_many(names).sum())

        assert sum(together(work)) == min(own * most, THREADS * len(names))
        collisions += limiter.collision_count
        runs += 1
    print(f"{algorithm}, {keys} keys: {runs} runs, {collisions} collisions")


@pytest.mark.parametrize("algorithm", [ALGORITHMS[2]], ids=repr)
def test_flood_evicts_no_live_key(algorithm):
    """Twice as many keys as slots, whose windows keep ending: late readings meet reclaimed slots."""
    keys, limit = 24, 2
    late = runs = collisions = 0
    deadline = time.monotonic() + PATIENCE
    while collisions < COLLISIONS or not late:
        assert time.monotonic() < deadline, f"{collisions} collisions, {late} refused in {runs} runs"
        limiter = algorithm.make(quota_of(limit, SECOND), ManualClock(), max_keys=keys // 2)

        def work(number, limiter=limiter):
            rng = np.random.default_rng(number)
            names = rng.integers(0, keys, 4000)
            moments = START + np.arange(4000) // 40 * SECOND + rng.integers(-SECOND, SECOND, 4000)
            if PARALLEL:
                allowed = np.array(
                    [
                        limiter.hit(name, now=now).allowed
                        for name, now in zip(names.tolist(), moments.tolist(), strict=True)
                    ]
                )
            else:
                allowed = limiter.allow_many(names, now=moments)
            return names, moments // SECOND, allowed

        results = together(work)
        spent = {}
        for names, windows, allowed in results:
            for key in zip(names[allowed].tolist(), windows[allowed].tolist(), strict=True):
                spent[key] = spent.get(key, 0) + 1
            late += int((~allowed).sum())
        assert max(spent.values()) <= limit
        collisions += limiter.collision_count
        runs += 1
    print(f"{algorithm}, flood: {runs} runs, {late} refused, late ones among them, {collisions} collisions")
