"""The body of a request: read whole or piece by piece, within bounds of size and time."""

import asyncio
import time
from collections.abc import AsyncIterator

from .errors import ClientDisconnected, Refusal
from .headers import CLOSE
from .request import Request


def check_length(request: Request, limit: int) -> None:
    """Refuse a body whose length is declared to be too large. One without a length is measured as it comes."""
    length = request.headers.get(b"content-length")
    if length is not None and (not length.isdigit() or int(length) > limit):
        raise Refusal("REQUEST_TOO_LARGE", f"{length!r} bytes", CLOSE)


async def read_body(request: Request, limit: int) -> bytes:
    """Read the whole body."""
    body = await start_body(request, limit)
    if not isinstance(body, bytes):
        body = b"".join([chunk async for chunk in body])
    request.body = body
    return body


async def start_body(request: Request, limit: int) -> bytes | AsyncIterator[bytes]:
    """Read a body that came in one piece, or return its pieces; refuse one that is larger than the limit."""
    if request.body is not None:
        return request.body
    body, more = await _piece(request, limit)
    return _pieces(request, body, limit - len(body)) if more else body


async def _pieces(request: Request, body: bytes, limit: int) -> AsyncIterator[bytes]:
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
        async with asyncio.timeout(request.body_timeout - request.waited):
            message = await request.receive()
    except TimeoutError:
        raise Refusal("REQUEST_TIMEOUT", "the body did not come in time", CLOSE) from None
    request.waited += time.monotonic() - began
    if message["type"] == "http.disconnect":
        raise ClientDisconnected
    body = message.get("body", b"")
    if len(body) > limit:
        raise Refusal("REQUEST_TOO_LARGE", f"{len(body)} bytes where {limit} are left", CLOSE)
    return body, message.get("more_body", False)
