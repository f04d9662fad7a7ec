"""A booking that is cancelled or settled gives back no more than it took from others."""

import asyncio
from fractions import Fraction

import pytest
from cases import ALGORITHMS, SECOND, START, quota_of
from hypothesis import example, given
from hypothesis import strategies as st
from waiting import PATIENCE

from ratelimit import FixedWindow, LeakyBucket, SlidingLog, SlidingWindow, TokenBucket, WaitTimeout
from ratelimit.testing import ManualClock

PERIOD = 60 * SECOND
steps = st.sampled_from([0, 1, PERIOD // 20, PERIOD // 7, PERIOD // 2, PERIOD, 2 * PERIOD])
hits = st.lists(st.tuples(steps, st.integers(1, 6)), max_size=12)


def make(algorithm, limit, clock):
    options = {"capacity": limit - 1} if algorithm.name == "leaky bucket" else {}
    return algorithm.make(quota_of(limit, PERIOD), clock, **options)


@given(
    algorithm=st.sampled_from(ALGORITHMS),
    limit=st.integers(1, 12),
    before=hits,
    cost=st.integers(1, 12),
    during=hits,
    actual=st.integers(0, 12),
    after=hits,
)
def test_a_settled_booking_leaves_no_more_than_a_key_that_never_had_it(
    algorithm, limit, before, cost, during, actual, after
):
    """The twin spends what the settled booking really cost, at the same moment, and whatever others were admitted."""
    clock = ManualClock(START)
    limiter, twin = make(algorithm, limit, clock), make(algorithm, limit, clock)

    def spend(requests):
        for step, amount in requests:
            clock.advance(ns=step)
            if limiter.hit("key", amount):
                assert twin.hit("key", amount)

    spend(before)
    booking = limiter.reserve("key", min(cost, limit), max_delay=0)
    actual = kept_by(algorithm, min(actual, booking.cost))
    if booking and actual:
        assert twin.hit("key", actual)
    spend(during)
    if booking:
        booking.settle(actual)
    spend(after)
    for _ in range(5):
        assert limiter.peek("key").remaining <= twin.peek("key").remaining
        clock.advance(ns=PERIOD // 3)


def kept_by(algorithm, cost):
    """Return the cost that remains of a booking: of one that began a window, the beginning remains in any case."""
    return max(cost, 1) if algorithm.name == "first window" else cost


def acts_within(acts, begin, end):
    return sum(cost for moment, cost in acts if begin <= moment <= end)


@given(
    limit=st.integers(1, 6),
    orders=st.lists(
        st.tuples(steps, st.sampled_from(["hit", "reserve", "cancel", "settle"]), st.integers(1, 6), st.integers(0, 9)),
        max_size=25,
    ),
)
def test_token_bucket_keeps_its_promise_whatever_is_cancelled(limit, orders):
    """At most limit + T * rate requests act in an interval of length T, whichever bookings are cancelled or settled."""
    clock = ManualClock(START)
    limiter = TokenBucket(quota_of(limit, PERIOD), clock=clock)
    acts, bookings = [], []
    for step, verb, cost, which in orders:
        clock.advance(ns=step)
        if verb == "hit":
            if limiter.hit("key", cost):
                acts.append((clock.now_ns(), cost))
        elif verb == "reserve":
            booking = limiter.reserve("key", cost)
            if booking:
                bookings.append([booking, cost])
        elif bookings:
            pair = bookings[which % len(bookings)]
            if pair[0].at_ns >= clock.now_ns() or verb == "settle":
                keep = cost % (pair[1] + 1) if verb == "settle" else 0
                pair[0].settle(keep) if verb == "settle" else pair[0].cancel()
                bookings.remove(pair)
                acts += [(pair[0].at_ns, keep)] * (keep > 0)
    acts += [(booking.at_ns, cost) for booking, cost in bookings]
    for begin, _ in acts:
        for end, _ in acts:
            inside = acts_within(acts, begin, end)
            assert end < begin or inside <= limit + Fraction((end - begin) * limit, PERIOD)


@given(algorithm=st.sampled_from(ALGORITHMS), limit=st.integers(1, 5), costs=st.lists(st.integers(1, 5), max_size=40))
def test_bookings_cancelled_from_the_last_leave_no_trace(algorithm, limit, costs):
    """However many there were: the key has what it had.

    A log forgets what a booking of several requests replaced, and is stricter then.
    """
    clock = ManualClock(START)
    limiter = make(algorithm, limit, clock)
    if algorithm.name == "sliding log":
        costs = [1] * len(costs)
    limiter.hit("key")
    before = limiter.peek("key")
    bookings = [limiter.reserve("key", min(cost, limit)) for cost in costs]
    for booking in reversed(bookings):
        booking.cancel()
    after = limiter.peek("key")
    assert (after.remaining, after.reset_after_ns) == (before.remaining, before.reset_after_ns)


@pytest.mark.parametrize(
    ("make", "wait"),
    [(SlidingLog, 61), (TokenBucket, 30), (FixedWindow, 61), (SlidingWindow, 121), (LeakyBucket, 61)],
)
def test_a_late_settlement_forgives_nothing_that_others_spent(make, wait):
    """The booking has left the limit by itself when it is settled."""
    clock = ManualClock(28_333_334 * PERIOD)
    limiter = make("10/minute", clock=clock, **({"capacity": 9} if make is LeakyBucket else {}))
    booking = limiter.reserve("key", 5)
    clock.advance(wait)
    assert limiter.hit("key", 10)
    booking.settle(0)
    assert not limiter.allow("key")


@pytest.mark.parametrize("make", [TokenBucket, LeakyBucket, FixedWindow, SlidingWindow, SlidingLog])
def test_a_storm_of_waits_that_are_given_up_leaves_the_limit_usable(make):
    """Each waiter has less patience than the line is long; afterwards the limit is as if only the served had come."""
    limiter = make("100/second")

    async def main():
        tasks = [asyncio.create_task(limiter.wait_async("key")) for _ in range(400)]
        await asyncio.wait(tasks, timeout=0)  # all are in line
        for task in tasks[::2] + tasks[::-1]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert limiter.reserve("key").delay <= 1


def test_a_storm_at_several_limits_leaves_them_usable():
    """Of each limit, also of the one that had room."""
    slow, fast = TokenBucket("10/second", burst=1), TokenBucket("1000/second")
    both = slow & fast

    async def main():
        tasks = [asyncio.create_task(both.wait_async("key")) for _ in range(200)]
        await asyncio.wait(tasks, timeout=0)  # all are in line
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert slow.reserve("key").delay <= 0.1
    assert fast.reserve("key").delay == 0


def test_waiters_follow_a_change_of_the_limit_in_order():
    """A limit that was almost closed lets all waiters go when it is opened, the first one first."""
    limiter = TokenBucket("1/hour", burst=1)
    limiter.hit("key")
    order = []

    async def work(name):
        await limiter.wait_async("key")
        order.append(name)

    async def main():
        tasks = [asyncio.create_task(work(name)) for name in range(20)]
        await asyncio.wait(tasks, timeout=0)
        limiter.change("1000/second")
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)

    asyncio.run(main())
    assert order == list(range(20))


def test_a_waiter_whose_patience_a_change_exceeds_gets_a_timeout():
    """The new limit would keep it waiting for longer than it said."""
    limiter = TokenBucket("10/second", burst=1)
    limiter.hit("key")

    async def main():
        task = asyncio.create_task(limiter.wait_async("key", 1, timeout=5))
        other = asyncio.create_task(limiter.wait_async("key", 1, timeout=5))
        await asyncio.wait([task, other], timeout=0)
        limiter.change("1/day")
        results = await asyncio.wait_for(asyncio.gather(task, other, return_exceptions=True), PATIENCE)
        return [type(result) for result in results]

    assert asyncio.run(main())[1] is WaitTimeout


@pytest.mark.parametrize("counts", ["keep", "scale"])
@example(algorithm=ALGORITHMS[2], limits=[2, 1], before=[], cost=1, during=[(0, 1)])  # two counts are rounded to one
@given(
    algorithm=st.sampled_from([one for one in ALGORITHMS if one.name != "first window"]),  # a booking begins its window
    limits=st.lists(st.integers(1, 12), min_size=2, max_size=5),
    before=hits,
    cost=st.integers(1, 12),
    during=hits,
)
def test_a_booking_is_carried_over_changes_of_the_limit(counts, algorithm, limits, before, cost, during):
    """Settled after the limit was changed, it leaves no more than a key that had only what remains of it."""
    clock = ManualClock(START)
    limiter, twin = make(algorithm, max(limits), clock), make(algorithm, max(limits), clock)
    if algorithm.name == "sliding log":
        counts = "keep"

    def spend(requests):
        for step, amount in requests:
            clock.advance(ns=step)
            if limiter.hit("key", amount):
                assert twin.hit("key", amount)

    spend(before)
    booking = limiter.reserve("key", min(cost, max(limits)), max_delay=0)
    actual = kept_by(algorithm, 0)
    if booking and actual:
        assert twin.hit("key", actual)
    for limit in limits:
        for one in (limiter, twin):
            one.change(quota_of(limit, PERIOD), counts=counts)
        spend(during)
    if booking:
        booking.settle(actual)
    for _ in range(5):
        assert limiter.peek("key").remaining <= twin.peek("key").remaining
        clock.advance(ns=PERIOD // 3)


def test_a_window_that_a_cancelled_booking_began_ends_when_it_would_have(clock):
    """Requests between the two are counted in that window, and the next one begins with the next request."""
    limiter = FixedWindow("2/minute", anchor="first", clock=clock)
    booking = limiter.reserve("key")
    clock.advance(30)
    assert limiter.hit("key")
    booking.cancel()
    assert limiter.peek("key").remaining == 1
    clock.advance(30)
    assert limiter.peek("key").remaining == 2


def test_a_booking_is_forgotten_with_all_keys(clock):
    """A change that resets the counts leaves nothing to give back."""
    limiter = TokenBucket("10/minute", clock=clock)
    booking = limiter.reserve("key", 5)
    limiter.change("8/minute", counts="reset")
    limiter.hit("key", 8)
    booking.cancel()
    assert not limiter.allow("key")
