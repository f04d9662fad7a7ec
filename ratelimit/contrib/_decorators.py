"""The decorators of the abandoned package ratelimit, which are also imported as `from ratelimit import limits`.

@sleep_and_retry
@limits(calls=15, period=900)
def call_api(): ...
"""

import asyncio
import time
from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, cast

from .._engine.constants import NS_PER_SECOND
from ..limiters.algorithms import FixedWindow
from ..quota import Quota
from ._windows import ZERO_NS


class RateLimitException(Exception):
    """A function was called too often.

    Attributes:
        period_remaining: seconds until a call is admitted.
    """

    def __init__(self, message: str, period_remaining: float) -> None:
        super().__init__(message)
        self.period_remaining = period_remaining


class _SecondsClock:
    """A function that returns seconds, as the clock of a limiter."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._zero = seconds()

    def now_ns(self) -> int:
        return ZERO_NS + max(0, int((self._seconds() - self._zero) * NS_PER_SECOND))


class RateLimitDecorator:
    """Limit the calls of a function: at most `calls` in a period that starts with its first call.

    Args:
        calls: a number, of which the whole part counts, and at least 1.
        period: seconds.
        clock: a function that returns seconds.
        raise_on_limit: raise RateLimitException beyond the limit; otherwise return None.
        key: a function of the call's arguments. Each key has a limit of its own.
    """

    def __init__(
        self,
        calls: float = 15,
        period: float = 900,
        clock: Callable[[], float] | None = None,
        raise_on_limit: bool = True,
        key: Callable[..., str | bytes | int] | None = None,
    ) -> None:
        self._limiter = FixedWindow(
            Quota(max(1, int(calls)), Fraction(str(period))),
            anchor="first",
            max_keys=1 if key is None else None,
            clock=None if clock is None else _SecondsClock(clock),
        )
        self._raise = raise_on_limit
        self._key = key

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if iscoroutinefunction(function):

            @wraps(function)
            async def limited_coroutine(*args: Any, **kwargs: Any) -> Any:
                return await function(*args, **kwargs) if self._admits(args, kwargs) else None

            limited: Any = limited_coroutine
        else:

            @wraps(function)
            def limited_function(*args: Any, **kwargs: Any) -> Any:
                return function(*args, **kwargs) if self._admits(args, kwargs) else None

            limited = limited_function
        limited.clear = self.clear
        return cast(Callable[..., Any], limited)

    def clear(self) -> None:
        """Forget all calls, for tests. A decorated function has this method, too."""
        self._limiter.clear()

    def _admits(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        decision = self._limiter.hit("" if self._key is None else self._key(*args, **kwargs))
        if not decision.allowed and self._raise:
            raise RateLimitException("too many calls", decision.retry_after)
        return decision.allowed


def sleep_and_retry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Call a limited function again after the time that its RateLimitException names, until a call is admitted."""
    if iscoroutinefunction(function):

        @wraps(function)
        async def retrying_coroutine(*args: Any, **kwargs: Any) -> Any:
            while True:
                try:
                    return await function(*args, **kwargs)
                except RateLimitException as error:
                    await asyncio.sleep(error.period_remaining)

        return retrying_coroutine

    @wraps(function)
    def retrying(*args: Any, **kwargs: Any) -> Any:
        while True:
            try:
                return function(*args, **kwargs)
            except RateLimitException as error:
                time.sleep(error.period_remaining)

    return retrying


limits = rate_limited = RateLimitDecorator
