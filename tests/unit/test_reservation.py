"""Reservations: a place in line, given back or corrected; and giving back without one."""

import threading

import pytest
from cases import SECOND, START, answer_of
from hypothesis import given
from hypothesis import strategies as st

from ratelimit import FixedWindow, LeakyBucket, Quota, SlidingLog, SlidingWindow, TokenBucket


def test_turns_in_a_token_bucket(clock):
    """The burst has its turn at once, later requests one interval apart."""
    limiter = TokenBucket("1/second", burst=2, clock=clock)
    places = [limiter.reserve("key") for _ in range(4)]
    assert [place.delay for place in places] == [0, 0, 1, 2]
    assert [place.at_ns - START for place in places] == [0, 0, SECOND, 2 * SECOND]
    assert all(places)


def test_reservations_in_a_leaky_bucket_are_not_bounded_by_capacity(clock):
    """max_delay bounds them instead."""
    limiter = LeakyBucket("1/second", capacity=1, clock=clock)
    assert [limiter.reserve("key").delay for _ in range(5)] == [0, 1, 2, 3, 4]
    assert not limiter.reserve("key", max_delay=4.999999999)
    assert limiter.reserve("key", max_delay=5)


@pytest.mark.parametrize("make", [FixedWindow, SlidingWindow, SlidingLog])
def test_reservation_ahead_refuses_the_key_until_its_turn(make, clock):
    """No request of a future window is admitted before the window begins."""
    limiter = make("2/minute", clock=clock)
    limiter.hit("key", 2)
    place = limiter.reserve("key")
    assert place.delay > 0
    while clock.now_ns() < place.at_ns:
        assert not limiter.allow("key")
        clock.advance(ns=min(SECOND, place.at_ns - clock.now_ns()))
    assert limiter.peek("key").remaining <= 1


def test_max_delay_is_exact_and_books_nothing(algorithm, clock):
    """One nanosecond less than the delay books nothing; the delay itself does."""
    limiter = algorithm.make("3/minute", clock)
    limiter.hit("key", limiter.peek("key").limit)
    before = limiter.slots().tobytes()
    if algorithm.name == "leaky bucket":  # a line that is open ended: what was spent is what waits
        wait_ns = limiter.peek("key").reset_after_ns
    else:
        wait_ns = limiter.peek("key").retry_after_ns
    refused = limiter.reserve("key", max_delay=0)
    assert (refused.allowed, bool(refused), refused.delay_ns) == (False, False, wait_ns)
    assert refused.at_ns == START + wait_ns
    assert not limiter.reserve("key", max_delay=(wait_ns - 1) / SECOND)
    refused.cancel()
    with pytest.raises(RuntimeError, match="settle: expected a booking"):
        refused.settle(5)
    assert limiter.slots().tobytes() == before
    booked = limiter.reserve("key", max_delay=wait_ns / SECOND)
    assert (booked.allowed, booked.delay_ns) == (True, wait_ns)


def test_cost_above_the_limit_is_not_booked(algorithm, clock):
    """Its delay is infinite."""
    limiter = algorithm.make("3/minute", clock)
    place = limiter.reserve("key", limiter.peek("key").limit + 1)
    assert (place.allowed, place.delay, place.delay_ns, place.at_ns) == (False, float("inf"), None, None)
    assert len(limiter) == 0


def test_cancelling_at_once_leaves_no_trace(algorithm, clock):
    """The key has its previous state if no later request came."""
    limiter = algorithm.make("5/minute", clock)
    limiter.hit("key", 2)
    before = limiter.peek("key")
    place = limiter.reserve("key", 3)
    assert limiter.peek("key").remaining < before.remaining
    place.cancel()
    after = limiter.peek("key")
    assert (after.remaining, after.reset_after_ns) == (before.remaining, before.reset_after_ns)
    place.cancel()  # once is enough
    with pytest.raises(RuntimeError, match="settle: expected a booking"):
        place.settle(9)
    assert limiter.peek("key").remaining == before.remaining


def test_later_reservations_keep_their_turns(clock):
    """As in x/time/rate, the part that later reservations depend on does not come back."""
    limiter = TokenBucket("1/second", burst=1, clock=clock)
    places = [limiter.reserve("key") for _ in range(4)]  # at 0, 1, 2 and 3 seconds
    places[1].cancel()  # two reservations depend on it
    assert limiter.reserve("key").delay == 4
    limiter.reset("key")
    places = [limiter.reserve("key") for _ in range(4)]
    places[3].cancel()
    assert limiter.reserve("key").delay == 3


def test_cancel_in_a_queue_gives_back_only_the_last_turn(clock):
    """In a leaky bucket, turns are handed out one after another."""
    limiter = LeakyBucket("1/second", capacity=9, clock=clock)
    places = [limiter.reserve("key") for _ in range(4)]
    places[1].cancel()
    assert limiter.reserve("key").delay == 4
    places[3].cancel()  # no longer the last
    last = limiter.reserve("key")
    assert last.delay == 5
    last.cancel()
    assert limiter.reserve("key").delay == 5


@pytest.mark.parametrize(("actual", "remaining"), [(0, 9), (1, 8), (4, 5), (6, 3), (9, 0), (30, 0), (2**70, 0)])
def test_settling_corrects_the_cost_once(algorithm, clock, actual, remaining):
    """The cost may become less or more, even above the remainder: a debt."""
    options = {"capacity": 8} if algorithm.name == "leaky bucket" else {}
    limiter = algorithm.make("9/minute", clock, **options)
    place = limiter.reserve("key", 4)
    place.settle(actual)
    assert limiter.peek("key").remaining == remaining
    with pytest.raises(
        RuntimeError, match="settle: expected a booking that was neither settled nor cancelled yet, got Reservation"
    ):
        place.settle(0)
    place.cancel()  # which may come in any case, as in a `finally`
    assert limiter.peek("key").remaining == remaining


def test_threads_that_settle_together_settle_once(clock):
    limiter = TokenBucket("1000/minute", clock=clock)
    for left in range(999, 899, -1):
        place, errors = limiter.reserve("key", 10), []

        def settle(place=place, errors=errors):
            try:
                place.settle(1)
            except RuntimeError as error:
                errors.append(error)

        threads = [threading.Thread(target=settle) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(errors) == 3
        assert limiter.peek("key").remaining == left


def test_debt_refuses_the_key_until_it_is_repaid(clock):
    limiter = TokenBucket("10/second", clock=clock)
    limiter.reserve("key", 5).settle(35)
    assert limiter.peek("key").retry_after == 2.6
    limiter.reserve("never", 5).settle(2**70)
    assert limiter.peek("never").retry_after_ns is None


@given(
    limit=st.integers(1, 6),
    hits=st.lists(st.integers(0, 30), max_size=12),
    bookings=st.lists(st.integers(1, 6), min_size=1, max_size=3),
)
def test_cancelled_bookings_of_a_log_leave_no_trace(limit, hits, bookings):
    """This holds for up to `limit` bookings; more of them do not admit too much."""
    from ratelimit.testing import ManualClock

    period, clock = 20, ManualClock(START)
    limiter = SlidingLog(Quota(limit, period / SECOND), clock=clock)
    spent = []
    for step in hits:
        clock.advance(ns=step)
        spent += [clock.now_ns()] * limiter.allow("key")
    places = [limiter.reserve("key", min(cost, limit)) for cost in bookings]
    ahead = sum(place.cost for place in places if place.at_ns > clock.now_ns())
    for place in reversed(places):
        place.cancel()
    for _ in range(3 * period):
        counts = sum(moment > clock.now_ns() - period for moment in spent)
        allowed = limiter.allow("key")
        assert not allowed or counts < limit
        if ahead == sum(place.cost for place in places) <= limit:
            assert allowed == (counts < limit)
        spent += [clock.now_ns()] * allowed
        clock.advance(ns=1)


@pytest.mark.parametrize("quota", ["3/5 years", "3/day", "3/19 hours"])
def test_cancelled_booking_in_a_long_period_is_rounded_to_the_strict_side(clock, quota):
    """By less than a microsecond in five years."""
    limiter = SlidingLog(quota, clock=clock)
    length = limiter.quota.period_ns
    for _ in range(3):
        limiter.allow("key")
        clock.advance(ns=length // 10)
    limiter.reserve("key", 3).cancel()
    wait = limiter.hit("key").retry_after_ns
    assert 0 <= wait - (length - 3 * (length // 10)) < 5_000


def logs_with_a_cancelled_booking(clock, cost):
    """Return full logs with a cancelled booking, also after the numbering of the ring has restarted."""
    for used_before in range(12):
        limiter = SlidingLog("3/minute", clock=clock)
        for _ in range(used_before):
            limiter.allow("key")
            clock.advance(61)
        limiter.hit("key", 3)
        clock.advance(1)
        place = limiter.reserve("key", cost)
        place.cancel()
        yield limiter, place


@pytest.mark.parametrize("cost", [1, 2, 3])
def test_a_log_is_open_again_at_the_turn_that_was_cancelled(clock, cost):
    """It is not closed for a whole period."""
    for limiter, place in logs_with_a_cancelled_booking(clock, cost):
        assert not limiter.allow("key")
        clock.advance(ns=place.at_ns - clock.now_ns())
        assert limiter.peek("key").remaining == 3


@pytest.mark.parametrize("cost", [1, 2, 3])
def test_request_replaced_by_a_cancelled_booking_expires_at_its_turn(clock, cost):
    """This also holds for requests after the first one at that turn."""
    for limiter, place in logs_with_a_cancelled_booking(clock, cost):
        clock.advance(ns=place.at_ns - clock.now_ns())
        for left in (2, 1, 0):
            assert limiter.hit("key").remaining == left


# --- refund, reset, clear ---------------------------------------------------------------------------------


def test_a_refund_gives_back_what_was_spent(algorithm, clock):
    """It never gives more than the limit, whatever the cost."""
    limiter = algorithm.make("5/minute", clock)
    most = limiter.peek("key").limit
    limiter.hit("key", 4)
    limiter.refund("key", 3)
    assert limiter.peek("key").remaining == most - 1
    for cost in (1, 1, 100, 2**70):
        limiter.refund("key", cost)
        assert limiter.peek("key").remaining == most
        assert limiter.hit("key", most + 1).retry_after_ns is None
    assert limiter.hit("key", most)
    assert not limiter.allow("key")


def test_refund_to_an_unknown_key_takes_no_slot(algorithm, clock):
    limiter = algorithm.make("5/minute", clock, max_keys=4)
    before = limiter.slots().tobytes()
    limiter.refund("key", 5)
    assert limiter.slots().tobytes() == before


def test_reset_forgets_one_key_and_clear_all(algorithm, clock):
    """They are then like keys that were never seen."""
    limiter = algorithm.make("2/minute", clock, max_keys=16)
    limit = limiter.peek("key").limit
    for key in range(10):
        assert limiter.hit(key, limit)
    limiter.reset(3)
    limiter.reset("never seen")
    assert len(limiter) == 9
    assert [limiter.peek(key).remaining for key in (2, 3, 4)] == [0, limit, 0]
    limiter.clear()
    assert len(limiter) == 0
    assert all(limiter.hit(key, limit) for key in range(10))


@pytest.mark.parametrize("again", [None, "1000000/minute"])
@pytest.mark.parametrize("actual", [1_000, 499_999])
def test_a_debt_that_no_state_can_hold_is_not_forgiven(clock, actual, again):
    """After an emergency change the booking is worth more than a century, which is truncated: no part comes back."""
    limiter = TokenBucket("1000000/minute", clock=clock)
    place = limiter.reserve("key", 500_000)
    limiter.change("1/day")
    if again:
        limiter.change(again)
    before = answer_of(limiter.peek("key"))
    place.settle(actual)
    assert answer_of(limiter.peek("key")) == before
    assert len(limiter) == 1
