"""A key is refused for a time, by every algorithm, and what it has afterwards is as documented."""

import asyncio
import math
import threading

import pytest
from cases import ALGORITHMS, SECOND, quota_of
from waiting import until

from ratelimit import FixedWindow, LeakyBucket, Quota, SlidingLog, SlidingWindow, Table, TableFull, TokenBucket
from ratelimit._limiter import waiting
from ratelimit._storage.census import census
from ratelimit.testing import ManualClock

TEN = quota_of(10, 60 * SECOND)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_refuses_until_the_end_and_then_has_what_it_had(algorithm, clock):
    limiter = algorithm.make(TEN, clock)
    limiter.hit("key", 4)
    limiter.block("key", 3)
    for decision in (limiter.hit("key"), limiter.peek("key")):
        assert (decision.allowed, decision.remaining, decision.retry_after) == (False, 0, 3)
    assert not limiter.allow("key")
    assert limiter.allow("other")
    assert limiter.allow_many(["key", "other"]).tolist() == [False, True]
    clock.advance(ns=3 * SECOND - 1)
    assert not limiter.allow("key")
    clock.advance(ns=1)
    assert limiter.peek("key").remaining in (6, 7)
    assert limiter.allow("key")


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_a_block_beyond_the_period_leaves_a_new_key(algorithm, clock):
    limiter = algorithm.make(TEN, clock)
    limiter.hit("key", 10)
    limiter.block("key", 3600)
    clock.advance(3600)
    assert limiter.peek("key").remaining == limiter.peek("new").remaining
    assert len(limiter) == 0


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_unblock_gives_back_what_it_had_and_no_more(algorithm, clock):
    limiter = algorithm.make(TEN, clock)
    limiter.unblock("key")  # which nothing blocks
    limiter.hit("key", 4)
    left = limiter.peek("key").remaining
    for seconds in (30, 3600):
        limiter.block("key", seconds)
        limiter.unblock("key")
        assert 0 < limiter.peek("key").remaining <= left
    limiter.block("fresh", 30)
    limiter.unblock("fresh")
    assert limiter.peek("fresh").remaining == limiter.peek("new").remaining


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_blocking_over_and_over_admits_no_more_than_the_limit(algorithm, clock):
    limiter = algorithm.make(TEN, clock)
    admitted = 0
    for _ in range(50):
        admitted += limiter.allow("key")
        limiter.block("key", 100)
        limiter.unblock("key")
    assert admitted <= 11  # a leaky bucket has one in service


def test_the_later_end_counts(clock):
    limiter = TokenBucket(TEN, clock=clock)
    limiter.block("key", 30)
    limiter.block("key", 10)
    assert limiter.peek("key").retry_after == 30
    limiter.block("key", 40)
    assert limiter.peek("key").retry_after == 40
    limiter.reset("key")
    assert limiter.allow("key")


def test_a_block_holds_under_every_quota(clock):
    limiter = TokenBucket("1/minute", clock=clock)
    limiter.block("key", 30)
    assert limiter.hit("key", quota="1000/second").retry_after == 30


@pytest.mark.parametrize("kind", [TokenBucket, LeakyBucket, FixedWindow, SlidingWindow])
@pytest.mark.parametrize("spent", [16_383, 16_384, 123_457, 999_999_999])
def test_large_counts_are_kept_to_a_thousandth_and_rounded_up(kind, spent, clock):
    limiter = kind("1_000_000_000/day", clock=clock)
    limiter.hit("key", spent)
    left = limiter.peek("key").remaining
    limiter.block("key", 7 * 86_400)
    limiter.unblock("key")
    assert left - spent / 500 - 1 <= limiter.peek("key").remaining <= left


def test_nothing_is_given_back_and_debts_grow_during_a_block(clock):
    limiter = FixedWindow("10/day", clock=clock)
    limiter.hit("key", 2)
    paid = limiter.reserve("key", 3)
    limiter.block("key", 30)
    limiter.refund("key", 2)
    paid.settle(5)
    clock.advance(30)
    assert limiter.peek("key").remaining == 3


def test_an_ended_block_frees_its_slot(clock):
    limiter = TokenBucket("1/second", max_keys=4, clock=clock)
    for key in range(4):
        limiter.block(key, 10)
    assert not limiter.allow("new")
    with pytest.raises(TableFull, match="cannot be blocked"):
        limiter.block("new", 1)
    assert limiter.hit("new").retry_after == 10
    clock.advance(10)
    assert all(limiter.allow(f"new {i}") for i in range(4))


def test_a_change_keeps_blocks(clock):
    limiter = FixedWindow("10/minute", clock=clock)
    limiter.hit("key", 4)
    limiter.block("key", 10)
    limiter.change("100/minute", counts="scale")
    assert limiter.peek("key").retry_after == 10
    clock.advance(10)
    assert limiter.peek("key").remaining == 60


def test_blocks_are_shared_and_survive_in_a_file(tmp_path):
    first = SlidingLog("5/minute", table=Table.open(tmp_path / "table"))
    second = SlidingLog("5/minute", table=Table.open(tmp_path / "table"))
    first.hit("key", 2)
    first.block("key", 1000)
    assert 990 < second.hit("key").retry_after <= 1000
    assert census(first).keys == 1
    second.unblock("key")
    assert first.peek("key").remaining == 3


def test_all_is_blocked_in_each_part(clock):
    both = TokenBucket("10/second", clock=clock) & LeakyBucket("5/second", clock=clock)
    both.block("key", 30)
    assert both.hit("key").retry_after == 30
    assert [limiter.allow("key") for limiter in both.limiters] == [False, False]
    booking = both.reserve("key")
    assert (booking.allowed, booking.blocked, booking.delay) == (False, True, 30)
    both.unblock("key")
    assert both.allow("key")
    asyncio.run(both.block_async("key", 1))
    assert not both.allow("key")
    asyncio.run(both.unblock_async("key"))
    assert both.allow("key")


@pytest.mark.parametrize("limiter", [TokenBucket("5/second"), TokenBucket("5/second") & FixedWindow("9/day")])
@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf, "1", None, True])
def test_refuses_other_durations(limiter, seconds):
    with pytest.raises((ValueError, TypeError), match="seconds: expected finite seconds of zero or more"):
        limiter.block("key", seconds)
    assert limiter.peek("key").allowed
    with pytest.raises(TypeError, match="key: expected"):
        limiter.block(1.5, 1)


def test_the_longest_block_lasts_to_the_end_of_time(clock):
    limiter = TokenBucket("5/second", clock=clock)
    limiter.block("key", 10**30)
    assert limiter.hit("key").retry_after > 80 * 365 * 86_400
    limiter.unblock("key")
    assert limiter.allow("key")


def test_wait_lasts_until_the_end_of_the_block(clock):
    for algorithm in ALGORITHMS:
        limiter = algorithm.make(quota_of(10, SECOND), clock)
        limiter.block("key", 30)
        begin = clock.now_ns()
        limiter.wait("key")
        assert clock.now_ns() - begin - 30 * SECOND in (0, 1)  # a sleep is rounded up


def test_waiters_keep_their_order_over_a_block():
    limiter = TokenBucket(Quota(20, 1, burst=1))
    limiter.block("key", 1000)
    served, threads = [], []
    for number in range(4):
        thread = threading.Thread(target=lambda n=number: (limiter.wait("key"), served.append(n)))
        threads.append(thread)
        thread.start()
        until(lambda n=number: in_line(limiter) == n + 1)
    limiter.unblock("key")
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2, 3]


def test_waiters_with_a_place_wait_on():
    limiter = TokenBucket(Quota(1, 1000, burst=1))
    assert limiter.allow("key")
    thread = threading.Thread(target=limiter.wait, args=("key",))
    thread.start()
    until(lambda: in_line(limiter) == 1)
    limiter.block("key", 5000)
    assert 4000 < limiter.peek("key").retry_after < 5001
    limiter.reset("key")
    limiter.change("1000/second")
    limiter.unblock("key")  # which books the place again
    thread.join()


def in_line(limiter):
    """Return how many wait for a key of the limiter."""
    with waiting._lock:
        return sum(len(q.waiters) for line in waiting._lines.get(limiter, {}).values() for q in line.queues.values())
