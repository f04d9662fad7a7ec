"""Calling a function of an event, and of a context if it takes one."""

import inspect
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from ..http.request import Request
from .pool import FunctionPool
from .runner import Context


class Function(Protocol):
    """A function, wherever it runs."""

    async def invoke(self, event: dict[str, Any], timeout: float, request: Request) -> Any:
        """Return its result.

        Args:
            event: what it is called with.
            timeout: seconds that it may take.
            request: for which it is called.

        Raises: TimeoutError after so many seconds; Refusal where it cannot be called; any other exception of the
            function itself.
        """


class LocalFunction:
    """A function in the process of the gateway.

    Args:
        function: of an event, or of an event and a context; or its name as "package.module:name".
        pool: bounds its calls.

    Raises: ValueError when it cannot be loaded.
    """

    def __init__(self, function: Callable[..., Any] | str, pool: FunctionPool) -> None:
        self._function = load_function(function)
        self._takes_context = takes_context(self._function)
        self._name = getattr(self._function, "__name__", "function").strip("<>")
        self._pool = pool

    async def invoke(self, event: dict[str, Any], timeout: float, request: Request) -> Any:
        arguments: tuple[Any, ...] = (event,)
        if self._takes_context:
            arguments = event, Context(self._name, time.monotonic() + timeout)
        return await self._pool.call(self._function, arguments, timeout)


class BoundedFunction:
    """A function elsewhere, whose calls count in a pool.

    Args:
        function: what is called.
        pool: bounds its calls.
    """

    def __init__(self, function: Function, pool: FunctionPool) -> None:
        self._function = function
        self._pool = pool

    async def invoke(self, event: dict[str, Any], timeout: float, request: Request) -> Any:
        with self._pool.place():
            return await self._function.invoke(event, timeout, request)


def takes_context(function: Callable[..., Any]) -> bool:
    """Whether a function takes two arguments by position."""
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # one without a signature
        return True
    return True


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
