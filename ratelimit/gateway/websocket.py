"""WebSocket APIs: one client from its handshake to its end. Each message is routed by its content."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import websockets

from .backends.balancer import collect
from .backends.proxy import ProxyIntegration
from .backends.upstream_websocket import open_upstream
from .clients import Clients
from .compiled import CompiledApi, CompiledRoute
from .exchange import Caller, Exchange
from .http.errors import Refusal
from .http.request import Receive, Send, WebSocketEvent, check_headers
from .http.response import Response
from .pipeline import Transport, begin, own_headers, serve
from .routing.router import WEBSOCKET, Destination
from .site import Site

GOING_AWAY, TOO_BIG, BAD_GATEWAY = 1001, 1009, 1014  # close codes
UNSENT = (1005, 1006)  # codes that stand for the absence of one


class Connection:
    """One client.

    Args:
        current_site: gives the site that the gateway serves now. Messages keep the routes of the handshake.
        clients: the others.
        scope, receive, send: by ASGI.
    """

    def __init__(
        self, current_site: Callable[[], Site], clients: Clients, scope: Any, receive: Receive, send: Send
    ) -> None:
        self.id = clients.new_id()
        self.scope = {**scope, "method": "GET"}
        self.receive = receive
        self.api: CompiledApi
        self.routes: dict[str, CompiledRoute] = {}
        self.destination: Destination
        self.caller: Caller
        self.upstreams: dict[str, Any] = {}  # by route key
        self._current_site = current_site
        self._clients = clients
        self._send = send
        self._client_facts: dict[str, Any] = {}
        self._connected_ms = self._active_ms = 0
        self._active = time.monotonic()  # when something was last sent or received
        self._closed = False
        self._close_event = 1005, ""  # the code and the reason of the close, for `$disconnect`
        self._end = 1000, ""  # the code and the reason with which the client or the gateway closes
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def place(self) -> str:
        """Its API and stage, such as "chat/prod"."""
        return f"{self.destination.api}/{self.destination.stage}"

    @property
    def max_message(self) -> int:
        """Bytes of a message."""
        return self.api.limits.message

    # --- the client

    async def send(self, message: bytes | str) -> None:
        """Send a message, binary or text; nothing after the close."""
        if self._closed:
            return
        self._active = time.monotonic()
        await self._send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})

    async def send_body(self, body: bytes) -> None:
        """Send bytes as text if they are UTF-8, and otherwise as they are."""
        try:
            await self.send(body.decode())
        except UnicodeDecodeError:
            await self.send(body)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Disconnect, once. From now on the client is gone for `@connections`."""
        if self._closed:
            return
        self._closed, self._end = True, (code, reason)
        self._close_event = self._end
        self._clients.remove(self)
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def describe(self) -> dict[str, Any]:
        """Return the state of the client for `@connections`."""
        times = {"connectedAt": iso(self._connected_ms), "lastActiveAt": iso(self._active_ms)}
        return {"connectionId": self.id, **times, "identity": self._client_facts}

    # --- its life

    async def serve(self) -> None:
        """Serve the client until it is gone."""
        await self.receive()  # websocket.connect
        try:
            await self._handle("CONNECT", Handshake(self))
            if self._connected_ms:
                self._clients.add(self)
                await self._serve_messages()
        finally:
            for task in self._tasks:
                task.cancel()
            for upstream in self.upstreams.values():
                await upstream.close(*self._end)
            if self._connected_ms:
                self._clients.remove(self)
                if "$disconnect" in self.routes:
                    await self._handle("DISCONNECT", Disconnect(self))

    async def _handle(self, event: str, transport: Transport, message: Any = None) -> None:
        """Take one event through the pipeline."""
        site = self._current_site()
        exchange = begin(site, self.scope, self.receive, self._send)
        exchange.request.websocket = WebSocketEvent(
            self.id, event, message, self._connected_ms or time.time_ns() // 1_000_000, *self._close_event
        )
        if event != "CONNECT":
            exchange.destination, exchange.caller = self.destination, self.caller
        rest = serve(site, exchange, transport)
        if rest is not None:
            await rest

    async def accept(self, exchange: Exchange, fields: Any, protocol: bytes | None) -> None:
        """Answer the handshake with a WebSocket."""
        if protocol is None:
            subprotocols = (upstream.subprotocol for upstream in self.upstreams.values())
            protocol = next((one.encode() for one in subprotocols if one), None)
        accept = {"type": "websocket.accept", "headers": fields}
        await self._send({**accept, "subprotocol": protocol.decode()} if protocol else accept)
        request = exchange.request
        self._client_facts = {"sourceIp": request.client, "userAgent": request.header("user-agent")}
        self._connected_ms = self._active_ms = time.time_ns() // 1_000_000
        self._tasks = [asyncio.create_task(self._pump(upstream)) for upstream in self.upstreams.values()]

    async def deny(self, response: Response, headers: Any) -> None:
        """Answer the handshake with a response where the server can, and otherwise with its own 403."""
        if "websocket.http.response" not in (self.scope.get("extensions") or {}):
            await self._send({"type": "websocket.close"})
            return
        await self._send({"type": "websocket.http.response.start", "status": response.status, "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": response.body})

    async def _serve_messages(self) -> None:
        limits = self.api.limits
        ends = time.monotonic() + limits.life
        while True:
            now, until = time.monotonic(), min(ends, self._active + limits.idle)
            if now >= until:
                await self.close(GOING_AWAY, "the connection has lived long enough" if now >= ends else "idle")
                return
            try:
                async with asyncio.timeout(until - now):
                    message = await self.receive()
            except TimeoutError:
                continue
            if message["type"] == "websocket.disconnect":
                if not self._closed:
                    self._close_event = message.get("code", 1005), message.get("reason") or ""
                if not self._closed and message.get("code", 1005) not in UNSENT:
                    self._end = message["code"], message.get("reason") or ""
                return
            self._active, self._active_ms = time.monotonic(), time.time_ns() // 1_000_000
            text, binary = message.get("text"), message.get("bytes")
            body = text.encode() if text is not None else binary or b""
            if len(body) > limits.message:
                await self.close(TOO_BIG, f"more than {limits.message} bytes")
                return
            await self._handle("MESSAGE", Message(self, body, text is not None), json_or_none(text))

    async def _pump(self, upstream: Any) -> None:
        """Pass the messages of the backend to the client, until one of them is gone."""
        code, reason = GOING_AWAY, ""
        try:
            async for message in upstream:
                await self.send(message)
            code, reason = upstream.close_code or GOING_AWAY, upstream.close_reason or ""
        except websockets.ConnectionClosed as error:
            received, sent = error.rcvd, error.sent
            code, reason = (received.code, received.reason) if received else (BAD_GATEWAY, "the backend is gone")
            if sent and sent.code == TOO_BIG:
                code, reason = TOO_BIG, "a message of the backend is too big"
        except OSError:
            return
        await self.close(1000 if code in UNSENT else code, reason)


class Handshake(Transport):
    """The transport of the handshake: a client is connected to `$connect`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def route(self, site: Site, exchange: Exchange) -> CompiledRoute:
        request, connection = exchange.request, self.connection
        check_headers(request)
        host = request.host if site.has_domains else ""
        match = site.router.find(WEBSOCKET, request.raw_path, request.scope.get("root_path"), host)
        exchange.destination = connection.destination = match.destination
        if match.route is None:
            raise Refusal(*match.refusal)
        connection.api = api = site.apis[match.destination.api]
        origin = request.header("origin")
        if api.origins and origin is not None and origin.lower() not in api.origins:
            raise Refusal("ACCESS_DENIED", f"the origin {origin!r}")
        connection.routes = dict(site.variant(match.destination).routes)
        return match.route

    async def answer(self, route: CompiledRoute, exchange: Exchange) -> Response:
        """Ask `$connect`, and then each backend that speaks WebSocket."""
        connection = self.connection
        connection.caller = exchange.caller
        response = await ask(route, exchange, b"")
        if not 200 <= response.status < 300:
            return response
        for key, other in connection.routes.items():
            if isinstance(other.integration, ProxyIntegration) and other.integration.is_websocket:
                upstream = await open_upstream(other.integration, exchange, connection.max_message)
                if isinstance(upstream, Response):
                    return upstream
                connection.upstreams[key] = upstream
        return response

    async def deliver(self, site: Site, exchange: Exchange, response: Response) -> None:
        outcome = exchange.outcome
        if 200 <= response.status < 300:
            protocol = dict(response.headers).get(b"sec-websocket-protocol")
            await self.connection.accept(exchange, own_headers(site, exchange, []), protocol)
            outcome.status = 101
            return
        if outcome.result == "admitted":
            outcome.result = "denied"  # by the integration
        await self.connection.deny(response, own_headers(site, exchange, response.headers))


class Message(Transport):
    """The transport of one message.

    Args:
        connection: of the client.
        body: the message.
        is_text: whether it came as text.
    """

    def __init__(self, connection: Connection, body: bytes, is_text: bool) -> None:
        self._connection = connection
        self._body = body
        self._is_text = is_text
        self._answers = True

    def route(self, site: Site, exchange: Exchange) -> CompiledRoute:
        """Return the route that the message names, or else `$default`."""
        connection = self._connection
        message = exchange.request.websocket.message
        key = connection.api.selection.fill(exchange) if isinstance(message, dict) else "$default"
        route = connection.routes.get(key) if not key.startswith("$") else None
        route = route or connection.routes.get("$default")
        if route is None:
            raise Refusal("ACCESS_DENIED", "no such route")
        exchange.destination = replace(connection.destination, route=route.key)
        self._answers = route.answers
        return route

    async def answer(self, route: CompiledRoute, exchange: Exchange) -> Response:
        upstream = self._connection.upstreams.get(route.key)
        if upstream is None:
            return await ask(route, exchange, self._body)
        try:
            await upstream.send(self._body.decode() if self._is_text else self._body)
        except websockets.ConnectionClosed:
            exchange.outcome.integration_error, exchange.outcome.result = "the backend closed", "failed"
            return Response(504, [])
        return Response(200, [])

    async def deliver(self, site: Site, exchange: Exchange, response: Response) -> None:
        body = response.body
        assert isinstance(body, bytes)
        if exchange.outcome.error_type:
            body = error_frame(exchange).encode()
        elif self._answers:
            exchange.outcome.response_length = len(body)
        else:
            return
        if body:
            await self._connection.send_body(body)


class Disconnect(Transport):
    """The transport of the end: the backend of `$disconnect` learns of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def route(self, site: Site, exchange: Exchange) -> CompiledRoute:
        exchange.destination = replace(self._connection.destination, route="$disconnect")
        return self._connection.routes["$disconnect"]

    async def answer(self, route: CompiledRoute, exchange: Exchange) -> Response:
        return await ask(route, exchange, b"")

    async def deliver(self, site: Site, exchange: Exchange, response: Response) -> None:
        """Do nothing: the client is gone."""


async def ask(route: CompiledRoute, exchange: Exchange, body: bytes) -> Response:
    """Return the whole answer of a route; a backend gets a message by POST."""
    if isinstance(route.integration, ProxyIntegration) and route.integration.is_websocket:
        return Response(200, [])
    request = exchange.request
    request.scope = {**request.scope, "method": "POST" if body else "GET"}
    request.body = body
    response = await route.answer(exchange)
    return response._replace(body=await collect(request, response, route.max_body))


def error_frame(exchange: Exchange) -> str:
    """Return the frame that replaces the answer to a message."""
    ids = {"connectionId": exchange.request.websocket.connection, "requestId": exchange.request.id}
    frame: dict[str, Any] = {"message": exchange.outcome.error, **ids}
    ruling = exchange.ruling
    if ruling is not None and ruling.retry_after_ns is not None:
        frame["retryAfter"] = -(-ruling.retry_after_ns // 1_000_000_000)
    return json.dumps(frame)


def iso(milliseconds: int) -> str:
    """Return a moment by ISO 8601, as the SDKs read it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_or_none(text: str | None) -> Any:
    """Read JSON; return None for other text."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None
