"""Several limits as one: all allow and all are spent, or no limit is spent."""

import numpy as np
import pytest
from cases import ALGORITHMS, SECOND, START
from hypothesis import given
from hypothesis import strategies as st

from ratelimit import All, FixedWindow, LeakyBucket, SlidingWindow, Table, TableFull, TokenBucket, parse
from ratelimit.testing import ManualClock


@pytest.fixture
def second(clock):
    return TokenBucket("2/second", clock=clock)


@pytest.fixture
def day(clock):
    return FixedWindow("3/day", clock=clock)


def test_all_parts_are_spent_or_no_part(second, day, clock):
    """The decision names the limiter that refused."""
    both = second & day
    assert [both.allow("key") for _ in range(3)] == [True, True, False]
    assert (second.peek("key").remaining, day.peek("key").remaining) == (0, 1)
    assert both.hit("key").limiter is second
    clock.advance(1)
    assert both.allow("key")
    refused = both.hit("key")
    assert (refused.allowed, refused.limiter) == (False, day)
    assert second.peek("key").remaining == 1


def test_decision_is_that_of_the_part_that_refuses_longest(clock):
    """After its wait, all parts allow the request."""
    minute, hour = FixedWindow("1/minute", clock=clock), FixedWindow("1/hour", clock=clock)
    for both in (minute & hour, hour & minute):
        both.reset("key")
        assert both.allow("key")
        assert both.hit("key").limiter is hour
        assert both.peek("key", now=clock.now_ns() + both.hit("key").retry_after_ns).allowed


def test_decision_is_that_of_the_part_with_the_least_remaining(second, day):
    both = second & day
    assert both.peek("key").limiter is second
    decision = both.hit("key")
    assert (decision.limiter, decision.remaining) == (second, 1)
    day.hit("key", 2)
    assert both.peek("key").limiter is day


def test_the_delay_is_that_of_the_longest_queue(clock):
    """A request may be served when its turn has come in every queue."""
    both = LeakyBucket("1/second", capacity=5, clock=clock) & TokenBucket("9/second", clock=clock)
    assert [both.hit("key").delay for _ in range(3)] == [0, 1, 2]


def test_composites_are_flattened(second, day, clock):
    third = SlidingWindow("9/hour", clock=clock)
    assert ((second & day) & third).limiters == (second & (day & third)).limiters == (second, day, third)
    assert All(second & day, third).limiters == (second, day, third)
    assert repr(second & day & third) == "TokenBucket('2/second') & FixedWindow('3/day') & SlidingWindow('9/hour')"


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_text_with_several_limits_makes_an_all(algorithm, clock):
    """The keyword arguments apply to each part."""
    second, minute = algorithm.make("2/second", clock), algorithm.make("3/minute", clock)
    both = parse(f"{second}; {minute}", clock=clock, max_keys=7, on_full="raise")
    assert isinstance(both, All)
    assert [type(part) for part in both.limiters] == [algorithm.limiter] * 2
    assert [str(part.quota) for part in both.limiters] == ["2/second", "3/minute"]
    assert [(part.max_keys, part.on_full, part.clock) for part in both.limiters] == [(7, "raise", clock)] * 2
    assert repr(both) == repr(second & minute)


def test_each_of_several_limits_has_its_own_burst(clock):
    for text, limits in [
        ("2/s burst 5; 3/m burst 7", [5, 7]),
        ("2/s burst 5; 3/m", [5, 3]),
        ("2/s; 3/m burst 5", [2, 5]),
    ]:
        assert [part.peek("key").limit for part in parse(text, clock=clock).limiters] == limits
    with pytest.raises(ValueError, match=r"expected a quota .*, got the end"):
        parse("2/s;")
    with pytest.raises(ValueError, match="burst: expected"):
        parse("2/s; 3/m burst 0")


parts = st.lists(
    st.tuples(st.sampled_from(ALGORITHMS), st.integers(1, 6), st.sampled_from(["second", "minute"])),
    min_size=1,
    max_size=4,
)
calls = st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 4), st.integers(0, 2 * SECOND)), max_size=25)


@given(parts=parts, calls=calls)
def test_decides_like_a_peek_and_a_hit_of_each_part(parts, calls):
    """Single calls, batches and the plain rule agree: all peek, and only if all allow, all are hit."""

    def make():
        return [algorithm.make(f"{limit}/{unit}", clock, max_keys=4) for algorithm, limit, unit in parts]

    clock = ManualClock()
    plain, single, batch = make(), All(*make()), All(*make())
    expected, moments = [], []
    for key, cost, step in calls:
        clock.advance(ns=step)
        moments.append(clock.now_ns())
        fits = all(limiter.peek(key, cost) for limiter in plain)
        if fits:
            for limiter in plain:
                limiter.hit(key, cost)
        expected.append(fits)
        peeked = single.peek(key, cost)
        hit = single.hit(key, cost)
        assert peeked.allowed == hit.allowed == fits
        if not fits:
            assert not hit.limiter.peek(key, cost)
            assert peeked.retry_after_ns == hit.retry_after_ns
    keys, costs = [key for key, _, _ in calls], [cost for _, cost, _ in calls]
    assert batch.allow_many(keys, costs, now=moments).tolist() == expected
    for ours, theirs in zip(single.limiters, plain, strict=True):
        assert [ours.peek(key).remaining for key in "ab"] == [theirs.peek(key).remaining for key in "ab"]


def test_a_refusal_writes_nothing(second, day):
    """No byte of any table changes."""
    both = second & day
    both.hit("key", 2)
    before = [limiter.slots().tobytes() for limiter in both.limiters]
    assert not both.allow("key")
    assert not both.hit("key")
    assert not both.peek("key")
    assert not both.reserve("key", max_delay=0)
    assert not both.allow_many(["key", "key"]).any()
    assert [limiter.slots().tobytes() for limiter in both.limiters] == before


def test_reserve_waits_for_the_last(clock):
    """There is one turn for all parts, and one cancel."""
    second, minute = TokenBucket("1/second", clock=clock), TokenBucket("1/minute", clock=clock)
    both = second & minute
    assert both.reserve("key").delay == 0
    place = both.reserve("key")
    assert place.delay == 60
    place.cancel()
    place.cancel()
    assert both.reserve("key", max_delay=60).delay == 60
    assert not both.reserve("key", max_delay=60)
    assert both.reserve("key", 2).delay == float("inf")


def test_settle_refund_reset_and_clear_reach_all_parts(second, day):
    both = second & day
    both.reserve("key", 2).settle(1)
    assert (second.peek("key").remaining, day.peek("key").remaining) == (1, 2)
    both.refund("key")
    assert (second.peek("key").remaining, day.peek("key").remaining) == (2, 3)
    both.hit("key", 2)
    both.reset("key")
    assert (second.peek("key").remaining, day.peek("key").remaining) == (2, 3)
    both.hit("key", 2)
    both.clear()
    assert len(second) == len(day) == 0


@pytest.mark.parametrize("on_full", ["deny", "allow", "raise"])
def test_full_table_decides_for_its_part(clock, on_full):
    """If it refuses, the other parts spend nothing."""
    roomy = TokenBucket("5/minute", clock=clock)
    small = TokenBucket("5/minute", clock=clock, max_keys=1, on_full=on_full)
    both = roomy & small
    assert both.allow("a")
    if on_full == "raise":
        for verb in (both.allow, both.hit, both.peek, both.reserve):
            with pytest.raises(TableFull):
                verb("b")
    else:
        assert both.allow("b") == both.peek("b").allowed == both.allow_many(["b"])[0] == (on_full == "allow")
    assert roomy.peek("b").remaining == (3 if on_full == "allow" else 5)
    assert small.full_count == (3 if on_full == "raise" else 2)  # a peek decides nothing


def test_limiter_combined_with_itself_spends_twice_or_not_at_all(clock):
    limiter = TokenBucket("5/minute", clock=clock)
    twice = limiter & limiter
    assert [twice.allow("key") for _ in range(3)] == [True, True, False]
    assert limiter.peek("key").remaining == 1


def test_hit_many_of_a_composite(second, day):
    """The fields are those of the part that decides."""
    rows = (second & day).hit_many(np.array([7, 7, 7]))
    assert rows["limit"].tolist() == [2, 2, 2]
    assert rows["remaining"].tolist() == [1, 0, 0]
    assert rows["retry_after_ns"].tolist() == [0, 0, SECOND // 2]


def test_parts_share_one_clock_or_timestamp(second, day, clock):
    both = second & day
    assert (both.clock, both.now_ns()) == (clock, START)
    assert both.hit("key", now=START + 5)
    assert (TokenBucket("1/s") & TokenBucket("1/m")).clock is None


def test_a_limit_twice_is_spent_twice(algorithm, clock):
    """A reservation also waits until both costs fit, or is never allowed."""
    options = {"capacity": 3} if algorithm.name == "leaky bucket" else {}
    limiter = algorithm.make("4/minute", clock, **options)
    twice = limiter & limiter
    assert twice.reserve("key", 3).delay_ns is None
    assert twice.reserve("key", 2**62 - 1).delay_ns is None
    assert limiter.peek("key").remaining == 4
    first = twice.reserve("key", 2)
    assert first
    assert limiter.peek("key").remaining == 0
    second = twice.reserve("key")
    assert second.delay_ns > 0
    second.cancel()
    first.cancel()
    if algorithm.name not in ("fixed window", "first window", "sliding window"):  # whose later window stays open
        assert limiter.peek("key").remaining == 4


def test_two_limiters_on_one_table_are_one_limit_twice(clock):
    """This holds for limiters that share a table by name."""
    name = "test-composite-twice"
    both = All(*[TokenBucket("4/minute", table=Table.shared(name), clock=clock) for _ in range(2)])
    try:
        assert both.reserve("key", 3).delay_ns is None
        assert both.hit("key", 2).remaining == 0
    finally:
        Table.shared(name).remove()


def test_reservations_in_a_queue_among_other_limits(clock):
    """Their turns are an interval apart, as without the other limit; capacity does not bound them."""
    queue = LeakyBucket("1/second", capacity=1, clock=clock)
    both = queue & TokenBucket("100/second", clock=clock)
    places = [both.reserve("key") for _ in range(5)]
    assert [place.delay for place in places] == [0, 1, 2, 3, 4]
    places.pop().cancel()
    assert both.reserve("key").delay == 4


def test_reservation_in_a_full_table(clock):
    """The part refuses it, or does not count it, as by itself; no live slot is taken."""
    for on_full, delay in (("deny", 60), ("allow", 0)):
        full = TokenBucket("1/minute", max_keys=2, on_full=on_full, clock=clock)
        other = TokenBucket("1/second", clock=clock)
        assert full.allow("a")
        assert full.allow("b")
        place = (full & other).reserve("c")
        assert (place.allowed, place.delay) == (on_full == "allow", delay)
        place = (full & other).reserve("c")
        assert (place.allowed, place.delay) == (on_full == "allow", 60 if on_full == "deny" else 1)
        assert [full.peek(key).remaining for key in "ab"] == [0, 0]


def test_limiter_combined_with_itself_counts_the_cost_twice(algorithm, clock):
    """This holds for `peek` and for the waiting times, too."""
    options = {"capacity": 3} if algorithm.name == "leaky bucket" else {}
    limiter = algorithm.make("4/minute", clock, **options)
    twice = limiter & limiter
    assert not twice.peek("key", 3)
    assert twice.hit("key", 3).retry_after_ns is None
    assert twice.hit("key", 1)
    assert limiter.peek("key").remaining == 2
    refused = twice.hit("key", 2)
    assert not refused
    clock.advance(ns=refused.retry_after_ns - 1)
    assert not twice.peek("key", 2)
    clock.advance(ns=1)
    assert twice.hit("key", 2)
    assert limiter.peek("key").remaining == 0


def test_reservation_for_a_later_time_takes_no_slot_from_a_live_key(clock):
    """The slot is taken now, when the others are live, and not at the turn, when they would be idle.

    Where its search begins is chance: without the rule one try in two fails.
    """
    for _ in range(40):
        minute = TokenBucket("1/minute", max_keys=4, clock=clock)
        hour = TokenBucket("1/hour", clock=clock)
        assert minute.allow("a")
        assert minute.allow("b")
        assert hour.allow("c")
        assert (minute & hour).reserve("c").delay == 3_600
        assert not minute.allow("a")
        assert not minute.allow("b")
