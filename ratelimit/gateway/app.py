"""The dispatcher: an ASGI application that takes each request through the flow and answers it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from .admin.pages import Operator, reply
from .backends.balancer import LOST, Addresses
from .backends.proxy import whole_body
from .config.model import Configuration
from .exchange import Disconnected, Exchange, Pieces, Receive, Refusal, Response, Send, leave
from .routing.table import BadValue
from .server.peers import Connections
from .site import Flow, RouteFlow, check_headers, check_size
from .templates.gateway_responses import Header
from .throttling.levels import LEVELS, Limiters
from .throttling.usage_plan import sweep
from .websocket import Connection

log = logging.getLogger("ratelimit.gateway")
REFUSALS = {level: Refusal("QUOTA_EXCEEDED" if level == "quota" else "THROTTLED", level) for level in LEVELS}
NO_BODY = (204, 304)


class Gateway:
    """An API gateway as an ASGI application.

        app = Gateway(Configuration(apis={"hello": Api(routes={"GET /": Route(mock=Mock(body="hi"))},
                                                       stages={"$default": Stage()})}))

    Args:
        configuration: see there, or `read_file` for one in YAML or TOML.
        clock: for all limits, as for a limiter.
        peers: a folder in which the workers of one gateway find each other.

    Thread-safety: for one event loop; counts are shared with other processes as `tables` says.
    """

    def __init__(self, configuration: Configuration, clock: Any = None, peers: str | None = None) -> None:
        self.limiters = Limiters(configuration.tables, configuration.max_keys, clock)
        self.addresses = Addresses()
        self.flow = Flow(configuration, self.limiters, self.addresses)
        self.connections = Connections(peers)
        self.operator = Operator(self)
        self.connections.on_order = self.operator.perform
        self.on_start: list[Callable[[], Coroutine[Any, Any, None]]] = []  # what runs beside the serving
        sweep(list(self.flow.plans.values()), self.limiters)

    async def load(self, configuration: Configuration) -> None:
        """Serve by another configuration from the next request on. What was counted stays counted.

        Raises ValueError, and changes nothing, when the configuration cannot be put together.
        """
        flow = Flow(configuration, self.limiters, self.addresses)
        if configuration is not self.flow.configuration:
            self.operator.moves.clear()
        self.flow = flow
        await self.addresses.keep(self.flow.used)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            exchange = Exchange.begin(self.flow, scope, receive)
            if exchange.flow.tracing is None:
                await self._http(exchange, send)
            else:
                with exchange.flow.tracing.request(exchange):
                    await self._http(exchange, send)
        elif scope["type"] == "websocket":
            await Connection(self, scope, receive, send).serve()
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.connections.start()
        await self.operator.catch_up()
        tasks = [asyncio.create_task(run()) for run in (*self.on_start, self._sweep_daily)]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in tasks:
            task.cancel()
        await self.connections.stop()
        await self.addresses.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _sweep_daily(self) -> None:
        while True:
            await asyncio.sleep(3_600)
            sweep(list(self.flow.plans.values()), self.limiters)

    # --- HTTP

    async def _http(self, exchange: Exchange, send: Send) -> None:
        """The flow of a request: whose it is, whether it may, what it gets."""
        flow = exchange.flow
        try:
            check_headers(exchange)
            route = flow.find(exchange)
            if route is None:
                response = await self._apart(exchange)
            else:
                check_size(exchange, route)
                if route.guarded:
                    await flow.admit(exchange, route)
                refusal = self.throttle(exchange, route)
                if refusal is None:
                    response = route.ready or await route.answer(exchange)
                else:
                    response = self.refused(exchange, refusal)
        except Disconnected:
            exchange.status, exchange.error, exchange.result = 499, "the client went away", "failed"
            self.done(exchange)
            return
        except Refusal as refusal:
            response = self.refused(exchange, refusal)
        except Exception:
            log.exception("the gateway failed")
            response = self.refused(exchange, Refusal("INTERNAL_ERROR"))
        exchange.status, headers, body = response
        if exchange.status in NO_BODY:
            headers, body = await without_body(headers, body)
        try:
            told = exchange.told(headers)
            await send({"type": "http.response.start", "status": exchange.status, "headers": told})
            if isinstance(body, bytes):
                exchange.response_length = 0 if exchange.scope["method"] == "HEAD" else len(body)
                await send({"type": "http.response.body", "body": body})
            else:
                await self._stream(exchange, body, send)
        finally:
            if not isinstance(body, bytes):
                await body.aclose()
            self.done(exchange)

    async def _apart(self, exchange: Exchange) -> Response:
        """What has no route: the operator's pages, and `@connections/{id}` of a WebSocket API, for operators alone."""
        if exchange.place is None:
            return await self.operator.answer(exchange)
        path = exchange.place.path
        if exchange.client not in exchange.flow.operators or not path.startswith("/@connections/"):
            raise Refusal("ACCESS_DENIED", "plain HTTP at a WebSocket API")
        body = await whole_body(exchange, 2**20)
        return reply(
            *await self.connections.request(exchange.scope["method"], path.removeprefix("/@connections/"), body)
        )

    def throttle(self, exchange: Exchange, route: RouteFlow) -> Refusal | None:
        """Spend one request at all levels, or say why not."""
        try:
            chain = route.chain if exchange.plan is None else route.chain_with(exchange.plan, exchange)
            exchange.ruling = ruling = chain.hit()
        except Exception as error:
            otherwise = exchange.flow.configuration.on_limiter_error
            log.exception("a limiter failed; on_limiter_error is %s", otherwise)
            return Refusal("LIMITER_FAILURE", repr(error)) if otherwise == "fail_closed" else None
        if ruling.shadow:
            route.meter.would_refuse(ruling.shadow)
        if ruling.allowed:
            return None
        route.meter.refuse(ruling.level)
        return REFUSALS[ruling.level]

    def refused(self, exchange: Exchange, refusal: Refusal) -> Response:
        """The gateway's own answer."""
        try:
            return (exchange.api or exchange.flow).responses.answer(exchange, refusal)
        except BadValue:
            return exchange.flow.plain.answer(exchange, refusal)

    async def _stream(self, exchange: Exchange, body: Pieces, send: Send) -> None:
        leaving = asyncio.create_task(left(exchange.receive))
        try:
            async for chunk in body:
                if leaving.done():
                    exchange.error, exchange.result = "the client went away", "failed"
                    return
                exchange.response_length += len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except LOST as error:
            # The answer is left without its end, for which the server closes the connection: so the client knows.
            exchange.integration_error, exchange.result = repr(error), "failed"
            log.warning("the backend of route %s failed in mid-body: %r", exchange.route and exchange.route.key, error)
        finally:
            leaving.cancel()

    def done(self, exchange: Exchange) -> None:
        """Count the request and write its line."""
        if exchange.route is not None:
            exchange.route.meter.record(exchange.result, exchange.status, exchange.started_ns)
        elif exchange.error_type:
            exchange.flow.unrouted.record(exchange.result, exchange.status, exchange.started_ns)
        if exchange.flow.line is not None:
            exchange.flow.line.write(exchange)


async def left(receive: Receive) -> None:
    """Until the client is gone. Sending tells nothing of it, and a backend may go on forever."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def without_body(headers: list[Header], body: bytes | Pieces) -> tuple[list[Header], bytes]:
    """An answer whose status has no body: a client would take one for the beginning of the next answer."""
    await leave(body)
    return [header for header in headers if header[0] != b"content-length"], b""
