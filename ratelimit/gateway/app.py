"""The dispatcher: an ASGI application that takes each request through the flow and answers it."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from .backends import LOST, Addresses, Stream
from .exchange import Disconnected, Exchange, Receive, Refusal, Response, Send
from .flow import Flow, RouteFlow, check_headers
from .integrations import CLOSE, whole_body
from .mapping import BadValue
from .model import Configuration
from .operator import Operator, reply
from .peers import Connections
from .plans import sweep
from .responses import limit_fields
from .routes import BadPath
from .throttle import Limiters
from .websocket import Connection

log = logging.getLogger("ratelimit.gateway")
RESULT = {"THROTTLED": "throttled", "QUOTA_EXCEEDED": "quota_exceeded"}


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
        before, self.flow = self.flow, Flow(configuration, self.limiters, self.addresses)
        await self.addresses.keep(self.flow.used_addresses())
        if before.line is not None:
            before.line.close()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await Connection(self, scope, receive, send).serve()
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.connections.start()
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

    async def _http(self, scope: Any, receive: Receive, send: Send) -> None:
        exchange = Exchange(self.flow, scope, receive)
        if exchange.flow.tracing is None:
            await self._exchange(exchange, send)
        else:
            with exchange.flow.tracing.request(exchange):
                await self._exchange(exchange, send)

    async def _exchange(self, exchange: Exchange, send: Send) -> None:
        try:
            response = await self._answer(exchange)
            result = "admitted"
        except Refusal as refusal:
            response = self.refused(exchange, refusal)
            result = RESULT.get(refusal.type, "denied" if response.status < 500 else "failed")
        except Disconnected:
            exchange.status, exchange.error = 499, "the client went away"
            self.done(exchange, "failed")
            return
        except Exception:
            log.exception("the gateway failed")
            response = self.refused(exchange, Refusal("INTERNAL_ERROR"))
            result = "failed"
        try:
            await self._send(exchange, response, send)
        except LOST as error:
            # The answer is left without its end, for which the server closes the connection: so the client knows.
            exchange.integration_error, result = repr(error), "failed"
            log.warning("the backend of route %s failed in mid-body: %r", exchange.route and exchange.route.key, error)
        finally:
            self.done(exchange, result)

    async def _answer(self, exchange: Exchange) -> Response:
        flow = exchange.flow
        check_headers(exchange, flow)
        if exchange.scope["path"].startswith(flow.operator_path) and self.operator.is_for(exchange):
            return await self.operator.answer(exchange)
        flow.find(exchange)
        route = exchange.route
        if route is None:
            return await self._connections(exchange)
        length = exchange.headers.get(b"content-length")
        if length is not None and (not length.isdigit() or int(length) > route.max_body):
            raise Refusal("REQUEST_TOO_LARGE", f"{length!r} bytes", CLOSE)
        if route.guarded:
            await flow.admit(exchange, route)
        self.throttle(exchange, route)
        try:
            response = await route.call(exchange)
            if route.response is not None:
                response = mapped(exchange, route, response)
        except (BadValue, BadPath) as error:
            raise Refusal("BAD_REQUEST", str(error)) from error
        response.headers = [*response.headers, *limit_fields(exchange)]
        return response

    async def _connections(self, exchange: Exchange) -> Response:
        """`@connections/{id}` of a WebSocket API: for operators alone."""
        if exchange.client not in exchange.flow.operators or not exchange.path.startswith("/@connections/"):
            raise Refusal("ACCESS_DENIED", "plain HTTP at a WebSocket API")
        body = await whole_body(exchange, 2**20)
        return reply(*await self.connections.request(exchange.scope["method"], exchange.path[14:], body))

    def throttle(self, exchange: Exchange, route: RouteFlow) -> None:
        """Spend one request at all levels, or raise a Refusal."""
        try:
            chain = route.chain
            if exchange.plan is not None:
                assert exchange.side is not None
                stage, shadow = exchange.side.stage.path, exchange.flow.configuration.shadow
                chain = exchange.plan.chain(exchange.key, stage, route.key, route.rest, shadow)
            exchange.chain = chain
            ruling = exchange.ruling = chain.hit()
        except Exception as error:
            log.exception("a limiter failed; on_limiter_error is %s", exchange.flow.configuration.on_limiter_error)
            if exchange.flow.configuration.on_limiter_error == "closed":
                raise Refusal("LIMITER_FAILURE", repr(error)) from error
            return
        if ruling.shadow:
            self.limiters.counts.allow(route.meter.shadow[ruling.shadow])
        if not ruling.allowed:
            self.limiters.counts.allow(route.meter.refused[ruling.level])
            raise Refusal("QUOTA_EXCEEDED" if ruling.level == "quota" else "THROTTLED", ruling.level)

    def refused(self, exchange: Exchange, refusal: Refusal) -> Response:
        """The gateway's own answer."""
        flow = exchange.flow
        responses = flow.apis[exchange.api].responses if exchange.api else flow.responses
        try:
            response = responses.answer(exchange, refusal)
        except BadValue:
            response = flow.plain.answer(exchange, refusal)
        response.headers += limit_fields(exchange)
        return response

    async def _send(self, exchange: Exchange, response: Response, send: Send) -> None:
        exchange.status = response.status
        body = response.body
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        if isinstance(body, bytes):
            exchange.response_length = len(body)
            await send({"type": "http.response.body", "body": body})
            return
        assert isinstance(body, Stream)
        try:
            async for chunk in body:
                exchange.response_length += len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            await body.aclose()
        await send({"type": "http.response.body", "body": b""})

    def done(self, exchange: Exchange, result: str) -> None:
        """Count the request and write its line."""
        if exchange.route is not None:
            exchange.route.meter.record(result, exchange.status, time.perf_counter_ns() - exchange.started_ns)
        if exchange.flow.line is not None:
            exchange.flow.line.write(exchange)


def mapped(exchange: Exchange, route: RouteFlow, response: Response) -> Response:
    """The response after the route's mapping."""
    assert route.response is not None
    status = route.response.status(response.status, exchange)
    return Response(status, route.response.headers(response.headers, exchange), response.body)
