"""HTTP backends: connections that are kept, addresses that take turns, and headers that may pass."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing
from typing import NamedTuple

import httpcore

from ..backends.pool import Pool
from ..exchange import Refusal, Response
from ..templates.transform import CONTROL, HOP_BY_HOP, Headers, one_name

NOT_TO_CLIENTS = HOP_BY_HOP | {b"date"}
NOT_TO_BACKENDS = HOP_BY_HOP | {
    b"content-length", b"expect", b"forwarded", b"host", b"x-real-ip",
}  # fmt: skip
SMALL = 65_536  # bytes of an answer that is read whole before it is passed on
PORTS = {"http": 80, "https": 443}
LOST = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


class Target(NamedTuple):
    """Where one request goes."""

    method: bytes
    path: bytes  # with the query, encoded
    headers: Headers
    body: "bytes | AsyncIterable[bytes]"


class Address:
    """One origin of backends, with its connections and how it has been doing. Kept over reloads."""

    def __init__(self, scheme: str, host: str, port: int, verify: bool) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.context = context = ssl.create_default_context() if scheme == "https" else None
        if context is not None and not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.pool = Pool(scheme, host, port, context)
        named = f"[{host}]" if ":" in host else host
        self.authority = (named if port == PORTS[scheme] else f"{named}:{port}").encode()
        self.fails = 0
        self.down_until = 0.0

    async def close(self) -> None:
        """Close the connections, once no request needs them."""
        while self.pool.busy:
            await asyncio.sleep(1)
        await self.pool.close()


class Addresses:
    """All origins that are in use, by name, so that a reload finds their connections."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int, bool], Address] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, scheme: str, host: str, port: int, verify: bool) -> Address:
        label = (scheme, host, port, verify)
        if label not in self._known:
            self._known[label] = Address(*label)
        return self._known[label]

    async def keep(self, used: Iterable[Address]) -> None:
        """Close those that are not used, each when its last request is done."""
        kept = set(used)
        for label, address in list(self._known.items()):
            if address not in kept:
                task = asyncio.create_task(self._known.pop(label).close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        for address in self._known.values():
            await address.pool.close()


class Balancer:
    """Several addresses that take turns; those that failed wait.

    Args:
        addresses: at least one.
        max_fails, fail_timeout: see Proxy.
    """

    def __init__(self, addresses: list[Address], max_fails: int, fail_timeout: float) -> None:
        self.addresses = addresses
        self._max_fails = max_fails
        self._fail_timeout = fail_timeout
        self._next = 0

    def order(self) -> list[Address]:
        """The addresses to try, the next in turn first; all that are down only when none is up."""
        if len(self.addresses) == 1:
            return self.addresses
        up = [address for address in self.addresses if address.down_until <= time.monotonic()]
        if not up:
            return sorted(self.addresses, key=lambda address: address.down_until)
        self._next = (self._next + 1) % len(up)
        return up[self._next :] + up[: self._next]

    def failed(self, address: Address) -> None:
        """One failure more; after `max_fails` in a row the address is left out for a while."""
        address.fails += 1
        if address.fails >= self._max_fails:
            address.fails, address.down_until = 0, time.monotonic() + self._fail_timeout

    async def send(self, target: Target, timeout: float) -> Response:
        """The answer of the first address that can be reached; a Refusal when there is none.

        A request that may have reached a backend is not sent to another, but for a GET or HEAD without a body.
        """
        again = target.method in (b"GET", b"HEAD") and target.body == b""
        problem: Exception | None = None
        try:
            async with asyncio.timeout(timeout) as deadline:
                if not isinstance(target.body, bytes):
                    target = target._replace(body=unhurried(target.body, deadline))
                order = self.order()
                for address in order * (2 if again and len(self.addresses) == 1 else 1):
                    try:
                        return await self._ask(address, target, timeout, timeout / len(order))
                    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                        problem = error
                    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
                        problem = error
                        if not again:
                            break
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise Refusal("INTEGRATION_TIMEOUT", "no answer in time") from error
        raise Refusal("INTEGRATION_FAILURE", repr(problem)) from problem

    async def _ask(self, address: Address, target: Target, timeout: float, to_connect: float) -> Response:
        request = httpcore.Request(
            target.method,
            httpcore.URL(scheme=address.scheme, host=address.host, port=address.port, target=target.path),
            headers=[(b"host", address.authority), *target.headers],
            content=target.body,
            extensions={"timeout": {"connect": to_connect, "read": timeout, "write": timeout}},
        )
        try:
            status, headers, body = await address.pool.ask(request)
            assert not isinstance(body, bytes)
            if not 200 <= status <= 599:
                await body.aclose()
                raise httpcore.RemoteProtocolError(f"the status {status}")
            if CONTROL.search(b"".join(value for _, value in headers).decode("latin-1")):
                await body.aclose()
                raise httpcore.RemoteProtocolError("a control character in a header")
            coded = any(name.lower() == b"transfer-encoding" for name, _ in headers)
            headers = end_to_end(headers, NOT_TO_CLIENTS | {b"content-length"} if coded else NOT_TO_CLIENTS)
            empty = target.method == b"HEAD" or status in (204, 304)
            if empty or int(dict(headers).get(b"content-length", SMALL + 1)) <= SMALL:
                async with aclosing(body):
                    body = b"".join([chunk async for chunk in body])
        except (*LOST, asyncio.CancelledError):
            self.failed(address)
            raise
        address.fails = 0
        return Response(status, headers, body)


async def unhurried(body: AsyncIterable[bytes], deadline: asyncio.Timeout) -> AsyncIterator[bytes]:
    """The pieces of a body. The deadline is the backend's, and stands still while a client is waited for."""
    pieces, clock = aiter(body), asyncio.get_running_loop().time
    while True:
        left = (deadline.when() or 0.0) - clock()
        deadline.reschedule(None)
        piece = await anext(pieces, None)
        deadline.reschedule(clock() + left)
        if piece is None:
            return
        yield piece


def end_to_end(headers: Headers, dropped: set[bytes]) -> Headers:
    """Headers in lower case, without those that are dropped or are for one connection only, nor blanks around them."""
    lower = [(name.lower(), value.strip(b" \t")) for name, value in headers]
    named = {token.strip().lower() for name, value in lower if name == b"connection" for token in value.split(b",")}
    return [(name, value) for name, value in lower if name not in named and one_name(name) not in dropped]
