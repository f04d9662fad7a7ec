"""All verbs in any order, on several keys in a small table, against one oracle a key."""

from fractions import Fraction

import pytest
from cases import ALGORITHMS, CALENDARS, SECOND, START, answer_of, quota_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ratelimit import Table
from ratelimit.testing import ManualClock

KEYS = ["a", b"a", 97, "", 2**70]
keys = st.sampled_from([*KEYS, *["a"] * 5])  # mostly one: what goes wrong takes several steps with the same key
costs = st.integers(1, 6)


def machine_of(algorithm):
    class Machine(RuleBasedStateMachine):
        places = Bundle("places")

        @initialize(
            limit=st.integers(1, 8),
            period=st.sampled_from([1, 7, SECOND, 3 * SECOND]),
            starts=st.sampled_from(["fresh", "fresh", "spent"]),
        )
        def make(self, limit, period, starts):
            self.clock = ManualClock(getattr(algorithm, "start", START))
            self.sizes = (limit, getattr(algorithm, "period", period))
            self.birth = self.clock.now_ns() if starts == "spent" else None
            table = Table(max_keys=len(KEYS) + 1, starts=starts)
            self.limiter = algorithm.make(quota_of(*self.sizes), self.clock, table=table)
            self.oracles = {}

        def oracle(self, key):
            if key not in self.oracles:
                self.oracles[key] = algorithm.oracle(*self.sizes)
                if self.birth is not None:
                    self.oracles[key].start_spent(self.birth)
            return self.oracles[key]

        @rule(share=st.integers(0, 300))
        def advance(self, share):
            self.clock.advance(ns=self.sizes[1] * share // 100)

        @rule(key=keys, cost=costs)
        def hit(self, key, cost):
            assert answer_of(self.limiter.hit(key, cost)) == self.oracle(key).hit(self.clock.now_ns(), cost)

        @rule(key=keys, most=costs)
        def take(self, key, most):
            now = self.clock.now_ns()
            amount = min(most, max(1, self.oracle(key).peek(now, 1).remaining))
            decision = self.limiter.take(key, most)
            assert answer_of(decision) == self.oracle(key).hit(now, amount)
            assert decision.spent == (amount if decision.allowed else 0)

        @rule(key=keys)
        def allow(self, key):
            assert self.limiter.allow(key) == self.oracle(key).hit(self.clock.now_ns(), 1).allowed

        @rule(key=keys, cost=costs)
        def peek(self, key, cost):
            assert answer_of(self.limiter.peek(key, cost)) == self.oracle(key).peek(self.clock.now_ns(), cost)

        @rule(batch=st.lists(st.tuples(keys, costs), max_size=12))
        def hit_many(self, batch):
            rows = self.limiter.hit_many([key for key, _ in batch], [cost for _, cost in batch])
            answers = [self.oracle(key).hit(self.clock.now_ns(), cost) for key, cost in batch]
            assert rows["allowed"].tolist() == [answer.allowed for answer in answers]
            assert rows["remaining"].tolist() == [answer.remaining for answer in answers]

        @rule(target=places, key=keys, cost=costs, patience=st.none() | st.integers(0, 10 * SECOND))
        def reserve(self, key, cost, patience):
            now = self.clock.now_ns()
            place = self.limiter.reserve(key, cost, max_delay=None if patience is None else patience / SECOND)
            booked, at = self.oracle(key).reserve(now, cost, 2**62 if patience is None else patience)
            assert (place.allowed, place.at_ns) == (booked is not None, at if at < 2**62 else None)
            return place, key, booked, cost

        @rule(booking=consumes(places))
        def cancel(self, booking):
            place, key, booked, cost = booking
            place.cancel()
            place.cancel()  # which does nothing any more
            if booked and self.oracle(key).known:
                self.oracle(key).take_back(self.clock.now_ns(), booked, cost)
                self.forget_if_inexact(key)

        @rule(booking=consumes(places), actual=st.integers(0, 12))
        def settle(self, booking, actual):
            place, key, booked, cost = booking
            oracle = self.oracle(key)
            if not booked:
                with pytest.raises(RuntimeError, match="settle: expected a booking"):
                    place.settle(actual)
                return
            place.settle(actual)
            with pytest.raises(RuntimeError, match="settle: expected a booking"):
                place.settle(actual)
            if actual < cost and oracle.known:
                oracle.take_back(self.clock.now_ns(), booked, cost - actual)
                self.forget_if_inexact(key)
            elif actual > cost:
                oracle.settle_up(self.clock.now_ns(), actual - cost)

        def forget_if_inexact(self, key):
            """A log from which more than a lap was cancelled is stricter than its oracle."""
            if not self.oracles[key].exact:
                now = self.clock.now_ns()
                assert self.limiter.peek(key).remaining <= self.oracles.pop(key).peek(now, 1).remaining
                self.limiter.reset(key)

        @rule(key=keys, cost=costs)
        def refund(self, key, cost):
            self.limiter.refund(key, cost)
            if self.oracle(key).known:
                self.oracle(key).give(self.clock.now_ns(), cost)

        @rule(key=keys, share=st.integers(0, 400))
        def block(self, key, share):
            ns = self.sizes[1] * share // 100
            self.limiter.block(key, Fraction(ns, SECOND))
            self.oracle(key).block(self.clock.now_ns(), self.clock.now_ns() + ns)

        @rule(key=keys)
        def unblock(self, key):
            self.limiter.unblock(key)
            self.oracle(key).unblock(self.clock.now_ns())

        @invariant()
        def counts_the_keys_that_matter(self):
            if hasattr(self, "limiter"):
                now = self.clock.now_ns()
                assert len(self.limiter) == sum(
                    oracle.known and not oracle.is_new(now) for oracle in self.oracles.values()
                )
                assert len(self.limiter.slots()) >= len(self.limiter)

        @rule(key=keys)
        def reset(self, key):
            self.limiter.reset(key)
            self.oracles.pop(key, None)

    return Machine


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, *CALENDARS], ids=repr)
def test_all_verbs_equal_the_oracle_in_any_order(algorithm, small_levels):
    """In a table that grows meanwhile, and moves keys to where there is room again."""
    run_state_machine_as_test(machine_of(algorithm), settings=settings())
