"""Limits on the calls of a function: the decorator `limiter.limited(...)`."""

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Protocol

from ..errors import LimitExceeded
from .decision import Decision

UNSET: Any = ...  # without a default, a refused call raises LimitExceeded; a literal, so that the signature can be read


class Limiting(Protocol):
    """A limiter, or several as one, as far as its decorator needs it."""

    def hit(self, key: Any, cost: int = 1) -> Decision: ...
    def wait(self, key: Any, cost: int = 1, timeout: Any = None) -> None: ...
    def wait_async(self, key: Any, cost: int = 1, timeout: Any = None) -> Coroutine[Any, Any, None]: ...


def limit_calls(
    limiter: Limiting,
    key: Callable[..., Any] | None,
    cost: int | Callable[..., int],
    wait: bool,
    timeout: Any,
    default: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the decorator, see `Limiter.limited`."""
    if key is not None and not callable(key):
        raise TypeError(f"key: expected a function of the call's arguments, got {key!r}")
    if wait and default is not UNSET:
        raise ValueError(f"default: expected no default for calls that wait, got {default!r}")
    if timeout is not None and not wait:
        raise ValueError(f"timeout: expected wait=True, got timeout={timeout!r} alone")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        name = f"{function.__module__}.{function.__qualname__}"

        def request(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, int]:
            return (
                name if key is None else key(*args, **kwargs),
                cost(*args, **kwargs) if callable(cost) else cost,
            )

        def admits(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
            decision = limiter.hit(*request(args, kwargs))
            if not decision.allowed and default is UNSET:
                raise LimitExceeded(f"{name}: refused by {decision.limiter}", decision.retry_after)
            return decision.allowed

        if iscoroutinefunction(function):

            @wraps(function)
            async def limited_coroutine(*args: Any, **kwargs: Any) -> Any:
                if wait:
                    await limiter.wait_async(*request(args, kwargs), timeout)
                elif not admits(args, kwargs):
                    return default
                return await function(*args, **kwargs)

            return limited_coroutine

        @wraps(function)
        def limited(*args: Any, **kwargs: Any) -> Any:
            if wait:
                limiter.wait(*request(args, kwargs), timeout)
            elif not admits(args, kwargs):
                return default
            return function(*args, **kwargs)

        return limited

    return decorate
