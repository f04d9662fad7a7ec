"""How often a request was made in the current window: `get_usage` and `is_ratelimited`, sync and async."""

import re
from collections.abc import Callable, Generator
from functools import lru_cache
from inspect import isawaitable
from ipaddress import ip_address, ip_network
from math import ceil
from typing import Any, TypedDict

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.module_loading import import_string

from ..._core import Limiter
from ..._limiter.decision import Decision
from .._addresses import UNKNOWN
from .._policy import Ruling
from .._windows import LARGEST_EPOCH, LARGEST_FIRST, cached_quota
from ..django import clear, client_address, configured, configured_for_drop_ins, view_name
from . import ALL, UNSAFE

__all__ = ["aget_usage", "ais_ratelimited", "clear", "get_usage", "is_ratelimited"]

RATE = re.compile(r"(\d+)/(\d*)([smhd]?)[a-z]*", re.ASCII | re.IGNORECASE)
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Usage(TypedDict):
    """How often a request was made, with this one if it was counted.

    Attributes:
        count: at most one more than the limit.
        time_left: seconds until the window ends.
    """

    count: int
    limit: int
    should_limit: bool
    time_left: int


FAILED: Usage = {"count": 0, "limit": 0, "should_limit": True, "time_left": -1}


def get_usage(
    request: HttpRequest,
    group: str | None = None,
    fn: Callable[..., Any] | None = None,
    key: Any = None,
    rate: Any = None,
    method: Any = ALL,
    increment: bool = False,
) -> Usage | None:
    """Return how often a request was made in the current window; None if it is not limited.

    Args:
        request: the request.
        group: a name for what is limited; by default that of the view.
        fn: the view.
        key: "ip", "user", "user_or_ip", "get:NAME", "post:NAME", "header:NAME", a function of the group and the
            request, or the dotted path of one.
        rate: text such as "5/m" or "10/30s", a pair of a number and seconds, a function of the group and the request
            that returns one of these or None for no limit, or the dotted path of one. "0/s" refuses everything.
        method: a method or a list of methods; other requests are not limited.
        increment: count this request.

    Raises:
        ImproperlyConfigured: an argument is missing or not possible.
    """
    steps = _usage(request, group, fn, key, rate, method, increment)
    value = None
    try:
        while True:
            value = steps.send(value)
            if isawaitable(value):
                getattr(value, "close", bool)()
                raise TypeError("key, rate: expected functions, got a coroutine function; use aget_usage")
    except StopIteration as end:
        usage: Usage | None = end.value
        return usage


async def aget_usage(
    request: HttpRequest,
    group: str | None = None,
    fn: Callable[..., Any] | None = None,
    key: Any = None,
    rate: Any = None,
    method: Any = ALL,
    increment: bool = False,
) -> Usage | None:
    """Do as `get_usage` in a coroutine. The functions may be coroutine functions."""
    steps = _usage(request, group, fn, key, rate, method, increment, user=_user_async)
    value = None
    try:
        while True:
            value = steps.send(value)
            value = await value if isawaitable(value) else value
    except StopIteration as end:
        usage: Usage | None = end.value
        return usage


def is_ratelimited(*args: Any, **kwargs: Any) -> bool:
    """Return whether a request is beyond the limit; the arguments are those of `get_usage`."""
    usage = get_usage(*args, **kwargs)
    return usage is not None and usage["should_limit"]


async def ais_ratelimited(*args: Any, **kwargs: Any) -> bool:
    """Do as `is_ratelimited` in a coroutine."""
    usage = await aget_usage(*args, **kwargs)
    return usage is not None and usage["should_limit"]


for _function in (get_usage, aget_usage, is_ratelimited, ais_ratelimited):
    setattr(_function, "ALL", ALL)  # noqa: B010  (for the type checker)
    setattr(_function, "UNSAFE", UNSAFE)  # noqa: B010


def _user(request: HttpRequest) -> Any:
    return request.user


def _user_async(request: HttpRequest) -> Any:
    """Return the user, or a coroutine that reads it: `request.user` must not ask a database in a coroutine."""
    return request.auser() if hasattr(request, "auser") else request.user


def _usage(
    request: HttpRequest,
    group: str | None,
    fn: Any,
    key: Any,
    rate: Any,
    method: Any,
    increment: bool,
    user: Callable[[HttpRequest], Any] = _user,
) -> Generator[Any, Any, Usage | None]:
    """Yield what may have to be awaited, and return the usage."""
    if group is None and fn is None:
        raise ImproperlyConfigured("get_usage: missing required argument: group or fn")
    if not getattr(settings, "RATELIMIT_ENABLE", True) or not configured().enabled:
        return None
    methods = () if method in (ALL, None) else tuple(sorted(map(str.upper, _listed(method))))
    if methods and request.method not in methods:
        return None
    group = view_name(fn) if group is None else group
    function = _imported(rate)
    numbers = split_rate((yield function(group, request)) if callable(function) else rate)
    if numbers is None:
        return None
    limit, period = numbers
    value = yield from _value(key, group, request, user)
    return _count(f"{group}:{limit}:{','.join(methods)}:{value}", limit, period, increment)


def _value(key: Any, group: str, request: HttpRequest, user: Callable[[HttpRequest], Any]) -> Generator[Any, Any, Any]:
    if not key:
        raise ImproperlyConfigured("key: missing; expected 'ip', 'user', 'user_or_ip', 'header:NAME' or a function")
    if key == "ip":
        return address(request)
    if key in ("user", "user_or_ip"):
        found = yield user(request)
        return str(found.pk) if key == "user" or found.is_authenticated else address(request)
    if not callable(key):
        place, colon, name = key.partition(":")
        if colon and place == "header":
            return request.META.get("HTTP_" + name.replace("-", "_").upper(), "")
        if colon and place in ("get", "post"):
            return getattr(request, place.upper()).get(name, "")
    function = _imported(key)
    if not callable(function):
        raise ImproperlyConfigured(
            "key: expected 'ip', 'user', 'user_or_ip', 'get:NAME', 'post:NAME', 'header:NAME' or a function, "
            f"got {key!r}"
        )
    return (yield function(group, request))


def split_rate(rate: Any) -> tuple[int, int] | None:
    """Return the number of requests and the period in seconds; None for no limit.

    Raises:
        ImproperlyConfigured: it is not a rate.
    """
    if rate is None:
        return None
    found = RATE.fullmatch(rate) if isinstance(rate, str) else None
    if found is not None:
        rate = int(found[1]), int(found[2] or 1) * SECONDS[found[3].lower()]
    if not isinstance(rate, tuple) or len(rate) != 2 or rate[0] < 0 or rate[1] <= 0:
        raise ImproperlyConfigured(f"rate: expected text such as '5/m' or '10/30s' or two numbers, got {rate!r}")
    return rate


def _count(key: str, limit: int, period: int, increment: bool) -> Usage | None:
    """Count one request. Refused requests count as well, up to one: so a request that is not counted sees a refusal."""
    counts = configured_for_drop_ins()
    first = limit < LARGEST_FIRST
    text = f"fixed-window {LARGEST_FIRST if first else LARGEST_EPOCH}/{period}s{' anchor first' if first else ''}"
    limiter = counts.limiters.get(text, "django-ratelimit")
    assert isinstance(limiter, Limiter)
    quota = cached_quota(limit + 1, period)

    def decide(cost: int) -> Decision:
        return limiter.hit(key, cost, quota=quota) if increment else limiter.peek(key, cost, quota=quota)

    ruling: Ruling = counts.guard.decide(limiter, key, hit=decide)
    if ruling.decision is None:
        return None if getattr(settings, "RATELIMIT_FAIL_OPEN", False) else FAILED
    count = limit + 1 - ruling.decision.remaining
    left = ceil(ruling.decision.reset_after) if count else period
    return {
        "count": count,
        "limit": limit,
        "should_limit": count > limit and not counts.guard.shadow,
        "time_left": left,
    }


def address(request: HttpRequest) -> str:
    """Return the client's network: its address with RATELIMIT_IPV4_MASK or RATELIMIT_IPV6_MASK.

    Raises:
        ImproperlyConfigured: the request has no address, as behind a proxy on a Unix socket.
    """
    source = getattr(settings, "RATELIMIT_IP_META_KEY", None)
    if not source and configured().addresses.trusts_any:
        return client_address(request)
    function = _imported(source)
    found = function(request) if callable(function) else request.META.get(source or "REMOTE_ADDR")
    if not found:
        raise ImproperlyConfigured(
            f"the request has no address in {source or 'REMOTE_ADDR'}: "
            "set RATELIMIT_IP_META_KEY, or trusted_proxies of RATELIMIT"
        )
    masks = getattr(settings, "RATELIMIT_IPV4_MASK", 32), getattr(settings, "RATELIMIT_IPV6_MASK", 64)
    return _network(str(found)[:64], *masks)


@lru_cache(10_000)
def _network(text: str, ipv4_mask: int, ipv6_mask: int) -> str:
    try:
        found = ip_address(text)
    except ValueError:
        return UNKNOWN  # such clients share a limit
    mask = ipv6_mask if found.version == 6 else ipv4_mask
    return str(ip_network(f"{found}/{mask}", strict=False).network_address)


def _listed(methods: Any) -> list[str]:
    return list(methods) if isinstance(methods, (list, tuple, set, frozenset)) else [methods]


def _imported(value: Any) -> Any:
    """Return the function of a dotted path, or the value itself."""
    return import_string(value) if isinstance(value, str) and "." in value else value
