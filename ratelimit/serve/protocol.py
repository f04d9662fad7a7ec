"""HTTP/1 on the connections of one worker: bounded in size, number and time."""

import asyncio
from email.utils import formatdate
from typing import Protocol, cast

from .answers import Answer, plain
from .head import Head, HeadReader
from .refused import BadRequest

MAX_BODY = 1 << 20  # bytes; a body is read and discarded
MAX_CONNECTIONS = 10_000
REQUEST_TIMEOUT = 10.0  # seconds for a request to arrive, and for answers to be taken
IDLE_TIMEOUT = 120.0  # seconds without a request; more than proxies wait, so that they close first
LINGER = 2.0  # seconds in which a client may read why its connection is closed
SWEEP = 1.0  # seconds between two looks for connections that take too long
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Answerer(Protocol):
    """Answers requests."""

    @property
    def reader(self) -> HeadReader: ...
    def answer(self, head: Head) -> Answer: ...


class Connections:
    """The connections of a worker.

    Attributes:
        site: what answers; a reload replaces it.
        stopping: whether each connection is closed after its next answer.
    """

    def __init__(self, site: Answerer, loop: asyncio.AbstractEventLoop) -> None:
        self.site = site
        self.loop = loop
        self.stopping = False
        self.all: set[Connection] = set()
        self._sweep()

    def _sweep(self) -> None:
        """Close the connections that take too long, and set the time of answers."""
        now = self.loop.time()
        self.date = f"Date: {formatdate(usegmt=True)}\r\n".encode()
        self.ending = self.date + b"\r\n"
        for connection in list(self.all):
            connection.look(now)
        self._timer = self.loop.call_later(SWEEP, self._sweep)

    async def stop(self, grace: float) -> None:
        """Answer what has arrived, for at most so many seconds, and close all connections."""
        self.stopping = True
        ends = self.loop.time() + grace
        await asyncio.sleep(0.05)  # what the kernel has already received is read meanwhile
        for connection in list(self.all):
            connection.close_if_idle()
        while self.all and self.loop.time() < ends:
            await asyncio.sleep(0.05)
        self._timer.cancel()
        for connection in list(self.all):
            connection.abort()


class Connection(asyncio.Protocol):
    """One connection. Requests that were sent together are answered in order."""

    _transport: asyncio.Transport
    _peer = ""
    _rest = b""  # of a head that is not complete
    _body = 0  # bytes of a body that are still to come
    _answer = b""  # to the request with that body
    _last = False  # whether that answer is the last one
    _closing = False  # whether nothing is read any more
    _waiting = False  # whether the client has to take answers first
    _count = _seen = 0  # of events, now and at the last look

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._since = connections.loop.time()  # when the state began that ends by itself

    # --- events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._peer = peer[0]
        self._connections.all.add(self)
        if len(self._connections.all) > MAX_CONNECTIONS:
            self._transport.write(self._bytes(plain(503, f"more than {MAX_CONNECTIONS} connections"), True))
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.all.discard(self)
        self._closing = True

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        was_partial = self._rest or self._body
        if self._rest:
            data, self._rest = self._rest + data, b""
        self._count += 1
        answers: list[bytes] = []
        try:
            self._read(data, answers)
        except BadRequest as error:
            answers.append(self._bytes(plain(error.status, str(error)), True))
            self._linger()
        if answers:
            self._transport.write(answers[0] if len(answers) == 1 else b"".join(answers))
        if (self._rest or self._body) and (answers or not was_partial):
            self._since = self._connections.loop.time()

    def pause_writing(self) -> None:
        self._waiting = True
        self._since = self._connections.loop.time()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._waiting = False
        if not self._closing:
            self._transport.resume_reading()

    # --- requests

    def _read(self, data: bytes, answers: list[bytes]) -> None:
        """Answer all requests that are complete, and keep the rest."""
        site, at, size = self._connections.site, 0, len(data)
        while at < size and not self._closing:
            if self._body:
                taken = min(self._body, size - at)
                at += taken
                self._body -= taken
                if not self._body:
                    answers.append(self._answer)
                    if self._last:
                        self._end()
                continue
            head = site.reader.read(data, at)
            if head is None:
                self._rest = data[at:]
                return
            if head.length > MAX_BODY:
                raise BadRequest(413, f"expected a body of at most {MAX_BODY} bytes")
            at = head.end
            last = not head.keep or self._connections.stopping
            head.peer = self._peer
            answer = self._bytes(site.answer(head), last, head)
            if head.length:
                self._body, self._answer, self._last = head.length, answer, last
                if head.expects and head.http_1_1:
                    answers.append(CONTINUE)
            else:
                answers.append(answer)
                if last:
                    self._end()

    def _bytes(self, answer: Answer, last: bool, head: Head | None = None) -> bytes:
        lines, body = answer
        if head is not None and head.method == b"HEAD":
            body = b""
        if last:
            return b"%b%bConnection: close\r\n\r\n%b" % (lines, self._connections.date, body)
        if head is not None and not head.http_1_1:
            return b"%b%bConnection: keep-alive\r\n\r\n%b" % (lines, self._connections.date, body)
        return lines + self._connections.ending + body

    # --- the end

    def _end(self) -> None:
        """Close after the answer was written, and read nothing more until then."""
        self._closing = True
        self._connections.loop.call_soon(self._close)

    def _close(self) -> None:
        """Close when all answers are sent."""
        self._linger()
        self._transport.close()

    def _linger(self) -> None:
        """Read nothing more. Closing at once would reset the connection, and the answer would be lost with it."""
        self._closing = True
        self._since = self._connections.loop.time()
        self._rest, self._body = b"", 0

    def close_if_idle(self) -> None:
        if not (self._rest or self._body or self._closing):
            self._close()

    def abort(self) -> None:
        self._transport.abort()

    def look(self, now: float) -> None:
        """End what takes too long."""
        age = now - self._since
        if self._closing:
            if age > LINGER:
                self.abort()
        elif self._waiting:
            if age > REQUEST_TIMEOUT:
                self.abort()
        elif self._rest or self._body:
            if age > REQUEST_TIMEOUT:
                self._transport.write(self._bytes(plain(408, f"expected a request within {REQUEST_TIMEOUT:g} s"), True))
                self._close()
        elif self._count != self._seen:
            self._seen, self._since = self._count, now
        elif age > IDLE_TIMEOUT:
            self._close()
