"""Python functions that a configuration names: loading them and calling them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from importlib import import_module
from inspect import isawaitable, iscoroutinefunction
from typing import Any

THREADS = ThreadPoolExecutor(100, "function")  # separate from the loop's own threads, which resolve names


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


async def call_function(function: Callable[..., Any], event: dict[str, Any], timeout: float) -> Any:
    """Call a function of one event; a sync one runs in a thread, so that other requests go on.

    Raises: TimeoutError after so many seconds, and whatever the function raises.
    """
    async with asyncio.timeout(timeout):
        if iscoroutinefunction(function):
            return await function(event)
        run = partial(copy_context().run, function, event)
        result = await asyncio.get_running_loop().run_in_executor(THREADS, run)
        return await result if isawaitable(result) else result
