"""Which requests open a WebSocket (RFC 6455, 4.2.1)."""

import base64
import binascii

from .headers import Headers


def tokens(headers: Headers, name: bytes) -> list[bytes]:
    """Return the elements of a list that may span several header lines, in lower case, without empty ones."""
    found = (token.strip(b" \t") for one, value in headers if one == name for token in value.lower().split(b","))
    return [token for token in found if token]


def is_handshake(method: bytes, version: str, headers: Headers) -> bool:
    """Whether a request asks for a WebSocket and nothing else. Any other Upgrade is to be ignored."""
    return (
        method == b"GET"
        and version == "1.1"
        and tokens(headers, b"upgrade") == [b"websocket"]
        and b"upgrade" in tokens(headers, b"connection")
    )


def handshake_problem(headers: Headers, target: bytes, max_fields: int, max_line: int) -> tuple[str, str] | None:
    """Why a handshake is refused, as the type of a gateway response and a reason; None when it is valid."""
    if len(headers) > max_fields or len(target) + len("GET  HTTP/1.1") > max_line:
        return "HEADERS_TOO_LARGE", "too much for a WebSocket handshake"
    if any(len(name) + 2 + len(value) > max_line for name, value in headers):
        return "HEADERS_TOO_LARGE", "too long a line for a WebSocket handshake"
    named = {name: [value for one, value in headers if one == name] for name, _ in headers}
    if b"transfer-encoding" in named or any(int(value or b"0") for value in named.get(b"content-length", [])):
        return "BAD_REQUEST", "a WebSocket handshake with a body"
    if named.get(b"sec-websocket-version") != [b"13"]:
        return "BAD_REQUEST", "sec-websocket-version: expected 13"
    try:
        keys = [base64.b64decode(key, validate=True) for key in named.get(b"sec-websocket-key", [])]
    except binascii.Error:
        keys = []
    if [len(key) for key in keys] != [16]:
        return "BAD_REQUEST", "sec-websocket-key: expected 16 bytes in base64"
    return None
