"""The theorems of docs/algorithms.md, as they are stated there.

Promises about "any interval" are checked for every interval that begins and ends at a request.
"""

from fractions import Fraction
from itertools import accumulate, pairwise

import pytest
from cases import ALGORITHMS, SECOND, START, quota_of
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ratelimit import FixedWindow, LeakyBucket, SlidingLog, SlidingWindow, TokenBucket

limits = st.integers(1, 12)
periods = st.sampled_from([1, 7, 1_000, SECOND, 60 * SECOND])


def requests_of(period, back=False):
    """Draw pairs (step of the clock, cost); steps are near fractions of the period, and with `back` of both signs."""
    return st.lists(
        st.tuples(st.integers(-period if back else 0, period) | st.integers(0, 4 * period), st.integers(1, 4)),
        max_size=40,
    )


def admitted(limiter, requests, start=START):
    """Return (time, cost) of each admitted request, in the order of the requests."""
    moments = accumulate((step for step, _ in requests), initial=start)
    return [
        (now, cost)
        for now, (_, cost) in zip(moments, requests, strict=False)
        if limiter.hit("key", cost, now=now).allowed
    ]


def most_within(spent, length):
    """Return the largest total cost in a half-open interval of `length`."""
    return max(
        (sum(cost for moment, cost in spent if begin <= moment < begin + length) for begin, _ in spent), default=0
    )


def greedy(limiter, begin, end):
    """Return the times in [begin, end) at which a client is admitted that asks as early as possible."""
    moments, now = [], begin
    while now < end:
        decision = limiter.hit("key", now=now)
        if decision.allowed:
            moments.append(now)
        else:
            now += decision.retry_after_ns
    return moments


# --- TokenBucket ------------------------------------------------------------------------------------------


@given(data=st.data(), limit=limits, period=periods, burst=st.integers(1, 12))
def test_token_bucket_admits_burst_and_rate_in_any_interval(data, limit, period, burst):
    """At most burst + floor(T * limit / period) in an interval of length T, in any order of readings."""
    spent = admitted(TokenBucket(quota_of(limit, period, burst)), data.draw(requests_of(period, back=True)))
    for begin, _ in spent:
        for end, _ in spent:
            inside = sum(cost for moment, cost in spent if begin <= moment <= end)
            assert end < begin or inside <= burst + (end - begin) * limit // period


@given(limit=limits, period=periods, burst=st.integers(2, 12), periods_long=st.integers(0, 3))
def test_token_bucket_gives_all_that_it_promises(limit, period, burst, periods_long):
    """A client that asks as early as possible reaches the bound: the bucket is not stricter than its promise.

    The requests come at whole nanoseconds: of a burst of 1, or a rate above one a nanosecond, parts of them are lost.
    """
    assume(limit <= period)
    length = periods_long * period
    moments = greedy(TokenBucket(quota_of(limit, period, burst)), START, START + length + 1)
    assert len(moments) == burst + length * limit // period


@given(data=st.data(), limit=limits, period=periods, burst=st.integers(1, 12))
def test_token_bucket_equals_gcra(data, limit, period, burst):
    """The virtual scheduling algorithm of ITU-T I.371, annex A, with T = interval, tau = (burst - 1) intervals."""
    limiter = TokenBucket(quota_of(limit, period, burst))
    interval = Fraction(period, limit)
    tau = (burst - 1) * interval
    arrival, now = Fraction(0), START  # the theoretical arrival time
    for step, _ in data.draw(requests_of(period, back=True)):
        now += step
        conforms = now >= arrival - tau
        assert limiter.hit("key", now=now).allowed == conforms
        if conforms:
            arrival = max(Fraction(now), arrival) + interval


@given(data=st.data(), limit=limits, period=periods, late=st.integers(0, 2 * SECOND), cost=st.integers(1, 12))
def test_token_bucket_is_only_stricter_to_a_late_reading(data, limit, period, late, cost):
    """A request that is refused at one time is refused at every earlier time."""
    limiter = TokenBucket(quota_of(limit, period))
    requests = data.draw(requests_of(period))
    admitted(limiter, requests)
    now = START + sum(step for step, _ in requests)
    assert limiter.peek("key", cost, now=now) or not limiter.peek("key", cost, now=now - late)


def test_token_bucket_starts_full():
    """The first request can spend the whole burst."""
    decision = TokenBucket("5/minute", burst=9).hit("key", 9)
    assert (decision.allowed, decision.remaining, decision.limit) == (True, 0, 9)


# --- LeakyBucket ------------------------------------------------------------------------------------------


@given(data=st.data(), limit=limits, period=periods, capacity=st.integers(0, 6))
def test_leaky_bucket_serves_one_after_another(data, limit, period, capacity):
    """Turns are at least `cost` intervals apart, none waits longer than `capacity` intervals, and never do more
    than `capacity` wait."""
    limiter = LeakyBucket(quota_of(limit, period), capacity=capacity)
    interval = -(-period // limit)
    turns, now = [], START
    for step, cost in data.draw(requests_of(period)):
        now += step
        decision = limiter.hit("key", cost, now=now)
        if decision:
            turns.append((now, now + decision.delay_ns, cost))
            assert decision.delay_ns <= capacity * interval
        assert sum(asked <= now < turn for asked, turn, _ in turns) <= capacity
    assert all(first + cost * interval <= second for (_, first, cost), (_, second, _) in pairwise(turns))
    assert most_within([(turn, 1) for _, turn, _ in turns], period) <= limit


@given(limit=limits, period=periods, capacity=st.integers(0, 12))
def test_leaky_bucket_serves_one_and_lets_capacity_wait(limit, period, capacity):
    """As in nginx's limit_req, of many at once one is served and `capacity` wait; the rest is refused."""
    limiter = LeakyBucket(quota_of(limit, period), capacity=capacity)
    decisions = [limiter.hit("key", now=START) for _ in range(capacity + 3)]
    interval = -(-period // limit)
    assert [decision.delay_ns for decision in decisions if decision] == [k * interval for k in range(capacity + 1)]
    assert [decision.allowed for decision in decisions[-2:]] == [False, False]


# --- FixedWindow ------------------------------------------------------------------------------------------


@given(data=st.data(), limit=limits, period=periods)
def test_fixed_window_admits_its_limit_in_each_window(data, limit, period):
    """At most `limit` in each window and twice that in any period, also when readings go back."""
    spent = admitted(FixedWindow(quota_of(limit, period)), data.draw(requests_of(period, back=True)))
    windows = {moment // period for moment, _ in spent}
    assert all(sum(cost for moment, cost in spent if moment // period == window) <= limit for window in windows)
    assert most_within(spent, period) <= 2 * limit


@given(limit=limits, period=periods, window=st.integers(1, 1_000))
def test_fixed_window_admits_twice_its_limit_across_a_boundary(limit, period, window):
    """This is its known weakness: requests just before and just after the boundary reach it."""
    limiter = FixedWindow(quota_of(limit, period))
    boundary = window * period
    before = limiter.allow_many(["key"] * (limit + 3), now=boundary - 1)
    after = limiter.allow_many(["key"] * (limit + 3), now=boundary)
    assert (before.sum(), after.sum()) == (limit, limit)


@given(data=st.data(), limit=limits, period=periods)
def test_first_window_starts_at_the_first_request(data, limit, period):
    """With anchor="first" each key has its own windows, which begin with a request and last one period."""
    limiter = FixedWindow(quota_of(limit, period), anchor="first")
    opened, inside = None, 0
    now = START
    for step, cost in data.draw(requests_of(period)):
        now += step
        if opened is not None and now >= opened + period:
            opened = None
        if limiter.hit("key", cost, now=now):
            opened, inside = (now, cost) if opened is None else (opened, inside + cost)
            assert inside <= limit


# --- SlidingWindow ----------------------------------------------------------------------------------------


@given(data=st.data(), limit=limits, period=periods)
@example(data=None, limit=1, period=1)
def test_sliding_window_stays_below_twice_its_limit(data, limit, period):
    """In any half-open interval of one period, also when readings go back."""
    requests = data.draw(requests_of(period, back=True)) if data else [(0, 1)] * 3
    spent = admitted(SlidingWindow(quota_of(limit, period)), requests)
    assert most_within(spent, period) <= 2 * limit - 1


@pytest.mark.parametrize("limit", [1, 2, 12, 100, 1_000])
def test_sliding_window_reaches_its_worst_case(limit):
    """2 * limit - 1, by a quota spent in a window's last nanosecond and then one more as often as possible."""
    minute = 60 * SECOND
    boundary = START - START % minute
    moments = greedy(SlidingWindow(quota_of(limit, minute)), boundary - 1, boundary - 1 + minute)
    assert len(moments) == 2 * limit - 1
    assert max(moments) - min(moments) < minute


@given(data=st.data(), limit=limits, period=periods)
def test_sliding_window_admits_by_the_estimate(data, limit, period):
    """It admits exactly while current + previous * (1 - e) + cost <= limit."""
    limiter = SlidingWindow(quota_of(limit, period))
    spent, now = {}, START
    for step, cost in data.draw(requests_of(period)):
        now += step
        window, passed = now // period, Fraction(now % period, period)
        estimate = spent.get(window, 0) + spent.get(window - 1, 0) * (1 - passed)
        fits = estimate + cost <= limit
        assert limiter.hit("key", cost, now=now).allowed == fits
        spent[window] = spent.get(window, 0) + cost * fits


# --- SlidingLog -------------------------------------------------------------------------------------------


@given(data=st.data(), limit=limits, period=periods)
def test_sliding_log_is_exact(data, limit, period):
    """It admits exactly what leaves at most `limit` in (t - period, t]."""
    limiter = SlidingLog(quota_of(limit, period))
    spent, now = [], START
    for step, cost in data.draw(requests_of(period)):
        now += step
        fits = sum(moment > now - period for moment in spent) + cost <= limit
        assert limiter.hit("key", cost, now=now).allowed == fits
        spent += [now] * cost * fits


@given(data=st.data(), limit=limits, period=periods)
def test_sliding_log_keeps_its_limit_when_readings_go_back(data, limit, period):
    """A reading that goes back makes decisions stricter, never more generous."""
    spent = admitted(SlidingLog(quota_of(limit, period)), data.draw(requests_of(period, back=True)))
    assert most_within(spent, period) <= limit


# --- all --------------------------------------------------------------------------------------------------


@given(data=st.data(), limit=limits, period=periods, cost=st.integers(1, 12))
def test_retry_after_is_exact_to_the_nanosecond(algorithm, data, limit, period, cost):
    """At that time the same request is admitted; one nanosecond earlier it is refused."""
    limiter = algorithm.make(quota_of(limit, period))
    requests = data.draw(requests_of(period))
    admitted(limiter, requests)
    now = START + sum(step for step, _ in requests)
    decision = limiter.peek("key", cost, now=now)
    while decision:  # spend until it is refused
        assert decision.retry_after_ns == 0
        assert limiter.hit("key", cost, now=now)
        decision = limiter.peek("key", cost, now=now)
    assume(decision.retry_after_ns is not None)
    ready = now + decision.retry_after_ns
    assert ready > now
    assert limiter.hit("key", cost, now=ready - 1).allowed is False
    assert limiter.hit("key", cost, now=ready).allowed is True


@given(data=st.data(), limit=limits, period=periods)
def test_reset_after_is_when_the_key_becomes_fresh(algorithm, data, limit, period):
    """One nanosecond earlier it is still live."""
    limiter = algorithm.make(quota_of(limit, period), max_keys=4)
    requests = data.draw(requests_of(period))
    assume(admitted(limiter, requests))
    now = START + sum(step for step, _ in requests)
    fresh = now + limiter.peek("key", now=now).reset_after_ns
    other = limiter.hit("never seen", now=fresh)
    ours = limiter.hit("key", now=fresh)
    assert (ours.allowed, ours.remaining, ours.delay_ns) == (other.allowed, other.remaining, other.delay_ns)


@given(data=st.data(), limit=limits, period=periods, cost=st.integers(1, 5))
def test_more_after_is_when_one_more_remains(algorithm, data, limit, period, cost):
    """It is the wait of a request that costs one more than what remains, or 0 if nothing was spent."""
    limiter = algorithm.make(quota_of(limit, period), max_keys=4)
    requests = data.draw(requests_of(period))
    admitted(limiter, requests)
    now = START + sum(step for step, _ in requests)
    decision = limiter.hit("key", cost, now=now)
    if decision.remaining == decision.limit:
        assert decision.more_after_ns == 0
    else:
        assert decision.more_after_ns == limiter.peek("key", decision.remaining + 1, now=now).retry_after_ns
        assert decision.more_after_ns > 0


@given(data=st.data(), limit=limits, period=periods)
def test_a_refusal_writes_nothing(algorithm, data, limit, period):
    """No byte of the table changes, whatever the cost and the verb."""
    limiter = algorithm.make(quota_of(limit, period), max_keys=4)
    admitted(limiter, data.draw(requests_of(period)))
    while limiter.hit("key", now=START).allowed:
        pass
    before = limiter.slots().tobytes()
    for now in (0, START - 1, START):
        assert not limiter.hit("key", now=now)
        assert not limiter.hit("key", limit * 5, now=now)
        assert not limiter.hit("new", limit + 100, now=now)
        assert not limiter.allow_many(["key", "key"], now=now).any()
        assert not limiter.hit_many(["key"], limit + 100, now=now)["allowed"].any()
        limiter.peek("key", now=now)
        limiter.peek("new", now=now)
    assert limiter.slots().tobytes() == before


@pytest.mark.parametrize("limit", [1, 5, 1_000])
@pytest.mark.parametrize("excess", [1, 2**62, 2**64, 10**30], ids=["1", "2**62", "2**64", "10**30"])
def test_cost_above_the_limit_has_an_infinite_retry_after(algorithm, clock, limit, excess):
    """This holds for a fresh key and for one that is live."""
    limiter = algorithm.make(quota_of(limit, SECOND), clock)
    for _ in range(2):
        most = limiter.peek("key").limit
        for decision in (limiter.hit("key", most + excess), limiter.peek("key", most + excess)):
            assert (decision.allowed, decision.retry_after, decision.retry_after_ns) == (False, float("inf"), None)
        limiter.allow("key")


@given(data=st.data(), limit=limits, period=periods)
def test_no_flood_restores_a_quota(data, limit, period):
    """A refused key stays refused until its time, whatever the number of other keys, in every algorithm."""
    algorithm = data.draw(st.sampled_from(ALGORITHMS))
    limiter = algorithm.make(quota_of(limit, period), max_keys=4)
    while limiter.hit("key", now=START).allowed:
        pass
    ready = START + limiter.peek("key", now=START).retry_after_ns
    for now in sorted(data.draw(st.lists(st.integers(START, ready - 1), max_size=5))):
        limiter.allow_many(list(range(50)), now=now)
        assert not limiter.hit("key", now=now)
    assert not limiter.hit("key", now=ready - 1)
    assert limiter.hit("key", now=ready)
