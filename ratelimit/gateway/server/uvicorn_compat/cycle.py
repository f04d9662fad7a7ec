"""A request and its answer, between the connection and the application."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ...http.fields import whole_answer
from ...http.headers import Headers
from ...http.request import REFUSED


class AnswerWriter:
    """Writes an answer. Closing it closes no connection while its request is still coming."""

    def __init__(self, transport: asyncio.Transport, end: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = end


class Cycle(RequestResponseCycle):
    """A request and its answer. When the rest of the body cannot be read, the application is to answer why."""

    refused = False

    def serve(self, app: Any, start_task: Callable[[Any, Any], None]) -> None:
        """Serve the request; in a task if that has to wait for something, or if the application has no `start`."""
        start = getattr(app, "start", None)
        if start is None:
            start_task(self, app)
            return
        try:
            rest = start(self.scope, self.receive, self.send)
        except Exception as error:
            if self.response_started:
                self.transport.close()
            rest = failed(error)
        if rest is not None:
            start_task(self, partial(resume, rest))

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Write an answer as one piece. Return False if it has to be sent by messages, which are checked."""
        if not self.keep_alive or self.response_started or self.disconnected or self.flow.write_paused:
            return False
        with_body = self.scope["method"] != "HEAD"
        whole = whole_answer(STATUS_LINE[status], [*self.default_headers, *headers], body, with_body)
        if whole is None:
            return False
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(whole)
        self.message_event.set()
        self.on_response()
        return True

    async def receive(self) -> Any:
        message = await super().receive()
        return {"type": "http.disconnect"} if self.refused else message

    def refuse(self, type: str, reason: str) -> None:
        """Let the application know why no more of the body comes."""
        self.refused, self.waiting_for_100_continue = True, False
        self.scope.get("extensions", {})[REFUSED] = {"type": type, "reason": reason}
        self.message_event.set()


async def resume(rest: Awaitable[None], *_: Any) -> None:
    """Serve the rest of a request, as an application."""
    await rest


async def failed(error: Exception) -> None:
    """Raise an error where uvicorn logs it and answers 500."""
    raise error


async def send_by_http_1_0(cycle: RequestResponseCycle, send: Callable[[Any], Any], message: Any) -> None:
    """Send to a client of HTTP/1.0, which knows no chunks: a body of unknown length ends with the connection."""
    if message["type"] == "http.response.start":
        if not any(name == b"content-length" for name, _ in message["headers"]):
            cycle.chunked_encoding = False
    elif cycle.chunked_encoding is False and not cycle.expected_content_length:
        cycle.expected_content_length = len(message.get("body", b""))
    await send(message)
