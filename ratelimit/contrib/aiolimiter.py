"""The package aiolimiter: `from ratelimit.contrib.aiolimiter import AsyncLimiter`.

limiter = AsyncLimiter(100, 60)

async with limiter:
    await call_api()
"""

import asyncio
import time
import warnings
from bisect import insort
from fractions import Fraction
from itertools import count
from math import ceil
from types import TracebackType
from typing import NamedTuple

from .._engine.constants import NS_PER_SECOND
from ..limiters.algorithms import TokenBucket
from ..quota import Quota
from ._windows import ZERO_NS

KEY = ""
MOST_PARTS = 1_000_000  # of one request, since rates and amounts need not be whole numbers
FINEST = 2**16  # parts in a nanosecond that a limiter can count


class _LoopClock:
    """The time of the running event loop, as the clock of a limiter."""

    def now_ns(self) -> int:
        try:
            seconds = asyncio.get_running_loop().time()
        except RuntimeError:  # no loop is running
            seconds = time.monotonic()
        return ZERO_NS + int(seconds * NS_PER_SECOND)


class _Waiter(NamedTuple):
    units: int
    number: int
    turn: "asyncio.Future[None]"


class AsyncLimiter:
    """Let at most `max_rate` requests pass in a burst, and as many in each `time_period` after that.

    Args:
        max_rate: requests, which need not be a whole number.
        time_period: seconds.

    Raises:
        ValueError: an argument is not above 0.

    Of several waiting tasks, the one with the smallest amount comes first, and of equal amounts the first that came. A
    task that is cancelled gives its turn away.

    Thread-safety: for the tasks of one event loop.
    """

    def __init__(self, max_rate: float, time_period: float = 60) -> None:
        for name, value in (("max_rate", max_rate), ("time_period", time_period)):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name}: expected a number above 0, got {value!r}")
        self.max_rate = max_rate
        self.time_period = time_period
        period_ns = max(1, round(Fraction(str(time_period)) * NS_PER_SECOND))
        self._parts = MOST_PARTS
        while self._parts > 1 and Fraction(str(max_rate)) * self._parts > period_ns * FINEST:
            self._parts //= 10
        self._capacity = ceil(Fraction(str(max_rate)) * self._parts)
        quota = Quota(self._capacity, Fraction(period_ns, NS_PER_SECOND))
        self._limiter = TokenBucket(quota, max_keys=1, clock=_LoopClock())
        self._waiters: list[_Waiter] = []  # the next one first
        self._numbers = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def has_capacity(self, amount: float = 1) -> bool:
        """Return whether an amount could be acquired now, without waiting."""
        units = self._units(amount)
        return units == 0 or (units <= self._capacity and self._limiter.peek(KEY, units).allowed)

    async def acquire(self, amount: float = 1) -> None:
        """Wait until the amount is acquired.

        Raises:
            ValueError: the amount is below 0 or above `max_rate`.
        """
        if not 0 <= amount <= self.max_rate:
            raise ValueError(f"amount: expected a number from 0 to {self.max_rate}, got {amount!r}")
        loop = self._running_loop()
        units = min(self._units(amount), self._capacity)
        is_next = not self._waiters or units < self._waiters[0].units
        if units == 0 or (is_next and self._limiter.hit(KEY, units).allowed):
            return
        waiter = _Waiter(units, next(self._numbers), loop.create_future())
        insort(self._waiters, waiter)
        self._serve()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif waiter.turn.done() and not waiter.turn.cancelled():
                self._limiter.refund(KEY, units)
            self._serve()
            raise

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def clear(self) -> None:
        """Forget what was acquired, for tests."""
        self._limiter.clear()
        if self._waiters:
            self._serve()

    def _units(self, amount: float) -> int:
        if type(amount) is int:
            return amount * self._parts
        return ceil(Fraction(str(amount)) * self._parts) if amount < float("inf") else self._capacity + 1

    def _serve(self) -> None:
        """Let the waiters pass for which there is room, and come back when there is room for the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiters and self._loop is not None:
            waiter = self._waiters[0]
            decision = self._limiter.hit(KEY, waiter.units)
            if not decision.allowed:
                self._timer = self._loop.call_later(decision.retry_after, self._serve)
                return
            self._waiters.pop(0)
            if not waiter.turn.done():
                waiter.turn.set_result(None)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None:
                message = "AsyncLimiter: used in another event loop than before, whose waiting tasks it forgets"
                warnings.warn(message, RuntimeWarning, stacklevel=3)
            self._loop, self._timer = loop, None
            self._waiters.clear()
        return loop
