"""Python functions as backends."""

import base64
import json
import logging
from collections.abc import Callable
from typing import Any

from ..exchange import Exchange
from ..functions import FUNCTIONS, load_function
from ..http.body import read_body
from ..http.errors import BadValue, Refusal
from ..http.headers import combine, header_value
from ..http.response import Response
from ..templates.transform import Transform
from .integration import timed_integration

log = logging.getLogger("ratelimit.gateway")


class FunctionIntegration:
    """Calls a function with an event and makes its result the answer.

    Args:
        function: a callable, or its name as "package.module:name".
        timeout: seconds that it may take.
        max_body: bytes of a request's body.
        transform: changes to the headers and the path of the event.

    Raises: ValueError when the function cannot be loaded.
    """

    def __init__(self, function: Callable[..., Any] | str, timeout: float, max_body: int, transform: Transform) -> None:
        self._function = load_function(function)
        self._timeout = timeout
        self._max_body = max_body
        self._transform = transform

    async def answer(self, exchange: Exchange) -> Response:
        body = await read_body(exchange.request, self._max_body)
        try:
            text, encoded = body.decode() if body else None, False
        except UnicodeDecodeError:
            text, encoded = base64.b64encode(body).decode(), True
        event = exchange.event(text, encoded)
        if self._transform:
            event["headers"] = combine(self._transform.headers(exchange.request.vouched_headers(), exchange))
            event["rawPath"] = self._transform.path(event["rawPath"], exchange)
        with timed_integration(exchange):
            response = response_of(await self._call(exchange, event))
        exchange.outcome.integration_status = response.status
        return response

    async def _call(self, exchange: Exchange, event: dict[str, Any]) -> Any:
        try:
            return await FUNCTIONS.call(self._function, event, self._timeout)
        except Refusal:
            raise
        except TimeoutError as error:
            raise Refusal("INTEGRATION_TIMEOUT", "the function takes too long") from error
        except Exception as error:
            log.exception("function of route %s failed", exchange.destination.route)
            raise Refusal("FUNCTION_FAILURE", repr(error)) from error


def response_of(result: Any) -> Response:
    """Make an answer of `{statusCode, headers, body, isBase64Encoded}`, or of any other JSON value as a 200."""
    try:
        if not isinstance(result, dict) or "statusCode" not in result:
            result = {
                "statusCode": 200,
                "body": result if isinstance(result, str) else json.dumps(result, allow_nan=False),
            }
        status, body = result["statusCode"], result.get("body") or ""
        if not isinstance(status, int) or not 200 <= status <= 599 or not isinstance(body, str):
            raise BadValue(f"statusCode {status!r} with a body of {type(body).__name__}")
        content = base64.b64decode(body, validate=True) if result.get("isBase64Encoded") else body.encode()
        headers = {
            "content-type": "application/json",
            **{k.lower(): v for k, v in (result.get("headers") or {}).items()},
        }
        fields = [
            (_token(name), header_value(name, str(value)))
            for name, values in headers.items()
            if name not in ("content-length", "connection", "transfer-encoding")
            for value in (values if isinstance(values, list) else [values])
        ]
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        log.error("the result of a function is not an answer: %s", error)
        raise Refusal("FUNCTION_FAILURE", str(error)) from error
    return Response(status, [*fields, (b"content-length", b"%d" % len(content))], content)


def _token(name: str) -> bytes:
    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise BadValue(f"{name!r} is not the name of a header")
    return name.encode()
