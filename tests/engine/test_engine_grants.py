"""Granting in advance and giving back on an engine equal the oracle's at the engine's moment."""

import itertools

import hypothesis.strategies as st
import pytest
from cases import ALGORITHMS, SECOND, answer_of, quota_of
from hypothesis import given, settings
from test_engine_exact import Recorder, periods
from tools import NIGHTLY
from waiting import pace

from ratelimit import Table
from ratelimit._remote.asking import ask
from ratelimit._remote.request import request_of, return_of
from ratelimit._storage.valkey import engine
from ratelimit._storage.valkey.engine import script

LEASED = [one for one in ALGORITHMS if one.name in ("token bucket", "fixed window", "first window", "sliding log")]
_numbers = itertools.count()
steps = st.lists(
    st.tuples(st.sampled_from(["grant", "grant", "return", "hit"]), st.integers(1, 4), st.integers(0, 40)), max_size=30
)


@pytest.mark.parametrize("algorithm", LEASED, ids=str)
@given(st.one_of(st.integers(1, 12), st.sampled_from([99, 1_000])), periods, steps)
@settings(max_examples=1_000 if NIGHTLY else 40, deadline=None)
def test_equals_the_oracle(each_server, algorithm, limit, period, steps):
    compare(each_server, algorithm, limit, period, steps)


def compare(server, algorithm, limit, period, steps):
    """Carry out the steps on an engine and with the oracle."""
    table = Table.valkey(server.url, name=f"g{next(_numbers)}", timeout=10, remember=0)
    limiter = algorithm.make(quota_of(limit, period), table=table)
    moments, oracle = Recorder(table), algorithm.oracle(limit, period)
    grants = []
    for verb, cost, more in steps:
        if verb == "hit":
            assert answer_of(limiter.hit("k", cost)) == oracle.hit(moments.now, cost)
        elif verb == "grant":
            grants += grant(limiter, moments, oracle, cost, more)
        elif verb == "pause":
            pace(min(period / SECOND, 0.01))
        elif grants:
            amount, granted, revision = grants.pop(more % len(grants))
            name = request_of(limiter, "k").name
            ask(table.remote, [[return_of(limiter, name, amount, revision, granted // 1000, 0)]])
            take_back(oracle, moments.now, amount, granted)
        if algorithm.name == "sliding log":
            oracle.log = oracle.log[-limit:]
        assert answer_of(limiter.peek("k")) == oracle.peek(moments.now, 1)


def grant(limiter, moments, oracle, cost, more):
    """Ask for a cost and more; return the grant, if there is one: how much, when, and the revision of the answer."""
    request = request_of(limiter, "k", cost)
    request.more = more
    [[answer]] = ask(limiter.table.remote, [[request]])
    now = moments.now
    expected = oracle.hit(now, cost)
    assert answer.done == expected.allowed
    if not expected.allowed or not more:
        assert answer.granted == 0
        return []
    assert 0 <= min(more, expected.remaining // 2) - answer.granted <= 1  # an estimate, never above half
    oracle.spend(now, answer.granted, oracle.own)
    return [(answer.granted, now, answer.revision)] if answer.granted else []


def take_back(oracle, now, amount, granted):
    """Give back what was granted at a moment, as far as time has not."""
    kind = type(oracle).__name__
    if kind == "TokenBucket":
        oracle.advance(now, max(0, amount * oracle.own.interval - (now - granted)))
    elif kind == "SlidingLog":
        for _ in range(amount if len(oracle.log) < oracle.own.limit else 0):
            if granted in oracle.log:
                oracle.log.remove(granted)
    elif kind == "FirstWindow":
        if not oracle.over(now) and granted >= oracle.start:
            oracle.refund(now, amount)
    elif oracle.window(granted) == oracle.window(now) == oracle.latest:
        oracle.refund(now, amount)


def test_gives_nothing_back_if_the_clock_went_back(table):
    """A host that has waited longer than the engine's clock shows gives nothing back."""
    for algorithm in LEASED:
        limiter = algorithm.make(quota_of(100, 3_600 * SECOND), table=table())
        request = request_of(limiter, "k")
        request.more = 20
        [[answer]] = ask(limiter.table.remote, [[request]])
        assert answer.granted == 20
        for held_us, left in ((3_000_000_000, 79), (0, 99)):
            back = return_of(limiter, request.name, 20, answer.revision, answer.now_ns // 1000, held_us)
            ask(limiter.table.remote, [[back]])
            assert limiter.peek("k").remaining == left


def test_a_change_of_the_quota_ends_what_can_be_given_back(table):
    limiter = LEASED[1].make(quota_of(100, 3_600 * SECOND), table=table())
    request = request_of(limiter, "k")
    request.more = 20
    [[answer]] = ask(limiter.table.remote, [[request]])
    limiter.change("200/hour")
    assert return_of(limiter, request.name, 20, answer.revision, answer.now_ns // 1000, 0) is None


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("token bucket", "excess(q[6], q[7], NOW - q[NUMBERS + 3], 0, q[5])", "q[6], q[7]"),
        ("token bucket", "local more_lo = count * i_lo", "local more_lo = 0"),
        ("token bucket", "floor(left / 2)", "left"),
        (
            "fixed window",
            "return DONE, { window, spent + count, 0 }, NOW, count",
            "return DONE, { window, spent, 0 }, NOW, count",
        ),
        ("fixed window", "fixed_returned(q, s)\n  local at = q[NUMBERS + 3]", "fixed_returned(q, s)\n  local at = NOW"),
        ("first window", "floor(left / 2)", "left"),
        ("sliding log", "q[6] = q[6] + count", ""),
        ("sliding log", "count == 0 or count >= q[8] or", ""),
    ],
)
def test_an_error_in_the_script_is_found(shared_server, monkeypatch, name, right, wrong):
    text = script()[0].decode()
    assert right in text
    text = text.replace(right, wrong, 1).encode()
    monkeypatch.setattr(engine, "script", lambda: (text, engine.hashlib.sha1(text).hexdigest().encode()))
    algorithm = next(one for one in LEASED if one.name == name)
    steps = [
        ("grant", 1, 9),
        ("pause", 1, 0),
        ("hit", 2, 0),
        ("grant", 2, 30),
        ("return", 1, 0),
        ("grant", 1, 40),
        ("return", 1, 1),
    ]
    with pytest.raises(AssertionError):
        for period in (1_000_000, 7_001_000, 3_600 * SECOND):
            for limit in (3, 7, 12, 31):
                compare(shared_server, algorithm, limit, period, steps * 4)
