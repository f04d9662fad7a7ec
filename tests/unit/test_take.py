"""Spending what is left."""

import asyncio
import threading

import pytest
from cases import ALGORITHMS, SECOND, quota_of

from ratelimit import UNLIMITED, FixedWindow, TokenBucket
from ratelimit.testing import ManualClock


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_takes_what_is_left_and_no_more(algorithm):
    limiter = algorithm.make(quota_of(5, 60 * SECOND), ManualClock())
    limit = limiter.peek("key").remaining
    decision = limiter.take("key", 2)
    assert (decision.allowed, decision.spent, decision.remaining) == (True, 2, limit - 2)
    decision = limiter.take("key", 100)
    assert (decision.allowed, decision.spent, decision.remaining) == (True, limit - 2, 0)
    decision = limiter.take("key", 100)
    assert (decision.allowed, decision.spent) == (False, 0)
    assert 0 < decision.retry_after == limiter.peek("key").retry_after
    assert limiter.hit("new", 3).spent == 3
    assert limiter.hit("new", 30).spent == 0


def test_takes_by_the_quota_and_the_time_of_the_call():
    limiter = TokenBucket("5/minute")
    assert limiter.take("key", 10, quota="7/minute", now=10**18).spent == 7
    assert limiter.take("key", 10, quota=UNLIMITED, now=10**18).spent == 10
    assert asyncio.run(limiter.take_async("other", 10)).spent == 5


def test_takes_the_same_from_all():
    both = TokenBucket("5/minute") & FixedWindow("3/day")
    assert both.take("key", 2).spent == 2
    assert asyncio.run(both.take_async("key", 2)).spent == 1
    assert both.take("key", 2).spent == 0
    assert both.limiters[0].peek("key").remaining == 2


@pytest.mark.parametrize("limiter", [TokenBucket("5/minute"), TokenBucket("5/minute") & FixedWindow("3/day")])
@pytest.mark.parametrize(("most", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("1", TypeError)])
def test_refuses_other_amounts(limiter, most, error):
    with pytest.raises(error, match="most: expected a whole number from 1"):
        limiter.take("key", most)


def test_threads_take_the_limit_together():
    limiter = FixedWindow("1000/day")
    taken = []

    def work():
        while spent := limiter.take("key", 7).spent:
            taken.append(spent)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 1000
