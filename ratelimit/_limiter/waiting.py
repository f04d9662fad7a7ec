"""Waiting for one's turn: a reservation, and the sleep until it."""

import asyncio
import time
from typing import TYPE_CHECKING

from ..errors import CostExceedsLimit, TableFull, WaitTimeout
from ..quota import seconds_to_ns

if TYPE_CHECKING:
    from .._core import Limiter
    from ..composite import All
    from .reservation import Reservation


def wait(limiter: "Limiter | All", key: str | bytes | int, cost: int, timeout: float | None) -> None:
    place = _book(limiter, key, cost, timeout)
    sleep = getattr(limiter.clock, "sleep", time.sleep)
    try:
        while (left := _left(limiter, place)) > 0:
            sleep(left)
    except BaseException:
        place.cancel()
        raise


async def wait_async(limiter: "Limiter | All", key: str | bytes | int, cost: int, timeout: float | None) -> None:
    place = _book(limiter, key, cost, timeout)
    sleep = getattr(limiter.clock, "sleep", None)
    try:
        while (left := _left(limiter, place)) > 0:
            if sleep is None:
                await asyncio.sleep(left)
            else:
                sleep(left)
                await asyncio.sleep(0)
    except BaseException:
        place.cancel()
        raise


def _book(limiter: "Limiter | All", key: str | bytes | int, cost: int, timeout: float | None) -> "Reservation":
    if timeout is not None:
        seconds_to_ns(timeout, "timeout")  # an error about it should call it so
    place = limiter.reserve(key, cost, max_delay=timeout)
    if place:
        return place
    if place.delay_ns is None:
        raise CostExceedsLimit(f"cost {cost} for key {key!r} is more than {limiter!r} ever allows")
    if timeout is None or place.delay_ns <= seconds_to_ns(timeout, "timeout"):  # it was not for the time
        raise TableFull(f"no slot for key {key!r}: all it could take are live, the first for {place.delay:.9g} s more")
    raise WaitTimeout(f"key {key!r} has to wait {place.delay:.9g} s, longer than timeout={timeout!r}", place.delay)


def _left(limiter: "Limiter | All", place: "Reservation") -> float:
    """Seconds until the turn, by the limiter's own clock; rounded up, for a sleep that is not too short."""
    assert place.at_ns is not None  # it is booked
    left = place.at_ns - limiter.now_ns()
    return (left + 1) / 1e9 if left > 0 else 0.0
