"""Connections to one origin, which are reused."""

import asyncio
import socket
import ssl
from collections import Counter, deque
from collections.abc import AsyncIterator
from typing import Any

import httpcore

from ..._configuration.addresses import client_key
from ..http.errors import Refusal
from ..http.response import Response
from .httpcore_compat import Connection

MAX_CONNECTIONS = 1_000
MAX_PER_CLIENT = MAX_CONNECTIONS // 2
MAX_IDLE = 100
IDLE_SECONDS = 30
# For a slow client, the answer of its backend waits in this process within bounds, and not by megabytes in the kernel.
SOCKET_OPTIONS = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 131_072)]


class Pool:
    """The connections to one origin.

    The one that was used last is used next. So choosing one costs the same however many there are, and those that are
    not needed expire. (httpcore's own pool asks the kernel about every connection at every request.)

    Args:
        scheme, host, port: the origin.
        context: of TLS, for https.
    """

    def __init__(self, scheme: str, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._origin = httpcore.Origin(scheme.encode(), host.encode(), port)
        self._context = context
        self._loop: asyncio.AbstractEventLoop | None = None  # of the connections
        self._idle: deque[Connection] = deque()  # the one used last at the right end
        self._lent: set[Connection] = set()
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._lent_to: Counter[str] = Counter()  # by client

    @property
    def busy(self) -> bool:
        """Whether a request is under way, or an answer's body not read to its end."""
        return bool(self._lent)

    async def ask(self, request: httpcore.Request, client: str = "") -> Response:
        """Return the answer. When its body is closed, the connection is available to other requests.

        Args:
            client: its address; no client has more than half of the connections.

        Raises: an error of httpcore, as it is; a Refusal for a client that has its share already.
        """
        client = client_key(client)
        if self._lent_to.get(client, 0) >= MAX_PER_CLIENT:
            raise Refusal("OVERLOADED", "too many requests of one client to one backend")
        self._lent_to[client] += 1
        try:
            await self._room.acquire()
        except BaseException:
            self._return(client)
            raise
        connection = None
        try:
            connection = await self._take()
            if isinstance(request.stream, AsyncIterator):
                request.stream = until_closed(request.stream, connection)
            answer = await connection.handle_async_request(request)
        except BaseException:
            await self.give_back(connection, client)
            raise
        return Response(answer.status, answer.headers, LentBody(self, connection, client, answer.stream))

    def _return(self, client: str) -> None:
        self._lent_to[client] -= 1
        if not self._lent_to[client]:
            del self._lent_to[client]

    async def _take(self) -> Connection:
        connection = Connection(self._origin, self._context, IDLE_SECONDS, socket_options=SOCKET_OPTIONS)
        if self._loop is not asyncio.get_running_loop():  # a test client may give each request a loop of its own
            self._loop = asyncio.get_running_loop()
            self._idle.clear()
        while self._idle:
            idle = self._idle.pop()
            if not idle.has_expired():
                connection = idle
                break
            await idle.aclose()
        self._lent.add(connection)
        return connection

    async def give_back(self, connection: Connection | None, client: str) -> None:
        """Take a connection back, for reuse if its answer was read to the end; close idle ones that have expired."""
        self._room.release()
        self._return(client)
        if connection is None:
            return
        self._lent.discard(connection)
        if connection.is_idle() and not connection.is_closed():
            self._idle.append(connection)
        else:
            await connection.aclose()
        while self._idle and (len(self._idle) > MAX_IDLE or self._idle[0].has_expired()):
            await self._idle.popleft().aclose()

    async def close(self) -> None:
        """Close all connections, also those in use."""
        for connection in (*self._idle, *self._lent):
            await connection.aclose()
        self._idle.clear()


async def until_closed(body: Any, connection: Connection) -> AsyncIterator[bytes]:
    """Yield the pieces of a request's body until its backend closes.

    The backend may have answered before, and httpcore reads that answer after a WriteError, but not after a reset.
    """
    async for piece in body:
        if connection.is_closed_by_peer():
            raise httpcore.WriteError("the backend closed before the end of the body")
        yield piece


class LentBody:
    """The body of an answer, as it comes; closing it gives its connection back."""

    def __init__(self, pool: Pool, connection: Connection, client: str, stream: Any) -> None:
        self._pool = pool
        self._connection = connection
        self._client = client
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
                await self._pool.give_back(self._connection, self._client)
