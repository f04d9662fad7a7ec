"""A cost for each limit of an All, such as a request and its tokens; and the verbs for event loops."""

import asyncio

import numpy as np
import pytest
from cases import START

from ratelimit import All, CostExceedsLimit, LeakyBucket, TokenBucket
from ratelimit.testing import ManualClock


@pytest.fixture
def budget(clock):
    """60 requests and 1,000 tokens a minute."""
    return TokenBucket("60/minute", clock=clock) & TokenBucket("1000/minute", clock=clock)


def remaining(budget):
    return [limiter.peek("gpt").remaining for limiter in budget.limiters]


def test_each_limit_is_spent_by_its_own_cost(budget):
    assert budget.hit("gpt", costs=(1, 400)).allowed
    assert remaining(budget) == [59, 600]
    assert budget.peek("gpt", costs=[1, 600]).allowed
    assert remaining(budget) == [59, 600]


def test_a_refusal_spends_nothing_and_names_the_limit(budget):
    decision = budget.hit("gpt", costs=(1, 1_001))
    assert (decision.allowed, decision.limiter, decision.retry_after) == (False, budget.limiters[1], float("inf"))
    assert budget.hit("gpt", costs=(1, 700)).allowed
    decision = budget.hit("gpt", costs=(1, 400))
    assert not decision.allowed
    assert decision.retry_after == pytest.approx(6)
    assert remaining(budget) == [59, 300]


def test_a_reservation_is_settled_for_each_limit(budget):
    booking = budget.reserve("gpt", costs=(1, 500))
    assert (booking.costs, booking.cost) == ((1, 500), 500)
    booking.settle(costs=(1, 120))
    assert remaining(budget) == [59, 880]
    with pytest.raises(RuntimeError, match="settle: expected a booking"):
        booking.settle(costs=(0, 0))
    assert remaining(budget) == [59, 880]
    budget.reserve("gpt", costs=(1, 100)).settle(costs=(1, 300))
    assert remaining(budget) == [58, 580]
    budget.reserve("gpt", costs=(2, 100)).cancel()
    assert remaining(budget) == [58, 580]


def test_a_wait_is_for_the_slower_limit(budget, clock):
    budget.hit("gpt", costs=(1, 1_000))
    budget.wait("gpt", costs=(1, 500))
    assert clock.now_ns() - START == pytest.approx(30e9, abs=1)
    with pytest.raises(CostExceedsLimit):
        budget.wait("gpt", costs=(1, 2_000))


def test_a_refund_is_for_each_limit(budget):
    budget.hit("gpt", costs=(3, 400))
    budget.refund("gpt", costs=(1, 400))
    assert remaining(budget) == [58, 1_000]


def test_a_bound_request_has_costs_too(budget):
    bound = budget.bind(["user", "model"])
    assert bound.hit(costs=(1, 999)).allowed
    assert not bound.peek(costs=(1, 2)).allowed
    assert bound.peek(costs=(2, 1)).allowed


def test_a_batch_has_a_row_of_costs_for_each_request(budget):
    costs = np.array([[1, 600], [1, 600], [1, 400], [57, 1]])
    assert budget.allow_many(["gpt"] * 4, costs).tolist() == [True, False, True, False]
    assert remaining(budget) == [58, 0]


def test_a_limiter_that_occurs_twice_is_spent_by_both_costs(clock):
    limiter = TokenBucket("10/minute", clock=clock)
    both = All(limiter, limiter)
    assert not both.hit("key", costs=(4, 7)).allowed
    assert both.hit("key", costs=(3, 7)).allowed
    assert limiter.peek("key").remaining == 0


@pytest.mark.parametrize("costs", [(1,), (1, 2, 3), (1, 0), (1, -1), (1, 1.5), (1, None), "12", 5, {1: 2}])
@pytest.mark.parametrize("verb", ["hit", "peek", "reserve", "wait", "refund"])
def test_rejects_wrong_costs(budget, verb, costs):
    with pytest.raises((TypeError, ValueError), match="costs: expected"):
        getattr(budget, verb)("gpt", costs=costs)
    assert remaining(budget) == [60, 1_000]


def test_rejects_cost_beside_costs(budget):
    with pytest.raises(TypeError, match="costs: expected without cost="):
        budget.hit("gpt", 2, costs=(1, 1))


@pytest.mark.parametrize("costs", [(1,), (1, 2, 3), (1, -1), (1, 1.5), 5])
def test_rejects_wrong_costs_of_a_settlement_and_can_still_be_settled(budget, costs):
    booking = budget.reserve("gpt", costs=(1, 500))
    with pytest.raises((TypeError, ValueError), match="costs: expected"):
        booking.settle(costs=costs)
    with pytest.raises(TypeError, match="costs: expected without actual_cost"):
        booking.settle(1, costs=(1, 1))
    booking.settle(costs=(0, 0))
    assert remaining(budget) == [60, 1_000]


def test_rejects_a_batch_of_the_wrong_shape(budget):
    with pytest.raises(ValueError, match=r"costs: expected the shape \(3, 2\), got \(2, 3\)"):
        budget.hit_many([1, 2, 3], np.ones((2, 3), int))


def test_async_verbs_answer_as_the_others():
    clock = ManualClock()

    async def main():
        for limiter in (LeakyBucket("2/minute", capacity=1, clock=clock), TokenBucket("2/minute", clock=clock)):
            assert await limiter.allow_async("a")
            assert (await limiter.hit_async("a")).allowed
            assert not (await limiter.peek_async("a", now=clock.now_ns())).allowed
            await limiter.refund_async("a")
            assert (await limiter.reserve_async("a")).allowed
        both = TokenBucket("2/minute", clock=clock) & TokenBucket("9/minute", clock=clock)
        assert await both.allow_async("a")
        assert not (await both.hit_async("a", costs=(2, 1))).allowed
        assert (await both.peek_async("a", costs=(1, 8))).allowed
        assert (await both.reserve_async("a", costs=(1, 8), max_delay=0)).allowed
        await both.refund_async("a", costs=(1, 8))
        assert both.peek("a").remaining == 1

    asyncio.run(main())


def test_string_dtype_keys_are_keys(clock):
    limiter = TokenBucket("1/minute", clock=clock)
    keys = np.array(["a", "b" * 40, "a"], dtype=np.dtypes.StringDType())
    assert limiter.allow_many(keys).tolist() == [True, True, False]
    assert not limiter.allow("b" * 40)
