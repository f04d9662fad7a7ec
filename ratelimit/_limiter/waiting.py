"""Waiting for a turn: a reservation, and the sleep until it."""

import asyncio
import time
from typing import Any, Protocol

from .._engine.constants import NS_PER_SECOND
from ..errors import CostExceedsLimit, TableFull, WaitTimeout
from ..quota import seconds_to_ns
from .reservation import Reservation


class Waitable(Protocol):
    """A limiter, or several as one, as far as waiting needs it."""

    @property
    def clock(self) -> Any: ...
    def now_ns(self) -> int: ...
    def reserve(self, key: str | bytes | int, cost: int = 1, *, max_delay: float | None = None) -> Reservation: ...


def wait(limiter: Waitable, key: str | bytes | int, cost: int, timeout: float | None) -> None:
    """Book a turn and sleep until it; give it back if the sleep is interrupted."""
    place = _book(limiter, key, cost, timeout)
    sleep = getattr(limiter.clock, "sleep", time.sleep)
    try:
        while (left := _seconds_left(limiter, place)) > 0:
            sleep(left)
    except BaseException:
        place.cancel()
        raise


async def wait_async(limiter: Waitable, key: str | bytes | int, cost: int, timeout: float | None) -> None:
    """Do the same without blocking the event loop; give the turn back if the wait is cancelled."""
    place = _book(limiter, key, cost, timeout)
    sleep = getattr(limiter.clock, "sleep", None)
    try:
        while (left := _seconds_left(limiter, place)) > 0:
            if sleep is None:
                await asyncio.sleep(left)
            else:
                sleep(left)
                await asyncio.sleep(0)
    except BaseException:
        place.cancel()
        raise


def _book(limiter: Waitable, key: str | bytes | int, cost: int, timeout: float | None) -> Reservation:
    if timeout is not None:
        seconds_to_ns(timeout, "timeout")  # so that an error message names this argument, and not max_delay
    place = limiter.reserve(key, cost, max_delay=timeout)
    if place:
        return place
    if place.delay_ns is None:
        raise CostExceedsLimit(f"cost {cost} for key {key!r} is more than {limiter!r} ever allows")
    if timeout is None or place.delay_ns <= seconds_to_ns(timeout, "timeout"):  # the delay was not the reason
        raise TableFull(
            f"no slot for key {key!r}: every slot it could take has a live key, the first one for {place.delay:.9g} s"
        )
    raise WaitTimeout(f"key {key!r} has to wait {place.delay:.9g} s, longer than timeout={timeout!r}", place.delay)


def _seconds_left(limiter: Waitable, place: Reservation) -> float:
    """Return the time until the turn by the limiter's clock, rounded up so that no sleep is too short."""
    assert place.at_ns is not None  # it is booked
    left = place.at_ns - limiter.now_ns()
    return (left + 1) / NS_PER_SECOND if left > 0 else 0.0
