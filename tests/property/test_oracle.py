"""Step by step, every answer is the oracle's."""

from dataclasses import astuple
from fractions import Fraction
from itertools import accumulate
from math import gcd

from cases import SECOND, START, answer_of, quota_of
from hypothesis import given
from hypothesis import strategies as st
from oracle import LeakyBucket, Quota

from ratelimit._limiter.parameters import token_bucket

YEAR = 365 * 86_400 * SECOND

periods = st.one_of(
    st.sampled_from([1, 7, 1_000, SECOND, 60 * SECOND, 86_400 * SECOND, YEAR]), st.integers(1, 2 * YEAR)
)
limits = st.one_of(st.integers(1, 12), st.integers(1, 2_000), st.sampled_from([1, 65_536, 65_537, 1_000_003, 10**9]))
# Clocks stand still, creep, leap, and go back.
steps = st.one_of(st.just(0), st.integers(-3, 3), st.integers(-SECOND, 3 * SECOND), st.integers(-YEAR, YEAR))
starts = st.one_of(st.just(0), st.just(START), st.integers(0, 2**61), st.just(2**62 - 2))
costs = st.one_of(st.just(1), st.integers(1, 30), st.sampled_from([10**9, 2**62 - 1, 2**63, 2**64 - 1, 2**64, 2**80]))


def limiter_or_none(algorithm, quota):
    """Make a limiter, or return None if the library rejects the quota."""
    try:
        return algorithm.make(quota, max_keys=8)
    except ValueError as error:
        if str(quota) not in str(error):
            raise
        return None


def interval_of(limit, period, base=None):
    """Return the interval of a token bucket in nanoseconds, after checking it against the documented rounding.

    It is exact if limit / gcd(limit, period) is at most 65,536. Otherwise, and for an override that does not fit the
    ticks of its limiter, it is rounded up by less than a tick, the finest of which is 1/65,536 ns.
    """
    exact = Fraction(period, limit)
    parameters = token_bucket(quota_of(limit, period), base=base)
    interval = Fraction(parameters.interval, parameters.unit)
    if base is None and limit // gcd(limit, period) <= 65_536:
        assert interval == exact
    assert exact <= interval < exact + Fraction(1, parameters.unit)
    assert base is not None or 32_768 < parameters.unit <= 65_536
    return interval


def oracle_of(algorithm, limit, period):
    """Make the oracle; that of a token bucket has the interval that the library has rounded."""
    if algorithm.name == "token bucket":
        return algorithm.oracle(limit, period, interval=interval_of(limit, period))
    return algorithm.oracle(limit, period)


@given(data=st.data(), limit=limits, period=periods, now=starts)
def test_hits_and_peeks_equal_the_oracle(algorithm, data, limit, period, now):
    """All six fields of every decision are compared, for any quota, cost and clock."""
    limiter = limiter_or_none(algorithm, quota_of(limit, period))
    if limiter is None or (algorithm.name == "sliding log" and limit > 3_000):
        return
    oracle = oracle_of(algorithm, limit, period)
    for cost, step, spend in data.draw(st.lists(st.tuples(costs, steps, st.booleans()), max_size=25)):
        now = min(max(now + step, 0), 2**62 - 2)
        verb = "hit" if spend else "peek"
        assert answer_of(getattr(limiter, verb)("key", cost, now=now)) == getattr(oracle, verb)(now, cost)


@given(data=st.data(), limit=st.integers(1, 50), period=st.sampled_from([1, 10, SECOND, YEAR // 50]))
def test_batches_equal_single_calls(algorithm, data, limit, period):
    """Keys, costs and times are arrays, compared with one oracle a key.

    Here the clock does not go back: with several keys it matters whether the slot of one that had become
    fresh was taken meanwhile (test_table.py).
    """
    limiter = limiter_or_none(algorithm, quota_of(limit, period))
    if limiter is None:
        return
    calls = data.draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2 * limit), st.integers(0, 2 * period)), max_size=40)
    )
    moments = list(accumulate(step for _, _, step in calls))
    oracles = {}
    expected = [
        oracles.setdefault(key, algorithm.oracle(limit, period)).hit(now, cost)
        for (key, cost, _), now in zip(calls, moments, strict=True)
    ]
    keys, costs = [key for key, _, _ in calls], [cost for _, cost, _ in calls]
    half = len(calls) // 2
    rows = limiter.hit_many(keys[:half], costs[:half], now=moments[:half])
    allowed = limiter.allow_many(keys[half:], costs[half:], now=moments[half:])
    never = [answer.retry_after_ns is None for answer in expected[:half]]
    assert [row[3] == 2**62 for row in rows.tolist()] == never
    assert [row for row, hopeless in zip(rows.tolist(), never, strict=True) if not hopeless] == [
        astuple(answer) for answer, hopeless in zip(expected, never, strict=False) if not hopeless
    ]
    assert allowed.tolist() == [answer.allowed for answer in expected[half:]]


@given(data=st.data(), limit=st.integers(1, 20), other=st.integers(1, 40), burst=st.integers(1, 30))
def test_quota_of_a_call_decides_over_the_shared_state(algorithm, data, limit, other, burst):
    period = 60 * SECOND
    limiter = algorithm.make(quota_of(limit, period))
    oracle = oracle_of(algorithm, limit, period)
    now = START
    if algorithm.name == "sliding log":
        other = min(other, limit)
    most = {"token bucket": burst, "leaky bucket": burst + 1}.get(algorithm.name, other)
    override = quota_of(other, period, burst)
    interval = None
    if algorithm.name == "token bucket":
        interval = interval_of(other, period, base=token_bucket(quota_of(limit, period)))
    elif algorithm.name == "leaky bucket":
        interval = LeakyBucket.interval_of(other, period)
    for cost, step, overridden in data.draw(
        st.lists(st.tuples(st.integers(1, 10), st.integers(0, period), st.booleans()), max_size=25)
    ):
        now += step
        ours = limiter.hit("key", cost, quota=override if overridden else None, now=now)
        theirs = oracle.hit(now, cost, Quota.of(other, period, most, interval) if overridden else None)
        assert answer_of(ours) == theirs
