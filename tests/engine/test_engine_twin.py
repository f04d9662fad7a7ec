"""Quota 0, UNLIMITED, windows of a calendar and blocks on an engine, beside a limiter here at the same moments."""

import itertools
import time

import hypothesis.strategies as st
import pytest
from cases import ALGORITHMS, answer_of
from hypothesis import given, settings
from test_engine_exact import Recorder
from tools import NIGHTLY

from ratelimit import UNLIMITED, All, FixedWindow, Quota, SlidingLog, Table, TokenBucket
from ratelimit.testing import ManualClock

CALENDARS = "day in UTC", "week in Europe/Berlin", "month in America/New_York", "year in Asia/Tokyo"
_numbers = itertools.count()


class Twins:
    """A limiter on an engine and one here, whose clock is set to the engine's moments."""

    def __init__(self, server, make):
        table = Table.valkey(server.url, name=f"twin{next(_numbers)}", timeout=10, remember=0)
        self.clock = ManualClock()
        self.there, self.here = make(table=table), make(clock=self.clock)
        self._moments = Recorder(table)
        self._bookings = []

    def __call__(self, verb, *args, **kwargs):
        """Call both and return what they return."""
        found = getattr(self.there, verb)(*args, **kwargs)
        self._follow()
        return found, getattr(self.here, verb)(*args, **kwargs)

    def _follow(self):
        self.clock.advance(ns=self._moments.now - self.clock.now_ns())

    def same(self, verb, *args, **kwargs):
        there, here = self(verb, *args, **kwargs)
        assert answer_of(there) == answer_of(here)
        assert there.more_after == here.more_after
        return there

    def carry_out(self, verb, cost, number):
        if verb in ("hit", "peek"):
            self.same(verb, "k", cost)
        elif verb == "reserve":
            there, here = self("reserve", "k", cost)
            assert (there.allowed, there.at_ns) == (here.allowed, here.at_ns)
            if there.allowed:
                self._bookings.append((there, here))
        elif verb == "settle" and self._bookings:
            for booking in self._bookings.pop(number % len(self._bookings)):
                booking.settle(number)
                self._follow()
        elif verb == "refund":
            self("refund", "k", cost)


verbs = st.sampled_from(["hit", "hit", "peek", "reserve", "settle", "refund"])
steps = st.lists(st.tuples(verbs, st.integers(1, 4), st.integers(0, 4)), min_size=5, max_size=30)


@pytest.mark.parametrize("calendar", CALENDARS)
@given(st.integers(0, 7), steps)
@settings(max_examples=300 if NIGHTLY else 15, deadline=None)
def test_windows_of_a_calendar_equal_those_here(each_server, calendar, limit, steps):
    twins = Twins(each_server, lambda **options: FixedWindow(Quota(limit, calendar), **options))
    for step in steps:
        twins.carry_out(*step)


@pytest.mark.parametrize("quota", [Quota(0, 60), UNLIMITED], ids=["0", "unlimited"])
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
@given(steps)
@settings(max_examples=100 if NIGHTLY else 5, deadline=None)
def test_quotas_that_refuse_or_admit_all_equal_those_here(each_server, algorithm, quota, steps):
    twins = Twins(each_server, lambda **options: algorithm.make(quota, **options))
    for step in steps:
        twins.carry_out(*step)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_a_call_may_bring_such_a_quota(each_server, algorithm):
    twins = Twins(each_server, lambda **options: algorithm.make(Quota(3, 3_600), **options))
    twins.same("hit", "k", 2)
    for quota in (UNLIMITED, Quota(0, 3_600)):
        for verb in ("hit", "peek"):
            twins.same(verb, "k", 1, quota=quota)
    assert twins.same("hit", "k").remaining == twins.here.peek("k").limit - 3


def test_a_change_to_such_a_quota_is_followed(table):
    bucket = TokenBucket("5/hour", table=table("such", remember=0))
    other = TokenBucket("5/hour", table=table("such", remember=0))
    bucket.hit("k", 2)
    bucket.change(Quota(0, 3_600))
    other.table.remote.pull()
    assert not other.hit("k").allowed
    bucket.change("5/hour")
    other.table.remote.pull()
    assert other.hit("k").remaining == 2


def test_a_calendar_follows_the_engines_clock(table, monkeypatch):
    """The clock of this host is years behind: the first request asks again with the right windows."""
    window = FixedWindow("3/day in UTC", table=table())
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    window.table.remote._offset_ns = None
    engine = window.table.remote.engine
    before = engine.trips
    assert window.hit("k").remaining == 2
    assert engine.trips - before == 2
    assert window.hit("k").remaining == 1
    assert engine.trips - before == 3


def test_a_calendar_is_booked_far_ahead(table):
    window = FixedWindow("1/day in Europe/Berlin", table=table(remember=0))
    turns = [window.reserve("k").at_ns for _ in range(12)]
    days = [(after - before) / 86_400e9 for before, after in itertools.pairwise(turns[1:])]
    assert all(23 / 24 <= day <= 25 / 24 for day in days)
    both = All(window, TokenBucket("1/minute", table=table()))
    assert both.reserve("other").allowed
    assert both.reserve("k").delay > 11 * 86_400
    assert not both.hit("k").allowed


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_a_block_refuses_until_its_end(each_server, algorithm):
    twins = Twins(each_server, lambda **options: algorithm.make(Quota(4, 1_000), **options))
    twins("hit", "k")
    twins("block", "k", 5_000)
    there, here = twins("hit", "k")
    assert (there.allowed, there.remaining, there.retry_after_ns) == (False, 0, here.retry_after_ns)
    assert 4_999 < there.retry_after <= 5_000
    assert not twins.there.peek("k").allowed
    booking = twins.there.reserve("k")
    assert (booking.allowed, booking.delay > 4_998) == (False, True)
    twins("block", "k", 10)
    assert twins.there.hit("k").retry_after > 4_998, "a block that ends later is not shortened"
    twins.there.refund("k")
    twins.there.unblock("k")
    full = twins.there.peek("other").limit
    assert twins.there.hit("k").remaining == full - 2, "nothing was given back"
    twins.there.block("new", 7)
    twins.there.unblock("new")
    assert twins.there.hit("new").remaining == full - 1


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_a_block_ends_with_what_the_key_would_have(server, algorithm):
    table = Table.valkey(server.url, name="held", timeout=10, remember=0)
    limiter = algorithm.make(Quota(4, 1_000), table=table)
    server.client.delete("rl:held:{sk}")
    limiter.hit("k", 3)
    full = limiter.peek("other").limit
    limiter.block("k", 0.05)
    assert server.client.pttl("rl:held:{sk}") > 1_000
    decision = limiter.hit("k")
    while decision.retry_after_ns:
        assert decision.retry_after_ns <= 50_000_000
        decision = limiter.hit("k")
    assert decision.remaining == full - 4


def test_a_blocked_key_refuses_for_all_limits(table):
    first, second = TokenBucket("5/minute", table=table()), SlidingLog("5/minute", table=table())
    both = All(first, second)
    both.hit("k")
    second.block("k", 60)
    assert both.hit("k").limiter is second
    assert first.peek("k").remaining == 4, "nothing was spent from the other"
    both.unblock("k")
    assert both.hit("k").remaining == 3


def test_clear_ends_blocks(table):
    for algorithm in (TokenBucket, SlidingLog):
        limiter = algorithm("5/minute", table=table(remember=0))
        limiter.hit("k")
        limiter.block("k", 60)
        limiter.block("new", 60)
        limiter.clear()
        assert limiter.hit("k").remaining == limiter.hit("new").remaining == 4


def test_a_block_outlives_a_change(table):
    limiter = TokenBucket("5/minute", table=table(remember=0))
    limiter.hit("k")
    limiter.block("k", 60)
    limiter.change("10/minute")
    assert not limiter.hit("k").allowed
    limiter.unblock("k")
    assert limiter.hit("k").remaining == 8


def test_a_charge_counts_during_a_block(table):
    for limiter in (FixedWindow("5/hour", table=table(remember=0)), SlidingLog("5/hour", table=table(remember=0))):
        booking = limiter.reserve("k")
        limiter.block("k", 60)
        booking.settle(3)
        limiter.unblock("k")
        assert limiter.hit("k").remaining == 1
