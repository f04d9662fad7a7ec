"""A WebSocket of a client."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from ...http.body import is_utf8
from ..slow_clients import SlowClientTimeout

websocket_log = logging.getLogger("ratelimit.gateway.websockets")


class BoundedWebSocket(SlowClientTimeout, WebSocketsSansIOProtocol):
    """Closes a client that does not take even the end, and holds back what comes before the handshake is answered."""

    leave: Callable[[], None]
    _early = b""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = self.conn.logger = websocket_log

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            self._early += data
            self.transport.pause_reading()
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()
        super().connection_lost(exc)

    def handle_cont(self, event: Frame) -> None:
        if event.data or event.fin:  # of empty ones there could be any number
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent and not is_utf8(b"".join(self.frames)):
            self.frames = []
            self.conn.send_close(1007)  # uvicorn would log this as an error of ours, with a traceback
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # a client that takes no pongs gets no more, and they are not kept

    async def send(self, message: Any) -> None:
        try:
            await super().send(message)
        except RuntimeError as error:
            if not self.close_sent:
                raise
            raise ClientDisconnected from error  # while the message waited
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # uvicorn would log a client that was turned away as an error of ours
        elif message["type"] == "websocket.accept" and self._early and not self.transport.is_closing():
            data, self._early = self._early, b""
            self.transport.resume_reading()
            self.data_received(data)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self.watch()
