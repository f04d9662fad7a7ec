"""AsyncLimiter, in event loops whose time passes only while they wait."""

import asyncio
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.contrib.aiolimiter import AsyncLimiter


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that advances its time instead of sleeping."""

    def __init__(self):
        super().__init__()
        self._time = 1_000.0
        select = self._selector.select

        def select_at_once(timeout):
            self._time += timeout or 0
            return select(0)

        self._selector.select = select_at_once

    def time(self):
        return self._time


def run(coroutine):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


async def moments(limiter, *amounts):
    """Return after how many seconds each of the tasks has acquired its amount; they begin in this order."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def acquire(amount):
        await limiter.acquire(amount)
        return round(loop.time() - began, 3)

    return await asyncio.gather(*map(acquire, amounts))


def test_lets_a_burst_pass_and_then_the_rate():
    assert run(moments(AsyncLimiter(5, 10), *[1] * 10)) == [0] * 5 + [2, 4, 6, 8, 10]


def test_attributes_and_default_period():
    limiter = AsyncLimiter(42)
    assert (limiter.max_rate, limiter.time_period) == (42, 60)


def test_the_smallest_amount_comes_first():
    assert run(moments(AsyncLimiter(3, 3), 1, 3, 2, 2)) == [0, 5, 0, 2]


def test_a_smaller_amount_passes_a_larger_one_that_waits():
    async def scenario():
        limiter = AsyncLimiter(3, 3)
        await limiter.acquire()
        waits = asyncio.create_task(moments(limiter, 3))
        await asyncio.sleep(0)  # noqa: TID251
        await asyncio.sleep(0)  # noqa: TID251
        await limiter.acquire()
        return await waits

    assert run(scenario()) == [2]


def test_equal_amounts_are_served_in_order():
    async def scenario():
        order = []
        limiter = AsyncLimiter(1, 1)

        async def task(name):
            async with limiter:
                order.append(name)

        await asyncio.gather(*map(task, range(20)))
        return order

    assert run(scenario()) == list(range(20))


def test_a_task_that_comes_later_does_not_take_the_room_of_a_waiting_one():
    async def scenario():
        order = []
        limiter = AsyncLimiter(1, 1)
        await limiter.acquire()

        async def task(name):
            await limiter.acquire()
            order.append(name)

        first = asyncio.create_task(task("first"))
        await asyncio.sleep(0)  # noqa: TID251
        asyncio.get_running_loop()._time += 1  # there is room, and the first one does not know it yet
        await asyncio.gather(task("second"), first)
        return order

    assert run(scenario()) == ["first", "second"]


@pytest.mark.parametrize("has_its_turn", [False, True])
def test_a_cancelled_task_gives_its_turn_away(has_its_turn):
    """It may be cancelled between the moment of its turn and the moment at which it continues."""

    async def scenario():
        limiter = AsyncLimiter(3, 3)
        await limiter.acquire(1)
        first, second = (asyncio.create_task(limiter.acquire(3)) for _ in range(2))
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(0)  # noqa: TID251
        if has_its_turn:
            loop._time += 1
            limiter._serve()
            assert len(limiter._waiters) == 1
        first.cancel()
        await second
        return round(loop.time() - began, 1)

    assert run(scenario()) == 1


def test_a_high_rate_has_larger_parts():
    limiter = AsyncLimiter(1e9, 1)
    assert run(moments(limiter, 1e9, 0.5, 1e6)) == [0, 0, 0.001]


def test_has_capacity_for_amounts_up_to_what_is_left():
    async def scenario():
        limiter = AsyncLimiter(1)
        seen = [limiter.has_capacity(amount) for amount in (0, 1, 1.01, float("inf"))]
        await limiter.acquire(0)
        await limiter.acquire(0.5)
        seen += [limiter.has_capacity(amount) for amount in (0.5, 0.51)]
        limiter.clear()
        return [*seen, limiter.has_capacity(1)]

    assert run(scenario()) == [True, True, False, False, True, False, True]
    assert AsyncLimiter(1).has_capacity()


@pytest.mark.parametrize("amount", [-1, 2.000001, float("inf"), float("-inf"), float("nan")])
def test_rejects_an_amount(amount):
    with pytest.raises(ValueError, match="amount: expected a number from 0 to 2, got"):
        run(AsyncLimiter(2).acquire(amount))


@pytest.mark.parametrize(("arguments", "name"), [((0,), "max_rate"), ((-1,), "max_rate"), ((1, 0), "time_period"),
                                                 ((float("nan"),), "max_rate"), ((1, float("inf")), "time_period")])  # fmt: skip
def test_rejects_a_rate(arguments, name):
    with pytest.raises(ValueError, match=f"{name}: expected a number above 0"):
        AsyncLimiter(*arguments)


@given(
    rate=st.sampled_from([0.1, 0.5, 1, 1.5, 2.7, 10]),
    period=st.sampled_from([0.1, 1, 3, 7.5]),
    shares=st.lists(st.sampled_from([0.1, 0.25, 0.5, 1]), min_size=1, max_size=8),
)
def test_never_passes_more_than_a_bucket_would(rate, period, shares):
    """All that passed until a moment fits into the burst and what has flowed in since, and the last one waits no longer."""
    amounts = [rate * share for share in shares]
    passed = sorted(zip(run(moments(AsyncLimiter(rate, period), *amounts)), amounts, strict=True))
    sums = 0
    for moment, amount in passed:
        sums += Fraction(str(amount))
        assert sums <= Fraction(str(rate)) * (1 + Fraction(str(moment + 0.002)) / Fraction(str(period)))
    assert passed[-1][0] <= max(0, float(sums) / rate - 1) * period + 0.002


def test_another_loop_is_a_warning():
    limiter = AsyncLimiter(1, 1)

    async def leaves_waiters():
        for _ in range(3):
            asyncio.create_task(limiter.acquire())  # noqa: RUF006
        await asyncio.sleep(0)  # noqa: TID251

    run(leaves_waiters())
    with pytest.warns(RuntimeWarning, match="another event loop"):
        assert run(moments(limiter, 1)) in ([1], [0])
