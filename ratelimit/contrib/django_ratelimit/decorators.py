"""The decorator of views, sync and async."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpRequest
from django.utils.module_loading import import_string

from ..django import is_async
from . import ALL, UNSAFE
from .core import Usage, aget_usage, get_usage, split_rate
from .exceptions import Ratelimited

__all__ = ["ratelimit"]

View = TypeVar("View", bound=Callable[..., Any])


def ratelimit(
    group: str | None = None, key: Any = None, rate: Any = None, method: Any = ALL, block: bool = True
) -> Callable[[View], View]:
    """Return a decorator that counts the requests to a view, sync or async, and sets `request.limited`.

    Args:
        group, key, rate, method: as for `get_usage`. The functions of an async view may be coroutine functions.
        block: raise RATELIMIT_EXCEPTION_CLASS, by default Ratelimited, beyond the limit.

    Raises:
        ImproperlyConfigured: the rate cannot be read.
    """
    if isinstance(rate, str) and "." not in rate:
        split_rate(rate)

    def decorate(view: Any) -> Any:
        arguments = {"group": group, "fn": view, "key": key, "rate": rate, "method": method, "increment": True}

        if is_async(view):

            @wraps(view)
            async def asynchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                _note(request, await aget_usage(request, **arguments), block)
                return await view(request, *args, **kwargs)

            return asynchronous

        @wraps(view)
        def synchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            _note(request, get_usage(request, **arguments), block)
            return view(request, *args, **kwargs)

        return synchronous

    return decorate


setattr(ratelimit, "ALL", ALL)  # noqa: B010  (for the type checker)
setattr(ratelimit, "UNSAFE", UNSAFE)  # noqa: B010


def _note(request: HttpRequest, usage: Usage | None, block: bool) -> None:
    """Set `request.limited`, which stays set if an outer decorator has set it."""
    limited = usage is not None and usage["should_limit"]
    request.limited = limited or getattr(request, "limited", False)
    if limited and block:
        named = getattr(settings, "RATELIMIT_EXCEPTION_CLASS", Ratelimited)
        error = (import_string(named) if isinstance(named, str) else named)()
        if isinstance(error, Ratelimited) and usage is not None and usage["time_left"] >= 0:
            error.retry_after = usage["time_left"]
        raise error
