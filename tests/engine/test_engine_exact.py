"""Every verb of every algorithm on an engine equals the oracle's at the engine's moment."""

import itertools
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from cases import ALGORITHMS, SECOND, answer_of, quota_of
from hypothesis import given, settings
from tools import NIGHTLY

from ratelimit import Quota, Table

MICRO = 1_000
_numbers = itertools.count()


class Recorder:
    """The engine's moment in the last reply of a table."""

    def __init__(self, table):
        self.now = None
        keeper = table.remote
        noted = keeper.note_time

        def note(now_ns):
            self.now = now_ns
            noted(now_ns)

        keeper.note_time = note


limits = st.one_of(st.integers(1, 12), st.sampled_from([7, 99, 1_000]))
periods = st.sampled_from([1_000 * MICRO, 7_001 * MICRO, SECOND // 3 // MICRO * MICRO, SECOND, 3_600 * SECOND])
verbs = st.sampled_from(["hit", "hit", "hit", "peek", "reserve", "cancel", "settle", "refund", "reset"])
steps = st.lists(st.tuples(verbs, st.integers(1, 4), st.integers(0, 4)), min_size=5, max_size=40)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
@given(limits, periods, steps, st.booleans())
@settings(max_examples=1_000 if NIGHTLY else 40, deadline=None)
def test_equals_the_oracle(each_server, algorithm, limit, period, steps, override):
    compare(each_server, algorithm, limit, period, steps, override)


def compare(server, algorithm, limit, period, steps, override):
    """Carry out the steps on an engine and with the oracle."""
    table = Table.valkey(server.url, name=f"x{next(_numbers)}", timeout=10, remember=0)
    limiter = algorithm.make(quota_of(limit, period), table=table)
    moments = Recorder(table)
    oracle = algorithm.oracle(limit, period)
    quota = quota_of(2 * limit, period) if override and algorithm.name != "sliding log" else None
    other = None if quota is None else _quota_of_oracle(oracle, 2 * limit, period)
    bookings = []
    for verb, cost, other_cost in steps:
        if verb in ("hit", "peek"):
            use = quota is not None and other_cost == 0
            decision = getattr(limiter, verb)("k", cost, quota=quota if use else None)
            expected = getattr(oracle, verb)(moments.now, cost, *([other] if use else []))
            assert answer_of(decision) == expected
        elif verb == "reserve":
            bookings.append((limiter.reserve("k", cost), *_reserve(oracle, moments, cost)))
            reservation, booking, at = bookings[-1]
            if booking is None:
                assert not reservation.allowed
                bookings.pop()
            else:
                assert reservation.at_ns == at
        elif verb in ("cancel", "settle") and bookings:
            reservation, booking, _ = bookings.pop(other_cost % len(bookings))
            wanted = 0 if verb == "cancel" else other_cost
            reservation.settle(wanted)
            if wanted > booking.cost:
                oracle.charge(moments.now, wanted - booking.cost, oracle.own)
            elif wanted < booking.cost:
                oracle.cancel(moments.now, booking, booking.cost - wanted)
        elif verb == "refund":
            limiter.refund("k", cost)
            oracle.refund(moments.now, cost)
        elif verb == "reset":
            limiter.reset("k")
            oracle = algorithm.oracle(limit, period)
            bookings = []
        if algorithm.name == "sliding log" and (verb == "reserve" or not oracle.exact):
            return  # a log that gives a booking back may be stricter; see below


def _reserve(oracle, moments, cost):
    """Book with the oracle, at a whole microsecond where the engine books at one."""
    booking, at = oracle.reserve(moments.now, cost)
    if booking is not None and type(oracle).__name__ == "SlidingWindow" and at % MICRO:
        at += MICRO - at % MICRO
        booking = replace(booking, at=at)
    return booking, at


def _quota_of_oracle(oracle, limit, period):
    interval = oracle.interval_of(limit, period) if hasattr(oracle, "interval_of") else None
    maximum = limit + 1 if hasattr(oracle, "interval_of") else limit
    return type(oracle.own).of(limit, period, maximum, interval)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_sets_an_expiry_with_every_key(table, server, algorithm):
    limiter = algorithm.make(Quota(2, 10), table=table())
    limiter.hit("a", 2)
    limiter.reserve("b", 2)
    limiter.reserve("b", 2).settle(3)
    for key in server.client.keys("*{*"):
        assert 1_000 < server.client.pttl(key) <= 62_000
