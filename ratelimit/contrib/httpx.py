"""Transports for httpx whose requests wait for their turn.

client = httpx.Client(transport=RateLimitTransport("10/second"))
"""

from collections.abc import Callable, Mapping
from typing import Any

import httpx

from ._outgoing import Cost, Outgoing
from ._policy import Key


def _host(request: httpx.Request) -> str:
    return request.url.netloc.decode("ascii")


def _repeatable(request: httpx.Request) -> bool:
    return isinstance(request.stream, httpx.ByteStream)


class _Limited:
    """The arguments and the limit of both transports."""

    def __init__(
        self,
        limit: Any,
        *,
        key: Callable[[httpx.Request], Key] | None = None,
        cost: Cost | Callable[[httpx.Request], Cost] = 1,
        used: Callable[[httpx.Response], Mapping[str, int] | None] | None = None,
        timeout: float | None = None,
        retries: int = 0,
        obey: bool = True,
        shared: str | None = None,
        transport: Any = None,
        clock: Any = None,
        max_keys: int | None = None,
    ) -> None:
        self._outgoing = Outgoing(
            limit, _host, key=key, cost=cost, used=used, timeout=timeout, retries=retries, obey=obey, shared=shared,
            clock=clock, max_keys=max_keys,
        )  # fmt: skip
        self._transport = transport

    def clear(self) -> None:
        """Forget all keys, for tests."""
        self._outgoing.clear()


class RateLimitTransport(_Limited, httpx.BaseTransport):
    """Send requests in their turn, first come first served.

    Args:
        limit: a text such as "10/second", a limiter, a Budget, or a function of the request that returns one of them,
            or None for no limit.
        key: a function of the request that returns what is limited; by default the host and the port.
        cost: a whole number, or for a Budget the estimates, such as `{"tokens": 1_200}`; or a function of the
            request that returns it.
        used: a function of the answer that returns what was used of a Budget, such as `{"tokens": 812}`, or None to
            leave the estimates. It is not called for a stream of events.
        timeout: seconds; if a request would have to wait for longer, it raises WaitTimeout at once.
        retries: how often a request is sent again that the server refused with 429 or 503 and Retry-After.
        obey: send nothing as long as Retry-After or RateLimit of an answer asks, at most for a day.
        shared: a name in shared memory. With it, all processes of the host count together, and obey together.
        transport: what sends the requests; by default an HTTPTransport.
        clock, max_keys: as for every limiter.
    """

    def __init__(self, limit: Any, *, transport: httpx.BaseTransport | None = None, **options: Any) -> None:
        super().__init__(limit, transport=httpx.HTTPTransport() if transport is None else transport, **options)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        turn = self._outgoing.turn(request)
        while True:
            turn.wait()
            response: httpx.Response = self._transport.handle_request(request)
            if turn.settles(response.headers):
                response.read()
                turn.settle(response)
            if not turn.comes_again(response.status_code, response.headers, _repeatable(request)):
                return response
            response.close()

    def close(self) -> None:
        self._transport.close()


class AsyncRateLimitTransport(_Limited, httpx.AsyncBaseTransport):
    """Do what RateLimitTransport does, for httpx.AsyncClient. The arguments are the same."""

    def __init__(self, limit: Any, *, transport: httpx.AsyncBaseTransport | None = None, **options: Any) -> None:
        super().__init__(limit, transport=httpx.AsyncHTTPTransport() if transport is None else transport, **options)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        turn = self._outgoing.turn(request)
        while True:
            await turn.wait_async()
            response: httpx.Response = await self._transport.handle_async_request(request)
            if turn.settles(response.headers):
                await response.aread()
                turn.settle(response)
            if not turn.comes_again(response.status_code, response.headers, _repeatable(request)):
                return response
            await response.aclose()

    async def aclose(self) -> None:
        await self._transport.aclose()
