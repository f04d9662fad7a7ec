"""The body of a request: read whole or piece by piece, within bounds of size and time."""

import asyncio
import time
from collections.abc import AsyncIterator

from .errors import ClientDisconnected, Refusal
from .headers import CLOSE
from .request import Request

MAX_DIGITS = 20  # of a length; Python reads no number of thousands of digits


def check_length(request: Request, limit: int) -> None:
    """Refuse a body whose length is declared to be too large. One without a length is measured as it comes."""
    length = request.headers.get(b"content-length")
    if length is not None and (not length.isdigit() or len(length) > MAX_DIGITS or int(length) > limit):
        raise Refusal("REQUEST_TOO_LARGE", f"a body of {length[:MAX_DIGITS].decode('latin-1')} bytes", CLOSE)


def is_utf8(body: bytes) -> bool:
    """Return whether bytes are text."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


EAGER_BYTES = 65_536  # of a body, which are read before a backend is asked


class BodyMemory:
    """A bound on the bytes of bodies that are held at a time, for all requests together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, request: Request, size: int) -> None:
        """Account for bytes until `release`; a Refusal when there would be too many."""
        if self.used + size > self.limit:
            raise Refusal("OVERLOADED", "too many bytes of bodies are held", CLOSE)
        self.used += size
        request.held += size

    def release(self, request: Request) -> None:
        """Forget the bytes of a request that has ended."""
        self.used -= request.held
        request.held = 0


BODY_MEMORY = BodyMemory(64 * 1024 * 1024)


async def read_body(request: Request, limit: int) -> bytes:
    """Read the whole body."""
    if request.body is None:
        pieces = []
        async for piece in _pieces(request, b"", limit):
            BODY_MEMORY.take(request, len(piece))
            pieces.append(piece)
        request.body = b"".join(pieces)
    return request.body


async def start_body(request: Request, limit: int) -> bytes | AsyncIterator[bytes]:
    """Read a body of a few KB, or return the pieces of a larger one, of which the first few KB are there.

    So a backend's connection is lent to a request that is complete or flowing, not to one that trickles.
    """
    if request.body is not None:
        return request.body
    first, more = b"", True
    while more and len(first) < EAGER_BYTES:
        piece, more = await _piece(request, limit - len(first))
        if piece:
            BODY_MEMORY.take(request, len(piece))
        first += piece
    return _pieces(request, first, limit - len(first)) if more else first


async def _pieces(request: Request, body: bytes, limit: int) -> AsyncIterator[bytes]:
    if body:
        yield body
    more = True
    while more:
        body, more = await _piece(request, limit)
        limit -= len(body)
        yield body


async def _piece(request: Request, limit: int) -> tuple[bytes, bool]:
    """Read the next piece of the body; the second value is whether more follows."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(request.pace.seconds(request.received) - request.waited):
            message = await request.receive()
    except TimeoutError:
        raise Refusal("REQUEST_TIMEOUT", "the body did not come in time", CLOSE) from None
    request.waited += time.monotonic() - began
    if message["type"] == "http.disconnect":
        raise request.unreadable or ClientDisconnected
    body = message.get("body", b"")
    request.received += len(body)
    if len(body) > limit:
        raise Refusal("REQUEST_TOO_LARGE", f"{len(body)} bytes where {limit} are left", CLOSE)
    request.complete = not message.get("more_body", False)
    return body, not request.complete
