"""uvicorn as the gateway runs it: heads of bounded size and time, WebSocket frames of bounded size, and workers."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request head is too large (431) or too slow (408).

    The parser alone would collect headers for as long as they come. Trailers and what else frames a chunked body
    are bounded like a head, and trailers are dropped: they come too late to be checked.
    """

    max_head: ClassVar[int] = 65_536
    head_timeout: ClassVar[float] = 10.0

    _head = 0  # bytes of a head that has not ended, or since the last of a body
    _in_head = True
    _moved = False  # whether there was some of a body
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        while data and not self.transport.is_closing():
            part, data = data[: self.max_head - self._head], data[self.max_head - self._head :]
            self._moved = False
            super().data_received(part)
            self._head = 0 if self._moved else self._head + len(part)
            if self._head >= self.max_head:  # with its last byte it would have ended
                self._refuse(b"431 Request Header Fields Too Large")
            elif self._in_head and self._timer is None:
                self._start_timer()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._moved = False, True
        self._stop_timer()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._moved = True

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

    def _refuse(self, status: bytes) -> None:
        self._timer = None
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
        elif not self.transport.is_closing():
            body = b'{"message":"%b"}' % status.partition(b" ")[2]
            head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(head % (status, len(body)) + body)
            self.transport.close()


class Workers(Multiprocess):
    """uvicorn's supervisor; SIGHUP goes to the workers, which reload by themselves and drop nothing."""

    def handle_hup(self) -> None:
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)


def run(app: Callable[[], Any], workers: int, frame: int, message: int, **options: Any) -> int:
    """Serve until a signal; the exit status.

    Args:
        app: makes the application of one worker.
        frame, message: the most bytes of a WebSocket frame and message.
        options: for uvicorn.Config.
    """
    config = Config(
        app,
        factory=True,
        workers=workers,
        http=BoundedProtocol,
        ws="websockets-sansio",
        ws_max_size=(message, frame),  # type: ignore[arg-type]  # as websockets takes it
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="info",
        timeout_worker_healthcheck=30,  # a busy machine is no reason to kill a worker
        **options,
    )
    server = Server(config)
    if workers == 1:
        server.run()
        return 0 if server.started else 3
    sockets = [config.bind_socket()]
    Workers(config, sockets).run()
    return 0
