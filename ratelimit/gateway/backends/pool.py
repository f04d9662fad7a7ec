"""Connections to one origin, which are kept for the next request."""

import asyncio
import select
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import httpcore
from anyio.streams.tls import TLSStream

from ..http.response import Response

MOST_CONNECTIONS = 1_000
MOST_KEPT = 100
KEPT_SECONDS = 30
# What has come is read at once, also when the client is slow: the kernel must not have megabytes of it.
SOCKET_OPTIONS = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 131_072)]


class Connection(httpcore.AsyncHTTPConnection):
    """A connection that is not used again once its backend has said more than its answer.

    A body after a 204 or an answer to HEAD, or a second answer, would be taken for the answer to the next request.
    """

    def has_expired(self) -> bool:
        inner = self._connection
        if isinstance(inner, httpcore.AsyncHTTP11Connection) and inner.is_idle() and is_unread(inner):
            return True
        return super().has_expired()


def is_unread(connection: httpcore.AsyncHTTP11Connection) -> bool:
    """Whether something came that nobody has read: it may be in the parser, within TLS, or before both.

    None of the three libraries tells it, so this looks into them. Should one be built otherwise some day, no
    connection is used twice. What is still in the kernel, httpcore sees by itself.
    """
    try:
        parser: Any = connection._h11_state
        stream: Any = connection._network_stream._stream  # type: ignore[attr-defined]
        if parser.trailing_data[0]:
            return True
        if isinstance(stream, TLSStream):
            if stream._ssl_object.pending() or stream._read_bio.pending:
                return True
            stream = stream.transport_stream
        return bool(stream._protocol.read_queue)
    except AttributeError:
        return True


class Pool:
    """The connections to one origin.

    The one that was used last is used next. So choosing one costs the same however many there are, and those that are
    not needed grow old and are closed. (httpcore's own pool asks the kernel about every connection at every request.)

    Args:
        scheme, host, port: the origin.
        context: of TLS, for https.
    """

    def __init__(self, scheme: str, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._origin = httpcore.Origin(scheme.encode(), host.encode(), port)
        self._context = context
        self._loop: asyncio.AbstractEventLoop | None = None  # of the connections
        self._kept: deque[Connection] = deque()  # the one used last at the right
        self._lent: set[Connection] = set()
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)

    @property
    def busy(self) -> bool:
        """Whether a request is under way, or an answer's body not read to its end."""
        return bool(self._lent)

    async def ask(self, request: httpcore.Request) -> Response:
        """The answer; its body is to be closed, whereupon the connection serves others.

        Raises: an error of httpcore.
        """
        await self._room.acquire()
        connection = None
        try:
            connection = await self._take()
            if isinstance(request.stream, AsyncIterator):
                request.stream = until_closed(request.stream, connection)
            answer = await connection.handle_async_request(request)
        except BaseException:
            await self.give_back(connection)
            raise
        return Response(answer.status, answer.headers, LentBody(self, connection, answer.stream))

    async def _take(self) -> Connection:
        connection = Connection(self._origin, self._context, KEPT_SECONDS, socket_options=SOCKET_OPTIONS)
        if self._loop is not asyncio.get_running_loop():  # a test client may give each request a loop of its own
            self._loop = asyncio.get_running_loop()
            self._kept.clear()
        while self._kept:
            kept = self._kept.pop()
            if not kept.has_expired():
                connection = kept
                break
            await kept.aclose()
        self._lent.add(connection)
        return connection

    async def give_back(self, connection: Connection | None) -> None:
        """End a loan. A connection whose answer was read to its end is kept, and one that has grown old is closed."""
        self._room.release()
        if connection is None:
            return
        self._lent.discard(connection)
        if connection.is_idle() and not connection.is_closed():
            self._kept.append(connection)
        else:
            await connection.aclose()
        while self._kept and (len(self._kept) > MOST_KEPT or self._kept[0].has_expired()):
            await self._kept.popleft().aclose()

    async def close(self) -> None:
        """Close all connections, whoever uses them."""
        for connection in (*self._kept, *self._lent):
            await connection.aclose()
        self._kept.clear()


async def until_closed(body: Any, connection: Connection) -> AsyncIterator[bytes]:
    """The pieces of a request's body until its backend closes: it may have answered, and only who does not go on
    writing can still read that. (httpcore reads the answer after a WriteError.)"""
    async for piece in body:
        inner = connection._connection
        if isinstance(inner, httpcore.AsyncHTTP11Connection) and is_closed(inner):
            raise httpcore.WriteError("the backend closed before the body's end")
        yield piece


def is_closed(connection: httpcore.AsyncHTTP11Connection) -> bool:
    """Whether the other side has closed, as the kernel tells where it can."""
    found = select.poll()
    found.register(connection._network_stream.get_extra_info("socket"), getattr(select, "POLLRDHUP", 0))
    return bool(found.poll(0))


class LentBody:
    """The body of an answer, as it comes."""

    def __init__(self, pool: Pool, connection: Connection, stream: Any) -> None:
        self._pool = pool
        self._connection = connection
        self._stream = stream
        self._open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            try:
                await self._stream.aclose()
            finally:
                await self._pool.give_back(self._connection)
