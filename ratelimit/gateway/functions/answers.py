"""The result of a function as an answer."""

import base64
import json
from typing import Any

from ..exchange import Exchange
from ..http.errors import BadValue
from ..http.headers import REQUEST_ID, Headers, header_value
from ..http.response import Response
from .events import Events

JSON, TEXT = b"application/json", b"text/plain;charset=UTF-8"
NOT_THEIRS = (
    "content-length",
    "connection",
    "transfer-encoding",
    REQUEST_ID.decode(),
)  # headers that the gateway itself writes


def response_of(result: Any, events: Events, exchange: Exchange) -> Response:
    """Make an answer of `{statusCode, headers, multiValueHeaders, cookies, body, isBase64Encoded}`.

    In format 2.0 and in a WebSocket API, any other JSON value is the body of a 200.

    Raises: ValueError, TypeError, AttributeError or RecursionError for a result of another form.
    """
    default = JSON if events.kind == "rest" else TEXT
    if not isinstance(result, dict) or "statusCode" not in result:
        if events.format == "1.0" and events.kind != "websocket":
            raise BadValue("no statusCode, which payload format 1.0 requires")
        body = result if isinstance(result, str) else json.dumps(result, allow_nan=False)
        result, default = {"statusCode": 200, "body": body}, JSON
    status, body = _status(result["statusCode"]), result.get("body")
    if not isinstance(body, str | None):
        raise BadValue(f"a body of {type(body).__name__}, where text is expected")
    fields = _fields(result, events)
    content = (body or "").encode()
    if result.get("isBase64Encoded") and events.is_binary(exchange, result.get("headers") or {}):
        content = base64.b64decode(body or "", validate=True)
    if not any(name == b"content-type" for name, _ in fields):
        fields.insert(0, (b"content-type", default))
    return Response(status, [*fields, (b"content-length", b"%d" % len(content))], content)


def _status(given: Any) -> int:
    status = int(given) if isinstance(given, str) and given.isascii() and given.isdigit() else given
    if isinstance(status, float) and status.is_integer():
        status = int(status)
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
        raise BadValue(f"statusCode {given!r}, where a number from 200 to 599 is expected")
    return status


def _fields(result: dict[str, Any], events: Events) -> Headers:
    """Return the headers. Where both forms have a name, those with several values count."""
    headers = {name.lower(): value for name, value in (result.get("headers") or {}).items()}
    if events.format == "1.0":
        headers.update((name.lower(), values) for name, values in (result.get("multiValueHeaders") or {}).items())
    fields = [
        (_token(name), header_value(name, _text(value)))
        for name, values in headers.items()
        if name not in NOT_THEIRS and values is not None
        for value in (values if isinstance(values, list) else [values])
    ]
    if events.format == "2.0":
        fields += [(b"set-cookie", header_value("set-cookie", cookie)) for cookie in result.get("cookies") or ()]
    return fields


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _token(name: str) -> bytes:
    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise BadValue(f"{name!r} is not the name of a header")
    return name.encode()
