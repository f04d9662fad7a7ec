"""Limits as dependencies of FastAPI routes, routers and applications.

    @app.get("/search", dependencies=[Depends(RateLimit("5/minute"))], responses=RESPONSES)

Several of them on one route are one decision: a request that one of them refuses spends nothing at the others.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from math import ceil, inf
from typing import Any

from fastapi import HTTPException, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.requests import HTTPConnection

from .._core import Limiter
from .._limiter.headers import Style
from ..limiters.composite import MAX_LIMITS, All
from ..quota import Quota
from ._addresses import ClientAddress
from ._answers import TITLES
from ._policy import AnyLimiter, Key, Ruling, check_function, check_own, resolved
from ._rules import Counts

RESPONSES: dict[int | str, dict[str, Any]] = {
    429: {
        "description": "Too Many Requests",
        "headers": {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
    }
}
"""For the `responses=` of a route, a router or an application, whose OpenAPI description then has the 429."""

_RULINGS = "ratelimit.contrib.fastapi"  # in the scope: the rulings of the request so far


class RateLimit:
    """A dependency that limits the routes it is given to, HTTP and WebSocket.

    Args:
        limit: a text such as "5/minute; 100/hour", a limiter, or a function of the connection, sync or async, that
            returns either, or None for no limit.
        key: a function of the connection (`starlette.requests.HTTPConnection`), sync or async, that returns what is
            limited: str, bytes or int. By default the client's address. All routes with the same object share a limit.
        shared: a name in shared memory. With it, all worker processes of the host count together, and all dependencies
            with this name and limit.
        trusted_proxies: addresses and networks whose X-Forwarded-For is believed, and "unix" for a Unix socket.
        headers: "draft", "legacy" or None: the header fields of answers.
        shadow: admit all, and log what would be refused.
        fail_open: admit requests if the limiter fails; otherwise answer 503.
        clock, max_keys: as for every limiter.

    Raises:
        TypeError, ValueError: an argument is not possible.

    A refused request raises HTTPException(429), for the application's own handler. The fields are on refusals and on
    answers that FastAPI makes of a returned value; a Response that a route returns itself does not get them.
    """

    def __init__(
        self,
        limit: Any,
        *,
        key: Callable[[HTTPConnection], Any] | None = None,
        shared: str | None = None,
        trusted_proxies: Iterable[str] = (),
        headers: Style = "draft",
        shadow: bool = False,
        fail_open: bool = True,
        clock: Any = None,
        max_keys: int | None = None,
    ) -> None:
        check_function("key", key)
        check_own(limit, shared=shared, clock=clock, max_keys=max_keys)
        self._counts = Counts.make(
            shared=shared, headers=headers, shadow=shadow, fail_open=fail_open, clock=clock, max_keys=max_keys
        )
        self._limiters, self._guard, _ = self._counts
        self._limit_of: Callable[[HTTPConnection], Any] | None = limit if callable(limit) else None
        self._limiter = None if callable(limit) else self._limiters.get(limit)
        self._key = key
        self._client_address = ClientAddress(trusted_proxies)

    async def __call__(self, connection: HTTPConnection, response: Response) -> None:
        rulings: dict[RateLimit, Ruling | None] = connection.scope.setdefault(_RULINGS, {})
        if self not in rulings:
            rulings.update(await _decide(_neighbours(connection, self), connection))
        ruling = rulings[self]
        if ruling is None:
            return
        fields = self._counts.fields(ruling)
        if not ruling.allowed:
            await self.refuse(connection, response, ruling, dict(fields))
        for name, value in fields:
            response.headers[name] = value

    async def refuse(
        self, connection: HTTPConnection, response: Response, ruling: Ruling, fields: dict[str, str]
    ) -> None:
        """Answer a refused request. A subclass may raise an exception of its own."""
        raise HTTPException(ruling.status, TITLES[ruling.status], headers=fields)

    def clear(self) -> None:
        """Forget all keys, for tests. A limiter that was given as `limit` is cleared, too."""
        self._limiters.clear()
        if self._limiter is not None:
            self._limiter.clear()

    async def key_of(self, connection: HTTPConnection) -> Key:
        """Return what is limited."""
        if self._key is not None:
            key: Key = await resolved(self._key(connection))
            return key
        peer = connection.client
        return self._client_address(peer.host if peer else None, connection.headers.getlist("x-forwarded-for"))

    async def _limiter_of(self, connection: HTTPConnection) -> AnyLimiter | None:
        if self._limit_of is None:
            return self._limiter
        limit = await resolved(self._limit_of(connection))
        return None if limit is None else self._limiters.get(limit)


class RateLimiter(RateLimit):
    """The dependency of the package fastapi-limiter, version 0.1, which does not need Redis here.

    Args:
        times: requests in a period that starts with the first request of a key.
        milliseconds, seconds, minutes, hours: the period.
        identifier: a function of the connection, sync or async, that returns the key. By default the client's address
            and the path.
        callback: a function of the connection, the response and the milliseconds to wait, sync or async, that answers
            a refused request by raising an exception. By default HTTPException(429).
        options: as for RateLimit.
    """

    def __init__(
        self,
        times: int = 1,
        milliseconds: int = 0,
        seconds: int = 0,
        minutes: int = 0,
        hours: int = 0,
        identifier: Callable[[HTTPConnection], Any] | None = None,
        callback: Callable[[HTTPConnection, Response, int], Awaitable[Any] | Any] | None = None,
        **options: Any,
    ) -> None:
        period = Fraction(milliseconds, 1_000) + seconds + 60 * minutes + 3_600 * hours
        if period <= 0:
            raise ValueError("missing required period: give milliseconds, seconds, minutes or hours")
        check_function("callback", callback)
        super().__init__(f"fixed-window {Quota(times, period)} anchor first", key=identifier, **options)
        self._callback = callback

    async def key_of(self, connection: HTTPConnection) -> Key:
        key = await super().key_of(connection)
        return key if self._key is not None else f"{key!s}:{connection.scope['path']}"

    async def refuse(
        self, connection: HTTPConnection, response: Response, ruling: Ruling, fields: dict[str, str]
    ) -> None:
        if self._callback is not None and ruling.decision is not None:
            wait = ruling.decision.retry_after
            await resolved(self._callback(connection, response, ceil(wait * 1_000) if wait < inf else 0))
        await super().refuse(connection, response, ruling, fields)


def _neighbours(connection: HTTPConnection, limit: RateLimit) -> list[RateLimit]:
    """Return the limits that are decided together with this one: those beside it, without another dependency between.

    A dependency between two limits may set what the key of the second one reads, so that is decided after it.
    """
    route = connection.scope.get("route")
    overrides = getattr(connection.scope.get("app"), "dependency_overrides", {})
    calls = list(_calls(route.dependant)) if isinstance(route, (APIRoute, APIWebSocketRoute)) else []
    for are_limits, group in groupby(calls, lambda call: isinstance(call, RateLimit) and call not in overrides):
        together = list(dict.fromkeys(group))
        if are_limits and limit in together:
            return together
    return [limit]


def _calls(dependant: Dependant) -> Iterator[Any]:
    """Go through the dependencies in the order in which FastAPI calls them."""
    for dependency in dependant.dependencies:
        yield from _calls(dependency)
        yield dependency.call


async def _decide(limits: list[RateLimit], connection: HTTPConnection) -> dict[RateLimit, Ruling | None]:
    """Decide about a request by all these limits at once."""
    rulings: dict[RateLimit, Ruling | None] = dict.fromkeys(limits)
    together: list[tuple[RateLimit, AnyLimiter, Key]] = []
    for limit in limits:
        limiter = await limit._limiter_of(connection)
        if limiter is None:
            continue
        key = await limit.key_of(connection)
        if limit._guard.shadow:  # it refuses nothing, so it must not make the others refuse
            rulings[limit] = await limit._guard.decide_async(limiter, key)
        else:
            together.append((limit, limiter, key))
    parts = [(part, key) for _, limiter, key in together for part in getattr(limiter, "limiters", (limiter,))]
    if len(together) < 2 or len(parts) > MAX_LIMITS or len({id(part.clock) for part, _ in parts}) > 1:
        return rulings | {limit: await limit._guard.decide_async(limiter, key) for limit, limiter, key in together}
    combined = _combined(tuple(part for part, _ in parts))
    guard = next((limit._guard for limit, _, _ in together if not limit._guard.fail_open), together[0][0]._guard)
    bound = combined.bind([key for _, key in parts])
    if combined._is_remote:
        ruling = await guard.decide_async(combined, parts[0][1], hit=bound.hit_async)
    else:
        ruling = guard.decide(combined, parts[0][1], hit=bound.hit)
    return rulings | {limit: ruling for limit, _, _ in together}


@lru_cache(1_024)
def _combined(limiters: tuple[Limiter, ...]) -> All:
    return All(*limiters)
