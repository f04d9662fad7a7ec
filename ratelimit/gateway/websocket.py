"""WebSocket APIs: $connect, messages that are routed by what they say, $disconnect, and `@connections`."""

import asyncio
import json
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any

import websockets

from .backends.proxy import ProxyCall, collected
from .exchange import Exchange, Receive, Refusal, Response, Send
from .routing.table import BadValue
from .site import RouteFlow, Side, check_headers

if TYPE_CHECKING:
    from .app import Gateway

log = logging.getLogger("ratelimit.gateway")
GONE, TOO_BIG = 1001, 1009  # close codes
UNSAID = (1005, 1006)  # those that stand for none


class Connection:
    """One client, from its handshake until it is gone."""

    def __init__(self, gateway: "Gateway", scope: Any, receive: Receive, send: Send) -> None:
        self.gateway = gateway
        self.id = f"{gateway.connections.worker}-{secrets.token_urlsafe(12)}"
        self.scope = {**scope, "method": "GET"}
        self._receive = receive
        self._send = send
        self.connected_ms = self.active_ms = 0
        self._active = time.monotonic()  # when something was last sent or received
        self.first: Exchange  # the handshake's
        self.side: Side
        self._closed = False
        self._end = 1000, ""  # the code and the reason with which the client or the gateway closes
        self._upstreams: dict[str, Any] = {}  # by route key
        self._tasks: list[asyncio.Task[None]] = []

    # --- the client

    async def send(self, message: bytes | str) -> None:
        """Send a message, binary or text; none after the close."""
        if self._closed:
            return
        self._active = time.monotonic()
        await self._send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})

    async def send_body(self, body: bytes) -> None:
        """Send what is not said to be binary or text: as text, if it is UTF-8."""
        try:
            await self.send(body.decode())
        except UnicodeDecodeError:
            await self.send(body)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Disconnect, once. Whoever asks for the client from now on is told that it is gone."""
        if self._closed:
            return
        self._closed, self._end = True, (code, reason)
        self.gateway.connections.remove(self)
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def serve(self) -> None:
        """The whole life of the connection."""
        await self._receive()  # websocket.connect
        self.first = self._exchange(None, "CONNECT")
        try:
            if await self._handshake(self.first):
                self.gateway.connections.add(self)
                await self._talk()
        finally:
            for task in self._tasks:
                task.cancel()
            for upstream in self._upstreams.values():
                await upstream.close(*self._end)
            if self.connected_ms:
                self.gateway.connections.remove(self)
                await self._disconnected()

    async def _handshake(self, exchange: Exchange) -> bool:
        """Accept the client or deny it."""
        try:
            response = await self._connect(exchange)
        except Exception as error:
            response = self._refused(exchange, error)
        accepted = 200 <= response.status < 300
        try:
            await (self._accept if accepted else self._deny)(exchange, response)
        finally:
            self.gateway.done(exchange)
        return accepted

    def _refused(self, exchange: Exchange, error: Exception) -> Response:
        """The gateway's own answer to what went wrong."""
        if isinstance(error, BadValue):
            error = Refusal("BAD_REQUEST", str(error))
        elif not isinstance(error, Refusal):
            log.error("the gateway failed", exc_info=error)
            error = Refusal("INTERNAL_ERROR")
        return self.gateway.refused(exchange, error)

    async def _connect(self, exchange: Exchange) -> Response:
        flow = exchange.flow
        check_headers(exchange)
        flow.find(exchange)
        if exchange.side is None or exchange.side.stage.api.api.type != "websocket":
            raise Refusal("RESOURCE_NOT_FOUND", "no WebSocket API")
        self.side = exchange.side
        exchange.route = route = self.side.routes["$connect"]
        if route.guarded:
            await flow.admit(exchange, route)
        self._throttle(exchange, route)
        response = await self._call(exchange, route, b"")
        if not 200 <= response.status < 300:
            return response
        for key, other in self.side.routes.items():
            if isinstance(other.call, ProxyCall) and other.call.to_websocket:
                upstream = await other.call.open_websocket(exchange)
                if isinstance(upstream, Response):
                    return upstream
                self._upstreams[key] = upstream
        return response

    async def _accept(self, exchange: Exchange, response: Response) -> None:
        fields = exchange.told([])
        protocol = dict(response.headers).get(b"sec-websocket-protocol")
        if protocol is None:
            protocol = next((up.subprotocol.encode() for up in self._upstreams.values() if up.subprotocol), None)
        accept = {"type": "websocket.accept", "headers": fields}
        await self._send({**accept, "subprotocol": protocol.decode()} if protocol else accept)
        exchange.status = 101
        self.connected_ms = self.active_ms = time.time_ns() // 1_000_000
        self._tasks = [asyncio.create_task(self._pump(upstream)) for upstream in self._upstreams.values()]

    async def _deny(self, exchange: Exchange, response: Response) -> None:
        """Answer the handshake: with the response where the server can, else with its 403."""
        exchange.status = response.status
        if exchange.result == "admitted":
            exchange.result = "denied"  # by the integration
        if "websocket.http.response" not in (self.scope.get("extensions") or {}):
            await self._send({"type": "websocket.close"})
            return
        headers = exchange.told(response.headers)
        await self._send({"type": "websocket.http.response.start", "status": response.status, "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": response.body})

    # --- messages

    async def _talk(self) -> None:
        limits = self.side.stage.api.api.limits
        ends = time.monotonic() + limits.life
        while True:
            now, until = time.monotonic(), min(ends, self._active + limits.idle)
            if now >= until:
                await self.close(GONE, "the connection has lived long enough" if now >= ends else "idle")
                return
            try:
                async with asyncio.timeout(until - now):
                    message = await self._receive()
            except TimeoutError:
                continue
            if message["type"] == "websocket.disconnect":
                if not self._closed and message.get("code", 1005) not in UNSAID:
                    self._end = message["code"], message.get("reason") or ""
                return
            self._active, self.active_ms = time.monotonic(), time.time_ns() // 1_000_000
            text, binary = message.get("text"), message.get("bytes")
            body = text.encode() if text is not None else binary or b""
            if len(body) > limits.message:
                await self.close(TOO_BIG, f"more than {limits.message} bytes")
                return
            await self._message(body, text is not None)

    async def _message(self, body: bytes, is_text: bool) -> None:
        exchange = self._exchange(None, "MESSAGE")
        try:
            exchange.message = json.loads(body) if is_text else None
        except (ValueError, RecursionError):
            exchange.message = None
        try:
            answer = await self._answer(exchange, body, is_text)
        except websockets.ConnectionClosed:
            exchange.status, exchange.integration_error, exchange.result = 504, "the backend closed", "failed"
            answer = b""
        except Exception as error:
            self._refused(exchange, error)
            answer = self._error(exchange).encode()
        try:
            if answer:
                await self.send_body(answer)
        finally:
            self.gateway.done(exchange)

    async def _answer(self, exchange: Exchange, body: bytes, is_text: bool) -> bytes:
        """What the message's route answers, if anything."""
        exchange.route = route = self._select(exchange)
        self._throttle(exchange, route)
        upstream = self._upstreams.get(route.key)
        if upstream is not None:
            await upstream.send(body.decode() if is_text else body)
            exchange.status = 200
            return b""
        response = await self._call(exchange, route, body)
        assert isinstance(response.body, bytes)
        exchange.status, exchange.response_length = response.status, len(response.body)
        return response.body

    def _throttle(self, exchange: Exchange, route: RouteFlow) -> None:
        refusal = self.gateway.throttle(exchange, route)
        if refusal is not None:
            raise Refusal(refusal.type, refusal.message)

    def _select(self, exchange: Exchange) -> RouteFlow:
        """The route that the message names, else `$default`."""
        key = self.side.stage.api.selection.fill(exchange) if isinstance(exchange.message, dict) else "$default"
        route = self.side.routes.get(key) if not key.startswith("$") else None
        route = route or self.side.routes.get("$default")
        if route is None:
            raise Refusal("RESOURCE_NOT_FOUND", "no such route")
        return route

    def _error(self, exchange: Exchange) -> str:
        frame: dict[str, Any] = {"message": exchange.error, "connectionId": self.id, "requestId": exchange.id}
        ruling = exchange.ruling
        if ruling is not None and ruling.retry_after_ns is not None:
            frame["retryAfter"] = -(-ruling.retry_after_ns // 1_000_000_000)
        return json.dumps(frame)

    async def _call(self, exchange: Exchange, route: RouteFlow, body: bytes) -> Response:
        """The route's integration; a backend gets the message by POST."""
        if isinstance(route.call, ProxyCall) and route.call.to_websocket:
            return Response(200, [])
        exchange.scope = {**exchange.scope, "method": "POST" if body else "GET"}
        exchange.body = body
        response = await route.answer(exchange)
        return response._replace(body=await collected(response, route.route.max_body))

    async def _pump(self, upstream: Any) -> None:
        """What the backend says goes to the client, until one of them is gone."""
        code, reason = GONE, ""
        try:
            async for message in upstream:
                await self.send(message)
            code, reason = upstream.close_code or GONE, upstream.close_reason or ""
        except websockets.ConnectionClosed as error:
            received, sent = error.rcvd, error.sent
            code, reason = (received.code, received.reason) if received else (1014, "the backend is gone")
            if sent and sent.code == TOO_BIG:
                code, reason = TOO_BIG, "a message of the backend is too big"
        except OSError:
            return
        await self.close(1000 if code in UNSAID else code, reason)

    async def _disconnected(self) -> None:
        """Tell the backend, as far as that goes."""
        route = self.side.routes.get("$disconnect")
        if route is None:
            return
        exchange = self._exchange(route, "DISCONNECT")
        try:
            exchange.status = (await self._call(exchange, route, b"")).status
        except Exception as error:
            self._refused(exchange, error)
        self.gateway.done(exchange)

    def _exchange(self, route: RouteFlow | None, event: str) -> Exchange:
        # By the present configuration, so that a log that was rotated is left; route and throttles stay the first's.
        exchange = Exchange.begin(self.gateway.flow, self.scope, self._receive)
        exchange.connection, exchange.event_type, exchange.route = self.id, event, route
        if event != "CONNECT":
            for name in ("client", "behind_proxy", "api", "place", "found", "key", "plan", "authorizer"):
                setattr(exchange, name, getattr(self.first, name))
        return exchange

    def described(self) -> dict[str, Any]:
        return {
            "connectionId": self.id,
            "connectedAt": self.connected_ms,
            "lastActiveAt": self.active_ms,
            "identity": {"sourceIp": self.first.client, "userAgent": self.first.header("user-agent")},
        }
