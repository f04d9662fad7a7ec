"""Python functions that a configuration names: loading them and calling them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from importlib import import_module
from inspect import isawaitable, iscoroutinefunction
from threading import BoundedSemaphore
from typing import Any

from .http.errors import Refusal


class FunctionPool:
    """Calls functions, with a bound on those that run or wait; sync ones run in threads of the pool.

    Args:
        name: of the threads.
        threads: how many sync functions run at a time.
        max_calls: how many calls may run or wait. A call counts until its function has returned, also after a timeout.
    """

    def __init__(self, name: str, threads: int = 100, max_calls: int = 1_000) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(threads, name)
        self._free = BoundedSemaphore(max_calls)

    async def call(self, function: Callable[..., Any], event: dict[str, Any], timeout: float) -> Any:
        """Call a function of one event, so that other requests go on.

        Raises: TimeoutError after so many seconds; Refusal when too many calls run or wait; what the function raises.
        """
        if not self._free.acquire(blocking=False):
            raise Refusal("OVERLOADED", f"too many calls of a {self._name} run or wait")
        if iscoroutinefunction(function):
            try:
                async with asyncio.timeout(timeout):
                    return await function(event)
            finally:
                self._free.release()
        running = self._threads.submit(copy_context().run, function, event)
        running.add_done_callback(lambda _: self._free.release())
        async with asyncio.timeout(timeout):
            result = await asyncio.wrap_future(running)
            return await result if isawaitable(result) else result


# Each has its own, so that slow authorizers do not stop the functions, nor the other way round.
AUTHORIZERS = FunctionPool("authorizer")
FUNCTIONS = FunctionPool("function")


def load_function(function: Callable[..., Any] | str) -> Callable[..., Any]:
    """Return a function, or the one named as `"package.module:name"`.

    Raises: ValueError when it cannot be imported or is not callable.
    """
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    try:
        loaded = getattr(import_module(module), name)
    except Exception as error:  # its module runs, and may fail in any way
        raise ValueError(f"function {function!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if not callable(loaded):
        raise ValueError(f"function {function!r} is not callable")
    return loaded  # type: ignore[no-any-return]
