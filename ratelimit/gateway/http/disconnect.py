"""Clients that disconnect before their answer has come."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from .errors import ClientDisconnected
from .request import Receive, Request

T = TypeVar("T")
DELAY = 0.05  # seconds before a client is watched: most answers come sooner, and cost no task


async def unless_disconnected(request: Request, work: Awaitable[T], at_once: bool = False) -> T:
    """Return the result of some work, which is cancelled when the client disconnects.

    Args:
        request: of the client. It is watched once its body has been read, since only one task may receive.
        work: what to wait for.
        at_once: watch from now on, since no other task receives.

    Raises: ClientDisconnected.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    before, is_disconnected = task.cancelling(), False
    timer: asyncio.TimerHandle | None = None
    watcher: asyncio.Task[None] | None = None

    def cancel_work(watcher: asyncio.Task[None]) -> None:
        nonlocal is_disconnected
        if not watcher.cancelled():
            is_disconnected = True
            task.cancel()

    def watch() -> None:
        nonlocal timer, watcher
        if at_once or request.complete:
            watcher = loop.create_task(wait_for_disconnect(request.receive))
            watcher.add_done_callback(cancel_work)
        else:
            timer = loop.call_later(DELAY, watch)

    timer = loop.call_later(0 if at_once else DELAY, watch)
    try:
        return await work
    except asyncio.CancelledError:
        if is_disconnected and task.uncancel() <= before:
            raise ClientDisconnected from None
        raise
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the client has disconnected. Sending does not show it, and a backend may go on forever."""
    while (await receive())["type"] != "http.disconnect":
        pass
