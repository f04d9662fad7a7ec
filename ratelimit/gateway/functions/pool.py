"""A bound on the calls of Python functions."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from inspect import isawaitable, iscoroutinefunction
from threading import BoundedSemaphore
from typing import Any

from ..http.errors import Refusal


class FunctionPool:
    """Calls functions, with a bound on those that run or wait; sync ones run in threads of the pool.

    Args:
        name: of the threads.
        threads: how many sync functions run at a time.
        max_calls: how many calls may run or wait. A call counts until its function has returned, also after a timeout.
    """

    def __init__(self, name: str, threads: int = 100, max_calls: int = 1_000) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(threads, name, _give_loop)
        self._free = BoundedSemaphore(max_calls)

    async def call(self, function: Callable[..., Any], arguments: tuple[Any, ...], timeout: float) -> Any:
        """Call a function, so that other requests go on.

        Raises: TimeoutError after so many seconds; Refusal when too many calls run or wait; what the function raises.
        """
        if not self._free.acquire(blocking=False):
            raise Refusal("OVERLOADED", f"too many calls of a {self._name} run or wait")
        if iscoroutinefunction(function):
            try:
                async with asyncio.timeout(timeout):
                    return await function(*arguments)
            finally:
                self._free.release()
        running = self._threads.submit(copy_context().run, function, *arguments)
        running.add_done_callback(lambda _: self._free.release())
        async with asyncio.timeout(timeout):
            result = await asyncio.wrap_future(running)
            return await result if isawaitable(result) else result


def _give_loop() -> None:
    """Give a thread an event loop, as the main thread of a Lambda function has: Mangum and others ask for it."""
    asyncio.set_event_loop(asyncio.new_event_loop())


# Each has its own, so that slow authorizers do not stop the functions, nor the other way round.
AUTHORIZERS = FunctionPool("authorizer")
FUNCTIONS = FunctionPool("function")
