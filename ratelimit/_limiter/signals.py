"""How a sleeping waiter is woken."""

import asyncio
from typing import Protocol


class Signal(Protocol):
    """The event that wakes a sleeping waiter."""

    def set(self) -> None: ...


async def sleep_by(clock: object, seconds: float) -> None:
    """Sleep by a clock that was given: by its own `sleep`, if it has one, and in its event loop."""
    sleep = getattr(clock, "sleep", None)
    if sleep is not None:
        sleep(seconds)
    await asyncio.sleep(0 if sleep is not None else seconds)


class AsyncSignal:
    """A threading.Event for one task; any thread may set it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    def set(self) -> None:
        if not self._loop.is_closed():  # a waiter of a closed loop leaves when its coroutine is collected
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float | None) -> None:
        timer = None if seconds is None else self._loop.call_later(seconds, self._event.set)
        try:
            await self._event.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._event.clear()
