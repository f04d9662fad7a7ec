"""`wait` and `wait_async`: first come, first served; what cannot succeed fails at once."""

import asyncio
import re
import threading
import time

import pytest
from cases import SECOND, START
from waiting import PATIENCE, until_async

from ratelimit import CostExceedsLimit, LeakyBucket, TableFull, TokenBucket, WaitError, WaitTimeout
from ratelimit.testing import ManualClock


class Interrupted(Exception):
    """Stands for KeyboardInterrupt and its like."""


class Ticking(ManualClock):
    """For the event loop: who waits is given the time by hand, a second at a time, and all others run between."""

    sleep = None  # the limiter sleeps as it does in earnest


def test_waiting_takes_until_the_turn(algorithm, clock):
    """It returns exactly at the turn that `reserve` would have given."""
    limiter = algorithm.make("2/minute", clock)
    for _ in range(limiter.peek("key").limit):
        limiter.wait("key")
        assert algorithm.name == "leaky bucket" or clock.now_ns() == START
    expected = limiter.reserve("key")
    expected.cancel()
    limiter.reset("key")
    clock = ManualClock()
    limiter = algorithm.make("2/minute", clock)
    limiter.hit("key", limiter.peek("key").limit)
    at = limiter.peek("key").reset_after_ns if algorithm.name == "leaky bucket" else limiter.peek("key").retry_after_ns
    limiter.wait("key")
    assert at <= clock.now_ns() - START <= at + 1


def test_a_wait_that_is_too_long_fails_at_once(algorithm, clock):
    """WaitTimeout has the length of the wait; nothing is spent, and no time passes."""
    limiter = algorithm.make("2/minute", clock)
    limiter.hit("key", limiter.peek("key").limit)
    before = limiter.slots().tobytes()
    with pytest.raises(WaitTimeout, match=r"key 'key' has to wait .* s, longer than timeout=0\.5") as error:
        limiter.wait("key", timeout=0.5)
    assert error.value.delay == limiter.reserve("key", max_delay=0).delay > 0.5
    assert isinstance(error.value, TimeoutError)
    assert isinstance(error.value, WaitError)
    assert limiter.slots().tobytes() == before
    assert clock.now_ns() == START


def test_waiting_for_a_cost_above_the_limit_fails_at_once(algorithm, clock):
    """The CostExceedsLimit names the cost and the limiter."""
    limiter = algorithm.make("2/minute", clock)
    with pytest.raises(CostExceedsLimit, match=re.escape(f"cost 9 for key 'key' is more than {limiter!r} ever")):
        limiter.wait("key", 9, timeout=1e6)
    assert (len(limiter), clock.now_ns()) == (0, START)


def test_waiting_in_a_full_table_raises(clock):
    raising = TokenBucket("1/minute", max_keys=1, clock=clock, on_full="raise")
    raising.allow("a")
    with pytest.raises(TableFull):
        raising.wait("b")
    denying = TokenBucket("1/minute", max_keys=1, clock=clock)
    denying.allow("a")
    with pytest.raises(WaitTimeout):
        denying.wait("b", timeout=5)


def test_an_interrupted_wait_gives_its_place_back(algorithm):
    """The next request gets it."""

    class Interrupting(ManualClock):
        def sleep(self, seconds):
            raise Interrupted

    limiter = algorithm.make("2/minute", Interrupting())
    limiter.hit("key", limiter.peek("key").limit)
    expected = limiter.reserve("key", max_delay=0).delay_ns
    with pytest.raises(Interrupted):
        limiter.wait("key")
    assert limiter.reserve("key").delay_ns == expected


def test_clock_without_sleep_uses_real_sleep(monkeypatch):
    """The sleep ends by the limiter's clock, not by the system's."""

    class Clock:
        moment = START

        def now_ns(self):
            return self.moment

    clock, naps = Clock(), []

    def nap(seconds):
        naps.append(seconds)
        clock.moment += round(seconds * SECOND * 0.6)  # wakes too soon

    monkeypatch.setattr(time, "sleep", nap)
    limiter = TokenBucket("1/second", burst=1, clock=clock)
    limiter.wait("key")
    assert naps == []
    limiter.wait("key")
    assert naps[0] == pytest.approx(1.0)
    assert len(naps) > 1
    assert clock.moment - START >= SECOND


class Stage(ManualClock):
    """Threads that sleep by it wake when it is advanced far enough."""

    def __init__(self):
        super().__init__()
        self.changed = threading.Condition()
        self.asleep = 0

    def advance(self, seconds):
        with self.changed:
            super().advance(seconds)
            self.changed.notify_all()

    def sleep(self, seconds):
        with self.changed:
            due = self.now_ns() + round(seconds * SECOND)
            self.asleep += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.now_ns() >= due)
            self.asleep -= 1


@pytest.mark.parametrize("make", [TokenBucket, LeakyBucket])
def test_threads_are_served_in_the_order_in_which_they_came(make):
    """Each second, the thread that has waited longest is served."""
    clock = Stage()
    limiter = make("1/second", clock=clock)
    limiter.wait("key")
    threads = [threading.Thread(target=limiter.wait, args=("key",), daemon=True) for _ in range(5)]
    for i, thread in enumerate(threads):
        thread.start()
        with clock.changed:
            assert clock.changed.wait_for(lambda i=i: clock.asleep == i + 1, timeout=PATIENCE)
    for i, thread in enumerate(threads):
        clock.advance(1.000_001)
        thread.join(PATIENCE)
        assert [one.is_alive() for one in threads] == [False] * (i + 1) + [True] * (4 - i)


def run_with(clock, main, seconds):
    """Run a coroutine; while all tasks wait, advance the clock in steps of `seconds`."""

    async def driver():
        task = asyncio.create_task(main)
        while not task.done():
            for _ in range(10):
                await real_sleep(0)
            clock.advance(seconds)
        return await task

    real_sleep = asyncio.sleep  # noqa: TID251 - sleep(0): lets the other tasks run

    async def until(delay, result=None):
        due = clock.now_ns() + round(delay * SECOND)
        while clock.now_ns() < due:
            await real_sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ratelimit._limiter.waiting.asyncio.sleep", until)
        return asyncio.run(driver())


def test_tasks_are_served_first_come_first_served(algorithm):
    """In one event loop, tasks are served in the order of their calls, none before its turn."""
    clock = Ticking()
    limiter = algorithm.make("1/second", clock)
    order = []

    async def work(name):
        await limiter.wait_async("key", timeout=1e6)
        order.append((name, clock.now_ns()))

    async def main():
        await asyncio.gather(*(work(i) for i in range(6)))

    run_with(clock, main(), 0.25)
    assert [name for name, _ in order] == list(range(6))
    moments = [moment for _, moment in order]
    assert moments == sorted(moments)
    assert moments[-1] - moments[0] >= 4 * SECOND


def test_a_cancelled_task_gives_its_place_back():
    """The next request gets it."""
    clock = Ticking()
    limiter = TokenBucket("1/second", burst=1, clock=clock)

    async def main():
        await limiter.wait_async("key")
        task = asyncio.create_task(limiter.wait_async("key"))
        await until_async(lambda: limiter.reserve("key", max_delay=0).delay >= 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return limiter.reserve("key").delay

    assert asyncio.run(main()) == 1


def test_wait_async_fails_as_wait_does(algorithm, clock):
    """The same errors are raised, as soon as it is awaited."""
    limiter = algorithm.make("2/minute", clock)
    limiter.hit("key", limiter.peek("key").limit)

    async def main():
        with pytest.raises(WaitTimeout):
            await limiter.wait_async("key", timeout=0.5)
        with pytest.raises(CostExceedsLimit):
            await limiter.wait_async("key", 99)
        with pytest.raises(ValueError, match="timeout: expected"):
            await limiter.wait_async("key", timeout=-1)
        with pytest.raises(ValueError, match="cost: expected"):
            await limiter.wait_async("key", 0)

    asyncio.run(main())
    assert clock.now_ns() == START


def test_an_event_loop_runs_on_while_one_waits(clock):
    """With a clock that sleeps, other tasks run as well."""
    limiter = TokenBucket("1/second", burst=1, clock=clock)
    seen = []

    async def other():
        seen.append("other")

    async def main():
        await limiter.wait_async("key")
        task = asyncio.create_task(other())
        await limiter.wait_async("key")
        seen.append("waited")
        await task

    asyncio.run(main())
    assert seen == ["other", "waited"]


def test_composites_wait_for_all(clock):
    """The wait ends when the last of the limits is ready; then all are spent."""
    slow, fast = TokenBucket("1/minute", clock=clock), TokenBucket("1/second", clock=clock)
    both = slow & fast
    both.wait("key")
    both.wait("key")
    assert clock.now_ns() - START == pytest.approx(60 * SECOND, abs=1)
    assert slow.peek("key").remaining == fast.peek("key").remaining == 0
    with pytest.raises(WaitTimeout):
        both.wait("key", timeout=1)
    with pytest.raises(CostExceedsLimit, match="TokenBucket"):
        both.wait("key", 2)


@pytest.mark.parametrize("timeout", [None, 3_600])
def test_full_table_raises_table_full_instead_of_a_timeout(clock, timeout):
    """A timeout that is shorter than the wait for a slot is a WaitTimeout."""
    limiter = TokenBucket("1/hour", max_keys=1, clock=clock)
    limiter.wait("a")
    for one in (limiter, limiter & TokenBucket("1/second", clock=clock)):
        with pytest.raises(TableFull, match="no slot for key 'b'"):
            one.wait("b", timeout=timeout)
        with pytest.raises(WaitTimeout):
            one.wait("b", timeout=3_599)
