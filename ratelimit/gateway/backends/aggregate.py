"""Several backends at once, whose answers become one JSON object."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from ..exchange import Exchange
from ..http.body import read_body
from ..http.disconnect import unless_disconnected
from ..http.errors import Refusal
from ..http.request import Request
from ..http.response import Response
from .balancer import Target, collect
from .integration import timed_integration
from .proxy import ProxyIntegration

FOR_CLIENTS = {b"accept-encoding", b"range"}  # about the form of an answer that the client itself would read


class AggregateIntegration:
    """Asks several backends at once and joins their answers into one JSON object.

    Each name has the body of its backend, as JSON if it is JSON and otherwise as text. A backend that failed is null,
    and `errors` has the reason; when all failed, the answer is a gateway response.

    Args:
        parts: the backends by name.
        timeout: seconds for all.
        max_body: bytes of the body of the request, and of each answer.
    """

    def __init__(self, parts: Mapping[str, ProxyIntegration], timeout: float, max_body: int) -> None:
        self._parts = parts
        self._timeout = timeout
        self._max_body = max_body

    async def answer(self, exchange: Exchange) -> Response:
        await read_body(exchange.request, self._max_body)
        targets = [as_plain_request(part.target(exchange, "GET", b"")) for part in self._parts.values()]
        with timed_integration(exchange):
            asked = (
                self._ask(exchange.request, part, target)
                for part, target in zip(self._parts.values(), targets, strict=True)
            )
            results = await unless_disconnected(exchange.request, asyncio.gather(*asked))
            errors = {name: error for name, (_, error) in zip(self._parts, results, strict=True) if error}
            if len(errors) == len(self._parts):
                late = all(error == "INTEGRATION_TIMEOUT" for error in errors.values())
                raise Refusal("INTEGRATION_TIMEOUT" if late else "INTEGRATION_FAILURE", json.dumps(errors))
        texts = {name: text for name, (text, _) in zip(self._parts, results, strict=True)}
        if errors:
            texts["errors"] = json.dumps(errors)
        body = "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in texts.items()) + "}"
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body.encode()))]
        return Response(200, headers, body.encode())

    async def _ask(self, request: Request, part: ProxyIntegration, target: Target) -> tuple[str, Any]:
        """Return the JSON text of a backend's body, and its error or None."""
        try:
            async with asyncio.timeout(self._timeout):
                response = await part.balancer.send(target, part.timeout)
                body = await collect(request, response, self._max_body)
        except Refusal as refusal:
            return "null", refusal.type
        except TimeoutError:
            return "null", "INTEGRATION_TIMEOUT"
        return ("null", response.status) if response.status >= 400 else (json_text(body), None)


def as_plain_request(target: Target) -> Target:
    """Ask for a whole answer that can be read here: not compressed, not a range, not conditional."""
    kept = [one for one in target.headers if not one[0].startswith(b"if-") and one[0] not in FOR_CLIENTS]
    return target._replace(headers=[*kept, (b"accept-encoding", b"identity")])


def json_text(body: bytes) -> str:
    """Return a body as JSON text; if it is not JSON, as a JSON string of its text."""
    text = body.decode("utf-8", "replace")
    try:
        json.loads(text, parse_constant=int)  # fails for NaN and Infinity, which are not JSON
    except (ValueError, RecursionError):
        return json.dumps(text)
    return text
