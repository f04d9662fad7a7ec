"""The connections to clients, as uvicorn makes them, with bounds: on heads, on frames, and on patience."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

NO_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

websocket_log = logging.getLogger("ratelimit.gateway.websockets")


class Patience(asyncio.Protocol):
    """Gives a client up that takes nothing of what waits for it for `send_timeout` seconds, however slow it may be.

    Not even closing ends such a connection: what was written before would have to leave first.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    send_timeout: ClassVar[float] = 30.0

    _stuck: asyncio.TimerHandle | None = None
    _lost = False

    def pause_writing(self) -> None:
        super().pause_writing()
        self.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._unwatch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._unwatch()
        super().connection_lost(exc)

    def watch(self) -> None:
        """From now on something has to leave; nothing more is written before."""
        self._unwatch()
        if self._lost:
            return
        self._stuck = self.loop.call_later(self.send_timeout, self._look, self.transport.get_write_buffer_size())

    def _unwatch(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _look(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting >= before:
            self.transport.abort()
        elif waiting:
            self.watch()


class BoundedWebSocket(Patience, WebSocketsSansIOProtocol):
    """Is rid of a client that does not even take the end, and of one whose handshake is none.

    Who was let in, and who was not, the access log tells.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = self.conn.logger = websocket_log

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or NO_HANDSHAKE)
            self.transport.close()
            self.watch()

    def handle_cont(self, event: Frame) -> None:
        if event.data or event.fin:  # of empty ones there could be any number
            super().handle_cont(event)

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # who takes no pongs gets none, and none is kept

    async def send(self, message: Any) -> None:
        try:
            await super().send(message)
        except RuntimeError as error:
            if not self.close_sent:
                raise
            raise ClientDisconnected from error  # while the message waited
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # uvicorn would log a client that was turned away as an error of ours

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self.watch()


class Out:
    """What an answer is written to. Closing it closes no connection while its request is still coming."""

    def __init__(self, protocol: "BoundedProtocol") -> None:
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing
        self.close = protocol.end


class BoundedProtocol(Patience, HttpToolsProtocol):
    """Closes a connection whose request head is too large (431) or too slow (408), or is none (400).

    The parser alone would collect headers for as long as they come. Trailers and what else frames a chunked body
    are bounded like a head, and trailers are dropped: they come too late to be checked. So is what comes behind an
    answer: the rest of its request, or blank lines.
    """

    max_head: ClassVar[int] = 65_536
    head_timeout: ClassVar[float] = 10.0

    _head = 0  # bytes of a head that has not ended, or since the last of a body
    _ended: Any = object()  # the scope whose head has ended; the next one is made when its head begins
    _moved = False  # whether a head or a message has ended, or there was some of a body
    _deaf = False  # whether what comes is dropped
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._out: Any = Out(self)
        self._start_timer()

    def end(self) -> None:
        """Close after an answer; while something is still coming, not at once."""
        if not self._lost and (self._deaf or self.cycle.more_body):
            self._linger()
        else:
            self.transport.close()
            self.watch()

    def _linger(self) -> None:
        """Close once the client has, or soon: what came unread would reset the connection, and take the answer back."""
        self._deaf = True
        self.pipeline.clear()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._stop_timer()
        self._timer = self.loop.call_later(self.head_timeout, self.transport.close)
        self.watch()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.watch()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.transport = self._out
        if cycle.scope["http_version"] == "1.0":
            cycle.waiting_for_100_continue = False
            cycle.send = partial(until_closed, cycle, cycle.send)  # type: ignore[method-assign]
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        while data and not self._deaf and not self.transport.is_closing():
            part, data = data[: self.max_head - self._head], data[self.max_head - self._head :]
            self._moved = False
            super().data_received(part)
            self._head = 0 if self._moved else self._head + len(part)
            if self._head >= self.max_head:  # with its last byte it would have ended
                self._refuse(b"431 Request Header Fields Too Large")
            elif (
                self._timer is None
                and not self._deaf
                and (self.scope is not self._ended or self.cycle.response_complete)  # in a head, or behind an answer
            ):
                self._start_timer()

    def handle_websocket_upgrade(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._refuse(b"400 Bad Request")  # or the answer that is owed would come within the WebSocket
        else:
            self._deaf = True
            super().handle_websocket_upgrade()

    def on_headers_complete(self) -> None:
        self._ended, self._moved = self.scope, True
        self._stop_timer()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._moved = True
        self.headers = []  # not those of the request: what comes now are trailers

    def on_body(self, body: bytes) -> None:
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._moved = True
        super().on_message_complete()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.head_timeout, self._refuse, b"408 Request Timeout")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def send_400_response(self, msg: str) -> None:
        self._refuse(b"400 Bad Request")

    def _refuse(self, status: bytes) -> None:
        self._stop_timer()
        cycle = self.cycle
        under_way = cycle is not None and not cycle.response_complete
        if under_way and not cycle.more_body:  # that answer comes first, and is the last
            cycle.keep_alive, self._deaf = False, True
        elif under_way and (cycle.response_started or self.pipeline):  # this one would stand in the midst of another
            self.transport.close()
        elif not self.transport.is_closing():
            if under_way:
                cycle.disconnected = True
                cycle.message_event.set()
            body = b'{"message":"%b"}' % status.partition(b" ")[2]
            head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(head % (status, len(body)) + body)
            self._linger()


async def until_closed(cycle: RequestResponseCycle, send: Callable[[Any], Any], message: Any) -> None:
    """Send to a client of HTTP/1.0, which knows no chunks: a body of unknown length ends with the connection."""
    if message["type"] == "http.response.start":
        if not any(name == b"content-length" for name, _ in message["headers"]):
            cycle.chunked_encoding = False
    elif cycle.chunked_encoding is False and not cycle.expected_content_length:
        cycle.expected_content_length = len(message.get("body", b""))
    await send(message)
