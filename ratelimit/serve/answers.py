"""The answers as bytes: their lines without the empty one that ends them, and their body."""

from http import HTTPStatus

from ..contrib._answers import refusal

Answer = tuple[bytes, bytes]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
TEXT = b"text/plain; charset=utf-8"


def plain(status: int, text: str) -> Answer:
    """Return an answer of one line of text."""
    return document(status, f"{text}\n".encode())


def document(status: int, body: bytes, content_type: bytes = TEXT) -> Answer:
    """Return an answer with a body."""
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
    kind = b"Content-Type: %b\r\n" % content_type if body else b""
    return b"%b%bContent-Length: %d\r\n" % (line, kind, len(body)), body


def refuse(status: int, accept: str) -> Answer:
    """Return the answer to a request that is over its limit, or whose limiter failed.

    Args:
        status: 429 or 503; another one has no body, since nginx reads none.
        accept: the media types that the client accepts.
    """
    if status not in (429, 503):
        return document(status, b"")
    content_type, body = refusal(status, accept)
    return document(status, body, content_type.encode())
