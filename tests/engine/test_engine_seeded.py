"""Errors that are put into the scripts on purpose are found by the comparison with the oracle."""

import itertools
from importlib.resources import files

import pytest
from cases import ALGORITHMS
from test_engine_exact import compare

from ratelimit import Quota, Table
from ratelimit._storage.valkey import engine

STEPS = [("hit", 1 + i % 3, i % 5) for i in range(12)] + [
    *[("reserve", 1, 0), ("hit", 1, 1), ("reserve", 2, 0), ("cancel", 1, 0), ("hit", 1, 0), ("settle", 1, 3)],
    *[("refund", 2, 0), ("hit", 1, 0), ("reserve", 3, 1), ("hit", 2, 2), ("settle", 1, 1), ("hit", 1, 0)],
    *[("hit", 1, 0), ("hit", 1, 1), ("peek", 2, 0), ("reset", 1, 0), ("hit", 4, 1)],
]
ERRORS = [
    ("token bucket", "local ahead = us - NOW - q[8]", "local ahead = us - NOW - q[8] - 400"),
    ("token bucket", "left_us, left_lo = excess(b_us, b_lo, NOW, 0, base)", "left_us, left_lo = q[6], q[7]"),
    ("token bucket", "if before(us, lo, from_us, from_lo) then us, lo = from_us, from_lo end", ""),
    ("leaky bucket", "if q[1] == TOKEN_BUCKET then\n    us, lo = plus", "if true then\n    us, lo = plus"),
    ("fixed window", "s[2] + q[6] > q[7] then return false", "s[2] >= q[7] then return false"),
    ("first window", "return q[1] == FIRST_WINDOW and at or", "return q[1] == FIRST_WINDOW and at + 1 or"),
    ("sliding window", "if window == s[1] + 1 then return window, s[3], 0 end", ""),
    ("sliding window", "return before(ah, al, ch, cl)", "return ah < ch"),
    ("sliding log", "q[7] - q[6] - pending)", "q[7] - pending - 1)"),
]


USUAL = "-- The usual case"  # begins a script that decides what is usual, before the functions for all cases
EDGES = [
    ("token bucket", "if ahead > 0 or", "if ahead > 1 or"),
    ("leaky bucket", "if ahead > 0 or", "if ahead > 1 or"),
    ("fixed window", "return at >= end_of", "return at + 1 >= end_of"),
    ("first window", "return at >= end_of", "return at + 1 >= end_of"),
    ("sliding window", "(window + 1) * q[5] - at)", "(window + 1) * q[5] - at - 1)"),
    ("sliding log", "at = max(at, stamp + q[5])", "at = max(at, stamp + q[5] - 1)"),
]
USUAL_EDGES = [
    ("token bucket", "after - now > cap then", "after - now > cap + 1 then"),
    ("leaky bucket", "after - now > cap then", "after - now > cap + 1 then"),
    ("fixed window", "NOW >= window * step + period", "NOW + 1 >= window * step + period"),
    ("first window", "NOW >= window * step + period", "NOW + 1 >= window * step + period"),
    ("sliding window", "room < weight", "room + limit < weight"),
    ("sliding log", "blocking + period > NOW", "blocking + period > NOW + 1"),
]
CLOCK = "redis.call('HMGET', 'clock', 's', 'us')"
_numbers = itertools.count()


def install(monkeypatch, text):
    """Let the engine decide by another script."""
    script = text.encode()
    monkeypatch.setattr(engine, "script", lambda: (script, engine.hashlib.sha1(script).hexdigest().encode()))


def scripts(with_usual):
    """Return the scripts as one text, whose clock is a key that the test sets."""
    folder = files("ratelimit._storage.valkey") / "scripts"
    entries = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".lua")), key=lambda entry: entry.name)
    texts = [entry.read_text() for entry in entries]
    whole = "\n".join(text for text in texts if with_usual or not text.startswith(USUAL))
    return whole.replace("redis.call('TIME')", CLOCK)


def waits_exactly(server, algorithm, quota, brief):
    """Whether a key is refused until its `retry_after`, to the microsecond, and admitted then."""

    def set_clock(us):
        server.client.hset("clock", mapping={"s": us // 1_000_000, "us": us % 1_000_000})

    now = 2_000_000_000_000_007  # in the future, so that no key expires meanwhile
    set_clock(now)
    limiter = algorithm.make(quota, table=Table.valkey(server.url, name=f"e{next(_numbers)}", timeout=10, remember=0))
    admits = limiter.allow if brief else limiter.hit
    for _ in range(3):
        while admits("k"):
            pass
        decision = limiter.peek("k")
        if decision.allowed:
            return False
        now -= -decision.retry_after_ns // 1_000
        set_clock(now - 1)
        if admits("k"):
            return False
        set_clock(now)
        if not admits("k"):
            return False
    return True


@pytest.mark.parametrize(("name", "right", "wrong"), EDGES)
def test_a_microsecond_too_lenient_is_found(shared_server, monkeypatch, name, right, wrong):
    check_edge(shared_server, monkeypatch, name, right, wrong, with_usual=False, brief=False)


@pytest.mark.parametrize(("name", "right", "wrong"), USUAL_EDGES)
def test_a_usual_case_that_is_too_lenient_is_found(shared_server, monkeypatch, name, right, wrong):
    check_edge(shared_server, monkeypatch, name, right, wrong, with_usual=True, brief=True)


def check_edge(server, monkeypatch, name, right, wrong, *, with_usual, brief):
    whole = scripts(with_usual)
    assert right in whole
    algorithm = next(one for one in ALGORITHMS if one.name == name)
    # Intervals of whole microseconds are usual cases, the others of buckets are not.
    quotas = [Quota(4, 1)] if with_usual else [Quota(3, 1), Quota(7, 1)]
    install(monkeypatch, whole)
    assert all(waits_exactly(server, algorithm, quota, brief) for quota in quotas)
    install(monkeypatch, whole.replace(right, wrong))
    assert not all(waits_exactly(server, algorithm, quota, brief) for quota in quotas)


def compare_all(server, algorithm):
    server.client.delete("ticks")
    for period in (1_000_000, 3_600_000_000_000):
        for limit in (1, 2, 3, 5, 7):
            compare(server, algorithm, limit, period, STEPS * 2, False)


@pytest.mark.parametrize(("name", "right", "wrong"), ERRORS)
def test_an_error_in_a_script_is_found(shared_server, monkeypatch, name, right, wrong):
    """Each decision of these scripts takes 137 microseconds, so what is found does not depend on the machine."""
    whole = scripts(with_usual=False).replace(CLOCK, "{ 2000000000, redis.call('INCRBY', 'ticks', 137) }")
    assert right in whole
    algorithm = next(one for one in ALGORITHMS if one.name == name)
    install(monkeypatch, whole)
    compare_all(shared_server, algorithm)
    install(monkeypatch, whole.replace(right, wrong, 1))
    with pytest.raises(AssertionError):
        compare_all(shared_server, algorithm)
