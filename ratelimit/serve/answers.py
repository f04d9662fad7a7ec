"""The answers as bytes: their lines without the empty one that ends them, and their body."""

from http import HTTPStatus
from math import ceil, inf

from .._limiter.decision import Decision
from ..contrib._answers import MAX_TEXTS, Style, limit_fields, refusal
from ..quota import Quota
from .check import ADMITTED, Check, Ruling

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


def ruled(check: Check, ruling: Ruling, style: Style, refused: int, accept: str) -> Answer:
    """Return the answer to a question about a limit.

    Args:
        check, ruling: what was decided.
        style: of the fields about the limit.
        refused: the status of a refusal. Only 429 has a body, since nginx reads no other.
        accept: the media types that the client accepts.
    """
    result, decision = ruling
    fields = b"" if decision is None or result == "shadow" else _fields(check, decision, style)
    if result in ADMITTED:
        return OK + fields, b""
    status = 503 if result == "failed_closed" else refused
    if status not in (429, 503):
        return document(status, b"", fields=fields)
    content_type, body = refusal(status, accept)
    return document(status, body, content_type.encode(), fields)


def _fields(check: Check, decision: Decision, style: Style) -> bytes:
    if style == "draft" and decision.allowed and check.is_single:
        return _admitted(decision)
    return b"".join([b"%b: %b\r\n" % field for field in limit_fields(decision, check.limiter, style)])


_beginnings: dict[int, tuple[Quota, bytes]] = {}  # by the id of a quota, which is not used again while it is here


def _admitted(decision: Decision) -> bytes:
    """Return the fields of an admitted request to a single limit: the same as `limit_fields`, in half the time."""
    quota = decision.limiter.quota
    found = _beginnings.get(id(quota))
    if found is None:
        if len(_beginnings) >= MAX_TEXTS:
            _beginnings.clear()
        policy, limit = limit_fields(decision, decision.limiter, "draft")
        beginning = b"%b: %b\r\n%b: %b;r=" % (*policy, limit[0], limit[1].partition(b";")[0])
        found = _beginnings[id(quota)] = (quota, beginning)
    more = decision.more_after
    if 0 < more < inf:
        return b"%b%d;t=%d\r\n" % (found[1], decision.remaining, ceil(more))
    return b"%b%d\r\n" % (found[1], decision.remaining)
