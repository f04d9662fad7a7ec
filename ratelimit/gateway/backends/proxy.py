"""What stands behind a route: a mock, a function, a backend, or several of them joined."""

import asyncio
import base64
import json
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import websockets

from ..access.authorizers import call, load
from ..backends.balancer import Address, Balancer, Target
from ..config.model import Mock, Proxy, Route
from ..exchange import PRINTABLE, Disconnected, Exchange, Refusal, Response, joined
from ..observability.tracing import inject
from ..routing.table import BadValue
from ..templates.transform import Headers, Mapping, Template, clean, in_json, one_name
from . import balancer as backends

log = logging.getLogger("ratelimit.gateway")
TO_CLIENTS = {b"accept-encoding", b"range"}  # what they ask of an answer that they read themselves

Integration = Callable[[Exchange], Awaitable[Response]]  # which may raise a Refusal or a BadValue


def integration_of(route: Route, variables: dict[str, str], address: Callable[..., Address]) -> Integration:
    """The integration of a route, with a stage's variables."""
    if route.mock is not None:
        return MockCall(route.mock)
    if route.function is not None:
        return FunctionCall(route)
    if route.proxy is not None:
        return ProxyCall(route.proxy, route, variables, address)
    assert route.aggregate is not None
    return AggregateCall(route, variables, address)


class MockCall:
    """Answers the same each time, but for the variables in it."""

    def __init__(self, mock: Mock) -> None:
        headers = {"content-type": "application/json", **{name.lower(): text for name, text in mock.headers.items()}}
        self._status = mock.status
        self._body = Template(mock.body, in_json)
        self._headers = [(name, Template(text)) for name, text in headers.items()]
        constant = not any(template.names for template in (self._body, *dict(self._headers).values()))
        self.ready = self._answer(None) if constant else None

    def _answer(self, exchange: Exchange | None) -> Response:
        body = self._body.fill(exchange).encode()
        headers = [(name.encode(), clean(name, template.fill(exchange))) for name, template in self._headers]
        return Response(self._status, [*headers, (b"content-length", b"%d" % len(body))], body)

    async def __call__(self, exchange: Exchange) -> Response:
        return self.ready or self._answer(exchange)


class FunctionCall:
    """Calls a function with an event and makes its result the answer."""

    def __init__(self, route: Route) -> None:
        assert route.function is not None
        self._function = load(route.function)
        self._route = route
        self._request = Mapping(route.request)

    async def __call__(self, exchange: Exchange) -> Response:
        body = await whole_body(exchange, self._route.max_body)
        try:
            text, encoded = body.decode() if body else None, False
        except UnicodeDecodeError:
            text, encoded = base64.b64encode(body).decode(), True
        event = exchange.event(text, encoded)
        if self._request:
            event["headers"] = joined(self._request.headers(exchange.scope["headers"], exchange))
            event["rawPath"] = self._request.path(event["rawPath"], exchange)
        with noted(exchange):
            response = answer_of(await self._result(exchange, event))
        exchange.integration_status = response.status
        return response

    async def _result(self, exchange: Exchange, event: dict[str, Any]) -> Any:
        try:
            return await call(self._function, event, self._route.timeout)
        except TimeoutError as error:
            raise Refusal("INTEGRATION_TIMEOUT", "the function takes too long") from error
        except Exception as error:
            log.exception("function of route %s failed", exchange.route and exchange.route.key)
            raise Refusal("FUNCTION_FAILURE", repr(error)) from error


@contextmanager
def noted(exchange: Exchange) -> Iterator[None]:
    """For the log: how long the integration takes, and why it fails."""
    began = time.perf_counter_ns()
    try:
        yield
    except Refusal as refusal:
        exchange.integration_error = refusal.message
        raise
    finally:
        exchange.integration_ns = time.perf_counter_ns() - began


def answer_of(result: Any) -> Response:
    """`{statusCode, headers, body, isBase64Encoded}`, or any other JSON value as the body of a 200."""
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
            (_token(name), clean(name, str(value)))
            for name, values in headers.items()
            if name not in ("content-length", "connection", "transfer-encoding")
            for value in (values if isinstance(values, list) else [values])
        ]
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        log.error("a function's result is no answer: %s", error)
        raise Refusal("FUNCTION_FAILURE", str(error)) from error
    return Response(status, [*fields, (b"content-length", b"%d" % len(content))], content)


def _token(name: str) -> bytes:
    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise BadValue(f"{name!r} is no header's name")
    return name.encode()


class ProxyCall:
    """Passes the request on and its answer back."""

    def __init__(self, proxy: Proxy, route: Route, variables: dict[str, str], address: Callable[..., Address]) -> None:
        self.proxy = proxy
        self._limit = route.max_body
        self._request = Mapping(route.request)
        urls = [urlsplit(stage_text(text, variables)) for text in proxy.to]
        first = urls[0]
        if any(url[2:4] != first[2:4] for url in urls):
            raise ValueError(f"the addresses of one proxy must have the same path, not {first.geturl()!r} and others")
        self.balancer = Balancer(
            [_address(url, proxy.verify, address) for url in urls], proxy.max_fails, proxy.fail_timeout
        )
        self._path = quote(first.path, safe=PRINTABLE) if first.path != "/" else ""
        self._path.format_map(defaultdict(str))  # a ValueError when a brace stands alone
        self._query = first.query.encode()
        self.to_websocket = first.scheme in ("ws", "wss")

    async def __call__(self, exchange: Exchange) -> Response:
        body = await first_body(exchange, self._limit)
        target = self.target(exchange, exchange.scope["method"], body)
        with noted(exchange):
            response = await self.balancer.send(target, self.proxy.timeout)
        exchange.integration_status = response.status
        return response

    async def open_websocket(self, exchange: Exchange) -> websockets.ClientConnection | Response:
        """A connection to the backend for one client, or its answer that there is none, or a Refusal.

        It reads no more than the client takes.
        """
        _, path, headers, _ = self.target(exchange, "GET", b"")
        kept = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        protocols = exchange.scope.get("subprotocols") or None
        assert exchange.side is not None
        most = exchange.side.stage.api.api.limits.message
        problem: Exception | None = None
        for address in self.balancer.order():
            secure = "wss" if address.scheme == "https" else "ws"
            try:
                connection = await Straight(
                    f"{secure}://{address.authority.decode()}{path.decode()}", additional_headers=kept,
                    subprotocols=protocols, open_timeout=self.proxy.timeout, ssl=address.context, proxy=None,
                    compression=None, user_agent_header=None, max_size=most, max_queue=1,
                )  # fmt: skip
                address.fails = 0
                return connection
            except (OSError, websockets.InvalidHandshake, websockets.InvalidURI) as error:
                if isinstance(error, websockets.InvalidStatus) and 300 <= error.response.status_code <= 599:
                    address.fails, exchange.integration_status = 0, error.response.status_code
                    return denial(error.response)
                self.balancer.failed(address)
                if isinstance(error, TimeoutError):
                    raise Refusal("INTEGRATION_TIMEOUT", "the backend opens no WebSocket in time") from error
                problem = error
        raise Refusal("INTEGRATION_FAILURE", repr(problem)) from problem

    def target(self, exchange: Exchange, method: str, body: Any) -> Target:
        """The request as its backend gets it."""
        headers = to_backend(exchange)
        if not isinstance(body, bytes):
            length = exchange.headers.get(b"content-length")
            headers.append((b"content-length", length) if length else (b"transfer-encoding", b"chunked"))
        elif body or method in ("POST", "PUT", "PATCH"):
            headers.append((b"content-length", b"%d" % len(body)))
        return Target(method.encode(), self._target(exchange), self._request.headers(headers, exchange), body)

    def _target(self, exchange: Exchange) -> bytes:
        """The path and the query at the backend."""
        raw, path = exchange.raw_segments(), self._path
        if path:
            values = {name: quote(value, safe="~!$&'()*,;=:@") for name, value in exchange.variables.items()}
            rest = "/".join(raw[max(0, exchange.found.rest) :])
            path = path.format_map({**values, **{f"{name}+": rest for name in (*values, "proxy")}})
        path = self._request.path(path or "/" + "/".join(raw), exchange)
        query = b"&".join(part for part in (self._query, exchange.scope["query_string"]) if part)
        return path.encode() + (b"?" + quote(query, safe=PRINTABLE).encode() if query else b"")


class Straight(websockets.connect):
    """Opens a WebSocket where it is told to, and nowhere else."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


def denial(answer: websockets.Response) -> Response:
    """What a backend says instead of opening a WebSocket, as the client gets it."""
    said = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers.raw_items()]
    headers = backends.end_to_end(said, backends.NOT_TO_CLIENTS | {b"content-length"})
    return Response(answer.status_code, headers, bytes(answer.body or b""))


def _address(url: SplitResult, verify: bool, address: Callable[..., Address]) -> Address:
    """The origin of a backend's URL."""
    try:
        scheme = {"ws": "http", "wss": "https"}.get(url.scheme, url.scheme)
        port = url.port or backends.PORTS[scheme]
        if url.hostname is None or "{" in url.netloc:
            raise ValueError("it has no host")
        if "@" in url.netloc or url.fragment or "{" in url.query:
            raise ValueError("it may have host, port, path and query, and {variables} in the path")
    except ValueError as error:
        raise ValueError(f"address {url.geturl()!r}: {error}") from error
    return address(scheme, url.hostname, port, verify)


def stage_text(text: str, variables: dict[str, str]) -> str:
    """A text with `${stageVariables.x}` filled in."""
    for name, value in variables.items():
        text = text.replace("${stageVariables." + name + "}", value)
    if "${" in text:
        raise ValueError(f"{text!r} has a variable that the stage has not")
    return text


def to_backend(exchange: Exchange) -> Headers:
    """The request's headers that a backend gets; the forwarded ones are the gateway's own."""
    headers, keys = exchange.scope["headers"], exchange.flow.key_names
    kept = [
        header
        for header in backends.end_to_end(headers, backends.NOT_TO_BACKENDS)
        if not one_name(header[0]).startswith((b"sec-websocket-", b"x-forwarded-"))
        and not (header[0] == b"x-api-key" and (exchange.key or header[1].decode("latin-1") in keys))
        and not (exchange.connection and one_name(header[0]) == b"x-connection-id")
    ]
    peer = exchange.scope["client"][0] if exchange.scope["client"] else ""
    chain = [value for name, value in headers if name == b"x-forwarded-for"] if exchange.behind_proxy else []
    scheme = "https" if exchange.scope.get("scheme") in ("https", "wss") else "http"
    if exchange.behind_proxy:
        scheme = exchange.header("x-forwarded-proto") or scheme
    if exchange.flow.tracing is not None:
        kept = [header for header in kept if header[0] not in (b"traceparent", b"tracestate")] + inject()
    if exchange.connection:
        kept.append((b"x-connection-id", exchange.connection.encode()))
    kept.append((b"x-forwarded-for", b", ".join([*chain, peer.encode()])))
    kept.append((b"x-forwarded-proto", scheme.encode("latin-1")))
    kept.append((b"x-forwarded-host", exchange.headers.get(b"host", b"")))
    return kept


class AggregateCall:
    """Asks several backends at once and joins their answers into one JSON object.

    Each name has its backend's body, as JSON where it is that and else as text. What could not be had is null,
    and `errors` tells why; when nothing could, the answer is a gateway response.
    """

    def __init__(self, route: Route, variables: dict[str, str], address: Callable[..., Address]) -> None:
        assert route.aggregate is not None
        self._parts = {name: ProxyCall(proxy, route, variables, address) for name, proxy in route.aggregate.items()}
        self._route = route

    async def __call__(self, exchange: Exchange) -> Response:
        await whole_body(exchange, self._route.max_body)
        targets = [plain(part.target(exchange, "GET", b"")) for part in self._parts.values()]
        with noted(exchange):
            results = await asyncio.gather(*map(self._part, self._parts.values(), targets))
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

    async def _part(self, part: ProxyCall, target: Target) -> tuple[str, Any]:
        """A value, as the text that it has in JSON, and an error, if there was one."""
        try:
            async with asyncio.timeout(self._route.timeout):
                response = await part.balancer.send(target, part.proxy.timeout)
                body = await collected(response, self._route.max_body)
        except Refusal as refusal:
            return "null", refusal.type
        except TimeoutError:
            return "null", "INTEGRATION_TIMEOUT"
        return ("null", response.status) if response.status >= 400 else (json_of(body), None)


def plain(target: Target) -> Target:
    """A request for the whole of an answer, to be read here: not compressed, not in part, not only if it is new."""
    kept = [(name, value) for name, value in target.headers if not name.startswith(b"if-") and name not in TO_CLIENTS]
    return target._replace(headers=[*kept, (b"accept-encoding", b"identity")])


def json_of(body: bytes) -> str:
    """The text of a body if it is JSON, and else that text as a JSON string."""
    text = body.decode("utf-8", "replace")
    try:
        json.loads(text, parse_constant=int)  # which NaN and Infinity are not, nor are they JSON
    except (ValueError, RecursionError):
        return json.dumps(text)
    return text


async def collected(response: Response, limit: int) -> bytes:
    """The whole body of an answer; a Refusal when it is more than the limit, or does not come to its end."""
    if isinstance(response.body, bytes):
        return response.body
    body = bytearray()
    try:
        async with aclosing(response.body):
            async for chunk in response.body:
                body += chunk
                if len(body) > limit:
                    raise Refusal("INTEGRATION_FAILURE", f"more than {limit} bytes")
    except backends.LOST as error:
        raise Refusal("INTEGRATION_FAILURE", repr(error)) from error
    return bytes(body)


# --- the request's body ------------------------------------------------------------------------------------


async def first_body(exchange: Exchange, limit: int) -> "bytes | AsyncIterator[bytes]":
    """A body that has come whole, or else its pieces as they come; more than the limit is a Refusal."""
    if exchange.body is not None:
        return exchange.body
    body, more = await _piece(exchange, limit)
    return _rest(exchange, body, limit - len(body)) if more else body


async def whole_body(exchange: Exchange, limit: int) -> bytes:
    """The body, once it has come whole."""
    body = await first_body(exchange, limit)
    if not isinstance(body, bytes):
        body = b"".join([chunk async for chunk in body])
    exchange.body = body
    return body


async def _rest(exchange: Exchange, body: bytes, limit: int) -> AsyncIterator[bytes]:
    yield body
    more = True
    while more:
        body, more = await _piece(exchange, limit)
        limit -= len(body)
        yield body


CLOSE = ((b"connection", b"close"),)


async def _piece(exchange: Exchange, limit: int) -> tuple[bytes, bool]:
    """The next piece of a body, and whether there is more."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(exchange.flow.configuration.body_timeout - exchange.waited):
            message = await exchange.receive()
    except TimeoutError:
        raise Refusal("REQUEST_TIMEOUT", "the body did not come in time", CLOSE) from None
    exchange.waited += time.monotonic() - began
    if message["type"] == "http.disconnect":
        raise Disconnected
    body = message.get("body", b"")
    if len(body) > limit:
        raise Refusal("REQUEST_TOO_LARGE", f"{len(body)} bytes where {limit} are left", CLOSE)
    return body, message.get("more_body", False)
