"""A client middleware for aiohttp whose requests wait for their turn.

session = aiohttp.ClientSession(middlewares=[RateLimitMiddleware("10/second")])
"""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from ._outgoing import Cost, Outgoing
from ._policy import Key


def _host(request: ClientRequest) -> str:
    return f"{request.url.host}:{request.url.port}"


def _repeatable(request: ClientRequest) -> bool:
    return isinstance(getattr(request.body, "_value", request.body), (bytes, bytearray, str)) or not request.body


class RateLimitMiddleware:
    """Send the requests of a ClientSession in their turn, first come first served.

    Args:
        limit: a text such as "10/second", a limiter, a Budget, or a function of the ClientRequest that returns one of
            them, or None for no limit.
        key: a function of the ClientRequest that returns what is limited; by default the host and the port.
        cost: a whole number, or for a Budget the estimates, such as `{"tokens": 1_200}`; or a function of the
            ClientRequest that returns it.
        used: a function of the answer that returns what was used of a Budget, such as `{"tokens": 812}`, or None to
            leave the estimates. It is not called for a stream of events.
        timeout: seconds; if a request would have to wait for longer, it raises WaitTimeout at once.
        retries: how often a request is sent again that the server refused with 429 or 503 and Retry-After.
        obey: send nothing as long as Retry-After or RateLimit of an answer asks, at most for a day.
        shared: a name in shared memory. With it, all processes of the host count together, and obey together.
        clock, max_keys: as for every limiter.
    """

    def __init__(
        self,
        limit: Any,
        *,
        key: Callable[[ClientRequest], Key] | None = None,
        cost: Cost | Callable[[ClientRequest], Cost] = 1,
        used: Callable[[ClientResponse], Mapping[str, int] | None] | None = None,
        timeout: float | None = None,
        retries: int = 0,
        obey: bool = True,
        shared: str | None = None,
        clock: Any = None,
        max_keys: int | None = None,
    ) -> None:
        self._outgoing = Outgoing(
            limit, _host, key=key, cost=cost, used=used, timeout=timeout, retries=retries, obey=obey, shared=shared,
            clock=clock, max_keys=max_keys,
        )  # fmt: skip

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        turn = self._outgoing.turn(request)
        while True:
            await turn.wait_async()
            response = await handler(request)
            if turn.settles(response.headers):
                await response.read()
                turn.settle(response)
            if not turn.comes_again(response.status, response.headers, _repeatable(request)):
                return response
            response.release()

    def clear(self) -> None:
        """Forget all keys, for tests."""
        self._outgoing.clear()
