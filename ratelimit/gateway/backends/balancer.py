"""Several addresses of one backend, which take turns."""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing
from typing import NamedTuple

import httpcore

from ..http.body import BODY_MEMORY
from ..http.errors import Refusal
from ..http.headers import CONTROL, HOP_BY_HOP, REQUEST_ID, Headers, end_to_end
from ..http.request import Request
from ..http.response import NO_BODY, Response
from ..observability.meter import stopwatch_ns
from .address import Address

NOT_TO_CLIENTS = HOP_BY_HOP | {b"date", REQUEST_ID}
UNAVAILABLE = (502, 503, 504)  # statuses of a backend that counts as failed
MAX_BUFFERED = 65_536  # bytes of an answer that is read whole before it is passed on
CONNECTION_LOST = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


class Target(NamedTuple):
    """A request to a backend."""

    method: bytes
    path: bytes  # with the query, encoded
    headers: Headers
    body: "bytes | AsyncIterable[bytes]"
    client: str = ""  # its address
    host: bytes = b""  # in place of that of the backend


class Balancer:
    """Chooses the address of each request; an address that failed gets none for a while.

    An address fails when it cannot be reached, does not answer in time, or answers 502, 503 or 504.

    Args:
        addresses: at least one.
        max_fails: failures in a row after which an address is left out.
        fail_timeout: seconds for which it is left out.
    """

    def __init__(self, addresses: list[Address], max_fails: int, fail_timeout: float) -> None:
        self.addresses = addresses
        self._max_fails = max_fails
        self._fail_timeout = fail_timeout
        self._next = 0

    def order(self) -> list[Address]:
        """Return the addresses to try, the next in turn first; those that are down only if all are."""
        if len(self.addresses) == 1:
            return self.addresses
        up = [address for address in self.addresses if not address.rests]
        if not up:
            return sorted(self.addresses, key=lambda address: address.down_until)
        self._next = (self._next + 1) % len(up)
        return up[self._next :] + up[: self._next]

    def failed(self, address: Address) -> None:
        """Record a failure."""
        address.fails += 1
        if address.fails >= self._max_fails:
            address.fails, address.down_until = 0, time.monotonic() + self._fail_timeout

    async def send(self, target: Target, timeout: float) -> Response:
        """Return the answer of the first address that can be reached; raise a Refusal if all are unreachable.

        A request that may have reached a backend is not sent to another one, except a GET or HEAD without a body.
        """
        repeatable = target.method in (b"GET", b"HEAD") and target.body == b""
        problem: Exception | None = None
        address, began = self.addresses[0], stopwatch_ns()
        try:
            async with asyncio.timeout(timeout) as deadline:
                if not isinstance(target.body, bytes):
                    target = target._replace(body=without_waiting(target.body, deadline))
                order = self.order()
                for address in order * (2 if repeatable and len(self.addresses) == 1 else 1):
                    began = stopwatch_ns()
                    try:
                        return await self._ask(address, target, timeout, timeout / len(order), began)
                    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                        problem = error
                    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
                        problem = error
                        if not repeatable:
                            break
        except (TimeoutError, httpcore.TimeoutException) as error:
            if isinstance(error, TimeoutError):
                self.failed(address)
                address.record(began)
            raise Refusal("INTEGRATION_TIMEOUT", "no answer in time") from error
        raise Refusal("INTEGRATION_FAILURE", repr(problem)) from problem

    async def _ask(
        self, address: Address, target: Target, timeout: float, to_connect: float, began_ns: int
    ) -> Response:
        request = httpcore.Request(
            target.method,
            httpcore.URL(scheme=address.scheme, host=address.host, port=address.port, target=target.path),
            headers=[(b"host", target.host or address.authority), *target.headers],
            content=target.body,
            extensions={"timeout": {"connect": to_connect, "read": timeout, "write": timeout}},
        )
        try:
            status, headers, body = await address.pool.ask(request, target.client)
            assert not isinstance(body, bytes)
            if not 200 <= status <= 599:
                await body.aclose()
                raise httpcore.RemoteProtocolError(f"the status {status}")
            if CONTROL.search(b"".join(value for _, value in headers).decode("latin-1")):
                await body.aclose()
                raise httpcore.RemoteProtocolError("a control character in a header")
            coded = any(name.lower() == b"transfer-encoding" for name, _ in headers)
            headers = end_to_end(headers, NOT_TO_CLIENTS | {b"content-length"} if coded else NOT_TO_CLIENTS)
            empty = target.method == b"HEAD" or status in NO_BODY
            if empty or int(dict(headers).get(b"content-length", MAX_BUFFERED + 1)) <= MAX_BUFFERED:
                async with aclosing(body):
                    body = b"".join([chunk async for chunk in body])
        except httpcore.LocalProtocolError:  # an error of our own, before anything was sent
            raise
        except CONNECTION_LOST:
            self.failed(address)
            address.record(began_ns)
            raise
        address.record(began_ns, status)
        if status in UNAVAILABLE:
            self.failed(address)
        else:
            address.fails = 0
        return Response(status, headers, body)


async def without_waiting(body: AsyncIterable[bytes], deadline: asyncio.Timeout) -> AsyncIterator[bytes]:
    """Yield the pieces of a body, with the deadline of its backend suspended while the client is waited for."""
    pieces, clock = aiter(body), asyncio.get_running_loop().time
    while True:
        left = (deadline.when() or 0.0) - clock()
        deadline.reschedule(None)
        piece = await anext(pieces, None)
        deadline.reschedule(clock() + left)
        if piece is None:
            return
        yield piece


async def collect(request: Request, response: Response, limit: int) -> bytes:
    """Read the whole body of an answer to a request; a Refusal when it is larger than the limit or breaks off."""
    if isinstance(response.body, bytes):
        return response.body
    body = bytearray()
    try:
        async with aclosing(response.body):
            async for chunk in response.body:
                BODY_MEMORY.take(request, len(chunk))
                body += chunk
                if len(body) > limit:
                    raise Refusal("INTEGRATION_FAILURE", f"more than {limit} bytes")
    except CONNECTION_LOST as error:
        raise Refusal("INTEGRATION_FAILURE", repr(error)) from error
    return bytes(body)
