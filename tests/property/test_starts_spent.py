"""A table that starts spent gives no key a second quota after a restart."""

from fractions import Fraction
from itertools import pairwise

import pytest
from cases import ALGORITHMS, SECOND, START, answer_of, quota_of
from hypothesis import given
from hypothesis import strategies as st

from ratelimit import FixedWindow, LeakyBucket, Quota, SlidingLog, SlidingWindow, Table, TokenBucket, parse
from ratelimit.testing import ManualClock

limits = st.integers(1, 6)
periods = st.sampled_from([1, 7, 1_000, SECOND])
MONTH = Quota(3, "month in Europe/Berlin")


def spent_table(**options):
    return Table(starts="spent", **options)


def steps_of(period, back=False):
    """Draw pairs (step of the clock, cost)."""
    return st.lists(st.tuples(st.integers(-2 * period if back else 0, 2 * period), st.integers(1, 4)), max_size=30)


def admitted(limiter, now, steps, keys=("key",)):
    """Return (moment, moment of the turn, cost) of each admitted request of the first key, and the time at the end."""
    found = []
    for step, cost in steps:
        now += step
        decision = limiter.hit(keys[0], cost, now=now)
        if decision:
            found.append((now, now + decision.delay_ns, cost))
        limiter.allow_many(list(keys[1:]), now=now)
    return found, now


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, MONTH], ids=repr)
@given(data=st.data(), limit=limits, period=periods)
def test_a_new_key_is_like_one_that_spent_its_limit_at_the_start(algorithm, data, limit, period):
    """Every field of every decision is that of a twin, in a table that starts fresh, that spent its limit then.

    A log that cancels what acts immediately forgets the oldest request that counts: the twin one from the start.
    """
    verbs = ["hit", "peek", "reserve"]
    if algorithm is MONTH or algorithm.limiter is not SlidingLog:
        verbs.append("reserve and cancel")
    clock = ManualClock(START)
    if algorithm is MONTH:
        period = 20 * 86_400 * SECOND
        ours, twin = FixedWindow(MONTH, table=spent_table(), clock=clock), FixedWindow(MONTH, clock=clock)
    else:
        quota = quota_of(limit, period)
        ours, twin = algorithm.make(quota, clock, table=spent_table()), algorithm.make(quota, clock)
    assert twin.hit("key", twin.peek("key").limit)
    now = START
    for step, cost in data.draw(steps_of(period, back=True)):
        now += step
        verb = data.draw(st.sampled_from(verbs))
        if verb.startswith("reserve"):
            clock.advance(ns=max(0, step))
            places = [limiter.reserve("key", cost) for limiter in (ours, twin)]
            assert places[0].at_ns == places[1].at_ns
            assert places[0].allowed == places[1].allowed
            if verb != "reserve":
                for place in places:
                    place.cancel()
        else:
            assert answer_of(getattr(ours, verb)("key", cost, now=now)) == answer_of(
                getattr(twin, verb)("key", cost, now=now)
            )


def restarted(algorithm, data, quota, period):
    """Return what one key was admitted before a restart and after it, beside other keys in a small table."""
    before, now = admitted(algorithm.make(quota, max_keys=4), START, data.draw(steps_of(period)))
    clock = ManualClock(now)
    limiter = algorithm.make(quota, clock, table=spent_table(max_keys=3))
    after, _ = admitted(limiter, now, data.draw(steps_of(period, back=True)), ["key", *range(20)])
    return before, after


def within(spent, begin, length):
    return sum(cost for moment, _, cost in spent if begin <= moment < begin + length)


@given(data=st.data(), limit=limits, period=periods)
def test_every_promise_holds_over_a_restart(algorithm, data, limit, period):
    """The requests that are admitted before and after keep the promise together, also with readings that go back afterwards."""
    before, after = restarted(algorithm, data, quota_of(limit, period), period)
    spent = before + after
    if algorithm.limiter is TokenBucket:
        for begin, _, _ in spent:
            for end, _, _ in spent:
                assert within(spent, begin, end - begin + 1) <= limit + max(0, end - begin) * limit // period
    elif algorithm.limiter is LeakyBucket:
        interval = -(-period // limit)
        turns = [(turn, cost) for _, turn, cost in spent]
        assert all(first + cost * interval <= second for (first, cost), (second, _) in pairwise(turns))
    elif algorithm.limiter is SlidingLog:
        assert all(within(spent, begin, period) <= limit for begin, _, _ in spent)
    elif algorithm.limiter is SlidingWindow:
        assert all(within(spent, begin, period) <= 2 * limit - 1 for begin, _, _ in spent)
    elif algorithm.options:  # windows that begin with a request
        opened, inside = None, 0
        for moment, _, cost in sorted(spent):
            if opened is None or moment >= opened + period:
                opened, inside = moment, 0
            inside += cost
            assert inside <= limit
    else:
        assert all(within(spent, moment - moment % period, period) <= limit for moment, _, _ in spent)


@given(data=st.data(), limit=limits, period=periods)
def test_nothing_of_the_start_remains_once_the_quota_is_back(algorithm, data, limit, period):
    """Then a key that comes for the first time has what it has in any table, and not a nanosecond earlier."""
    clock = ManualClock(START)
    quota = quota_of(limit, period)
    ours, other = algorithm.make(quota, clock, table=spent_table()), algorithm.make(quota, clock)
    back = ours.peek("key").reset_after_ns
    now = START + back - 1
    assert ours.peek("key", limit, now=now).reset_after_ns == 1
    clock.advance(ns=back)
    cost = data.draw(st.integers(1, 8))
    assert answer_of(ours.hit("key", cost)) == answer_of(other.hit("key", cost))


def test_when_the_first_request_is_admitted(clock):
    """Buckets refill from the start on; a window or a log is as if the limit had been spent at the start."""
    start = clock.now_ns()
    ready = {
        limiter: limiter.peek("key").retry_after_ns
        for limiter in [
            TokenBucket("2/second", burst=10, clock=clock, table=spent_table()),
            LeakyBucket("2/second", capacity=10, clock=clock, table=spent_table()),
            FixedWindow("2/minute", clock=clock, table=spent_table()),
            FixedWindow("2/minute", anchor="first", clock=clock, table=spent_table()),
            SlidingWindow("2/minute", clock=clock, table=spent_table()),
            SlidingLog("2/minute", clock=clock, table=spent_table()),
        ]
    }
    left = 60 * SECOND - start % (60 * SECOND)
    assert list(ready.values()) == [SECOND // 2, SECOND // 2, left, 60 * SECOND, left + 30 * SECOND, 60 * SECOND]


@given(starts=st.sampled_from([0, 1, 2**62 - 2]))
def test_the_start_may_be_any_moment(algorithm, starts):
    clock = ManualClock(starts)
    limiter = algorithm.make("1/second", clock, table=spent_table())
    assert not limiter.allow("key")
    if starts < SECOND:
        clock.advance(3)
        assert limiter.allow("key")


def test_every_verb_begins_from_the_start(algorithm, clock):
    """A key without a slot has nothing to give back, and a block ends when the quota would be there anyway."""
    limiter = algorithm.make(quota_of(2, SECOND), clock, table=spent_table())
    assert not limiter.hit_many(["a", "b"])["allowed"].any()
    assert not limiter.take("a", 5)
    assert len(limiter) == 0
    limiter.refund("a", 2)
    assert not limiter.allow("a")
    limiter.reset("a")
    limiter.clear()
    assert not limiter.allow("a")
    due = limiter.peek("a").retry_after_ns
    limiter.block("a", Fraction(1, SECOND))
    assert limiter.peek("a").retry_after_ns == due
    limiter.unblock("a")
    assert not limiter.allow("a")
    clock.advance(ns=due - 1)
    assert not limiter.allow("b")
    clock.advance(ns=1)
    assert limiter.allow("b")


def test_a_quota_of_a_call_and_a_new_quota_count_from_the_start(algorithm, clock):
    limiter = algorithm.make(quota_of(4, SECOND), clock, table=spent_table())
    assert not limiter.hit("key", quota=quota_of(2, SECOND))
    limiter.change(quota_of(3, SECOND))
    decision = limiter.hit("key")
    assert (decision.allowed, decision.limit) == (False, algorithm.make(quota_of(3, SECOND)).peek("key").limit)
    clock.advance(3)
    assert limiter.hit("key", quota=quota_of(2, SECOND))


def test_all_that_attach_have_the_same_start(shared_name, clock):
    """The start is when the table was made, not when a process attaches; and it survives a change of the quota."""
    made = TokenBucket("1/second", clock=clock, table=Table.shared(shared_name, starts="spent"))
    clock.advance(1)
    later = TokenBucket("1/second", clock=clock, table=Table.shared(shared_name))
    assert later.allow("a")
    assert made.allow("b")
    made.change("1/minute")
    assert TokenBucket("1/minute", clock=clock, table=Table.shared(shared_name)).peek("c").retry_after == 59


def test_a_table_with_another_start_is_refused(tmp_path):
    """Nothing of the existing table changes."""
    TokenBucket("5/second", table=Table.open(tmp_path / "fresh"))
    TokenBucket("5/second", table=Table.open(tmp_path / "spent", starts="spent"))
    for name, starts in [("fresh", "spent"), ("spent", "fresh")]:
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ValueError, match=f"another starts: expected {starts}, got {name}"):
            TokenBucket("5/second", table=Table.open(tmp_path / name, starts=starts))
        assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("make", [Table, lambda **given: Table.shared("x", **given)])
def test_an_unknown_start_is_refused(make):
    with pytest.raises(ValueError, match="starts: expected one of 'fresh', 'spent', got 'empty'"):
        make(starts="empty")


def test_an_engine_cannot_start_spent():
    with pytest.raises(ValueError, match="starts: expected 'fresh' on an engine, which forgets idle keys, got 'spent'"):
        Table.valkey("valkey://localhost", name="x", starts="spent")


def test_all_limits_of_a_text_start_spent(shared_name):
    limiter = parse("10/day; fixed-window 1000/day", table=Table.shared(shared_name, starts="spent"))
    assert [part.allow("key") for part in limiter.limiters] == [False, False]
