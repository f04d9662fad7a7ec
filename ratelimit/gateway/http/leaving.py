"""Clients that leave before their answer has come."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from .errors import ClientDisconnected
from .request import Receive, Request

T = TypeVar("T")
DELAY = 0.05  # seconds before a client is watched: most answers come sooner, and cost no task


async def unless_left(request: Request, work: Awaitable[T], at_once: bool = False) -> T:
    """Return the result of some work, which is cancelled when the client leaves.

    Args:
        request: of the client. It is watched once its body has been read, since only one task may receive.
        work: what to wait for.
        at_once: watch from now on, since no other task receives.

    Raises: ClientDisconnected.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    before, left = task.cancelling(), False
    timer: asyncio.TimerHandle | None = None
    watcher: asyncio.Task[None] | None = None

    def leave(watcher: asyncio.Task[None]) -> None:
        nonlocal left
        if not watcher.cancelled():
            left = True
            task.cancel()

    def watch() -> None:
        nonlocal timer, watcher
        if at_once or request.complete:
            watcher = loop.create_task(disconnected(request.receive))
            watcher.add_done_callback(leave)
        else:
            timer = loop.call_later(DELAY, watch)

    timer = loop.call_later(0 if at_once else DELAY, watch)
    try:
        return await work
    except asyncio.CancelledError:
        if left and task.uncancel() <= before:
            raise ClientDisconnected from None
        raise
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()


async def disconnected(receive: Receive) -> None:
    """Wait until the client is gone. Sending does not show it, and a backend may go on forever."""
    while (await receive())["type"] != "http.disconnect":
        pass
