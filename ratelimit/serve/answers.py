"""The answers as bytes: their lines without the empty one that ends them, and their body."""

from http import HTTPStatus

from .._limiter.headers import Style, limit_fields
from ..contrib._answers import refusal
from .check import ADMITTED, Ruling

Answer = tuple[bytes, bytes]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
TEXT = b"text/plain; charset=utf-8"


def plain(status: int, text: str) -> Answer:
    """Return an answer of one line of text."""
    return document(status, f"{text}\n".encode())


def document(status: int, body: bytes, content_type: bytes = TEXT, fields: bytes = b"") -> Answer:
    """Return an answer with a body."""
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
    kind = b"Content-Type: %b\r\n" % content_type if body else b""
    return b"%b%bContent-Length: %d\r\n%b" % (line, kind, len(body), fields), body


def ruled(ruling: Ruling, style: Style, refused: int, accept: str) -> Answer:
    """Return the answer to a question about a limit.

    Args:
        ruling: what was decided.
        style: of the fields about the limit.
        refused: the status of a refusal. Only 429 has a body, since nginx reads no other.
        accept: the media types that the client accepts.
    """
    result, decision = ruling
    fields = (
        b""
        if decision is None or result == "shadow"
        else b"".join([b"%b: %b\r\n" % field for field in limit_fields(decision, style)])
    )
    if result in ADMITTED:
        return OK + fields, b""
    status = 503 if result == "failed_closed" else refused
    if status not in (429, 503):
        return document(status, b"", fields=fields)
    content_type, body = refusal(status, accept)
    return document(status, body, content_type.encode(), fields)
