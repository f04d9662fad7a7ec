"""A request and its answer, between the connection and the application."""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, RequestResponseCycle

from ...http.headers import Headers
from ...http.request import REFUSED

MAX_KNOWN_NAMES = 256  # names of header fields that are remembered
CONTROLS = bytes({*range(32), 127} - {9})  # what no value has
FRAMING = (b"connection", b"transfer-encoding")  # these say how the answer ends


class _FieldStarts(dict[bytes, bytes]):
    """The bytes before the value of a field, by its name: the end of the line before it, and the checked name."""

    def __missing__(self, name: bytes) -> bytes:
        if HEADER_RE.search(name) or name.lower() in FRAMING:
            raise KeyError(name)
        if len(self) >= MAX_KNOWN_NAMES:
            self.clear()
        self[name] = start = b"\r\n%b: " % name.lower()
        return start


_FIELD_STARTS = _FieldStarts()


def whole_answer(status: int, headers: Headers, body: bytes, with_body: bool) -> bytes | None:
    """Return an answer as it is sent; None for one that is not as plain as most are, or whose headers are invalid."""
    if (b"content-length", b"%d" % len(body)) not in headers:
        return None
    pieces = [STATUS_LINE[status][:-2]]
    try:
        for name, value in headers:
            pieces += (_FIELD_STARTS[name], value)
    except KeyError:
        return None
    pieces.append(b"\r\n\r\n")
    head = b"".join(pieces)
    if len(head) - len(head.translate(None, CONTROLS)) != 2 * len(headers) + 4:  # some besides the ends of the lines
        return None
    return head + body if with_body else head


class Out:
    """Writes an answer. Closing it closes no connection while its request is still coming."""

    def __init__(self, transport: asyncio.Transport, end: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = end


class Cycle(RequestResponseCycle):
    """A request and its answer. When the rest of the body cannot be read, the application is to answer why.

    The start of an answer waits for its body, so that both are sent as one. To have it sent before there is any, the
    application sends an empty piece of body.
    """

    refused = False
    _start: Any = None  # the message that waits

    async def send(self, message: Any) -> None:
        start = self._start
        if message["type"] == "http.response.start" and not self.response_started:
            self._start = message
        elif start is None:
            await super().send(message)
        else:
            self._start = None
            whole = self._whole(start, message)
            if whole is None:
                await super().send(start)
                await super().send(message)
            else:
                self.response_started = self.response_complete = True
                self.transport.write(whole)
                self.message_event.set()
                self.on_response()

    def _whole(self, start: Any, message: Any) -> bytes | None:
        """Return what is to be written for an answer of two messages, if it is plain and can be written at once."""
        if not self.keep_alive or self.chunked_encoding is not None or message.get("more_body"):
            return None
        if self.disconnected or self.flow.write_paused:
            return None
        headers = [*self.default_headers, *start["headers"]]
        return whole_answer(start["status"], headers, message.get("body", b""), self.scope["method"] != "HEAD")

    async def receive(self) -> Any:
        message = await super().receive()
        return {"type": "http.disconnect"} if self.refused else message

    def refuse(self, type: str, reason: str) -> None:
        """Let the application know why no more of the body comes."""
        self.refused, self.waiting_for_100_continue = True, False
        self.scope.get("extensions", {})[REFUSED] = {"type": type, "reason": reason}
        self.message_event.set()


async def until_closed(cycle: RequestResponseCycle, send: Callable[[Any], Any], message: Any) -> None:
    """Send to a client of HTTP/1.0, which knows no chunks: a body of unknown length ends with the connection."""
    if message["type"] == "http.response.start":
        if not any(name == b"content-length" for name, _ in message["headers"]):
            cycle.chunked_encoding = False
    elif cycle.chunked_encoding is False and not cycle.expected_content_length:
        cycle.expected_content_length = len(message.get("body", b""))
    await send(message)
