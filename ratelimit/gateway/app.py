"""The gateway as an ASGI application."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from .access.jwt import KeySets
from .admin.pages import Pages
from .backends.address import Addresses
from .backends.balancer import CONNECTION_LOST
from .clients import Clients
from .compiled import CompiledRoute
from .config.model import Configuration
from .exchange import Exchange
from .functions.process import FunctionRegistry
from .http.body import BODY_MEMORY, check_length
from .http.disconnect import unless_disconnected
from .http.errors import ClientDisconnected, Refusal
from .http.headers import Headers
from .http.request import Receive, Send, check_headers
from .http.response import NO_BODY, BodyStream, Response, without_body
from .observability.meter import Meter
from .observability.tracing import Tracing
from .pipeline import Transport, begin, ended_early, own_headers, serve
from .site import Site
from .throttling.limiters import Limiters
from .throttling.usage_plan import UsagePlan, sweep
from .websocket import Connection

log = logging.getLogger("ratelimit.gateway")
SWEEP_SECONDS = 3_600
COMMANDS = "/@connections/"


class Gateway:
    """An API gateway as an ASGI application.

        app = Gateway(Configuration(apis={"hello": Api(routes={"GET /": Route(mock=Mock(body="hi"))},
                                                       stages={"$default": Stage()})}))

    Args:
        configuration: see there, or `read_file` for one in YAML.
        clock: for all limits, as for a limiter.

    Attributes:
        site: the one that it serves now.
        plans: its usage plans by name, and those that reloads have removed, whose counters are still swept.
        services: entered when the application starts, and left when it ends.

    Raises: ValueError when the configuration cannot be put together.

    Thread-safety: for one event loop; counts are shared with other processes according to `tables`.
    """

    def __init__(self, configuration: Configuration, clock: Any = None) -> None:
        self.limiters = Limiters(configuration.tables, configuration.max_keys, clock)
        self.addresses = Addresses(partial(Meter, self.limiters, "backend"))
        self.functions = FunctionRegistry()
        self.key_sets = KeySets()
        self.clients = Clients()
        self.plans: dict[str, UsagePlan] = {}
        self.services: list[AbstractAsyncContextManager[Any]] = []
        self._started_ns = self.limiters.now_ns()
        self._use(Site(configuration, self.limiters, self.addresses, self.functions, self.key_sets))
        sweep(self.plans.values(), self.limiters)

    def _use(self, site: Site) -> None:
        self.site = site
        for name, plan in site.plans.items():
            plan.follow(self.plans.get(name, plan))
            self.plans[name] = plan
        BODY_MEMORY.limit = site.configuration.max_bodies
        self.pages = Pages(site, self.limiters, self.clients, self._started_ns)
        self._http = HttpTransport(CompiledRoute("", self.pages), CompiledRoute("", Preflight(site)))

    async def load(self, configuration: Configuration) -> None:
        """Serve by another configuration from the next request on. All counts are kept.

        Raises: ValueError, and changes nothing, when the configuration cannot be put together.
        """
        self._use(Site(configuration, self.limiters, self.addresses, self.functions, self.key_sets))
        await self.addresses.keep(self.site.used)
        self.functions.keep(self.site.processes)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            rest = self.start(scope, receive, send)
            if rest is not None:
                await rest
        elif scope["type"] == "websocket":
            await Connection(lambda: self.site, self.clients, scope, receive, send).serve()
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    def start(self, scope: Any, receive: Receive, send: Send) -> Awaitable[None] | None:
        """Serve an HTTP request as far as it waits for nothing. Return the rest, to be awaited, or None at its end.

        A server that knows this method needs no task for a request that has its answer at once.
        """
        site, exchange = self.site, begin(self.site, scope, receive, send)
        if site.tracing is None:
            return serve(site, exchange, self._http)
        return serve_traced(site.tracing, site, exchange, self._http)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            for service in (*self.services, background(self._sweep)):
                await stack.enter_async_context(service)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await self.addresses.close()
        self.functions.keep(())
        await send({"type": "lifespan.shutdown.complete"})

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            sweep(self.plans.values(), self.limiters)


@asynccontextmanager
async def background(run: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run a coroutine function as a service until the application ends."""
    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()


async def serve_traced(tracing: Tracing, site: Site, exchange: Exchange, transport: Transport) -> None:
    """Serve a request within a span."""
    with tracing.request(exchange):
        rest = serve(site, exchange, transport)
        if rest is not None:
            await rest


class HttpTransport(Transport):
    """Serves HTTP requests.

    Args:
        pages: the route of the operator's pages.
        preflight: the route of preflights.
    """

    def __init__(self, pages: CompiledRoute, preflight: CompiledRoute) -> None:
        self._pages = pages
        self._preflight = preflight

    def route(self, site: Site, exchange: Exchange) -> CompiledRoute:
        request, scope = exchange.request, exchange.request.scope
        check_headers(request)
        if site.operator_path in scope["path"] and site.is_page(request) and site.may_see(request):
            return self._pages
        host = request.host if site.has_domains else ""
        match = site.router.find(scope["method"], request.raw_path, scope.get("root_path"), host)
        exchange.destination = destination = match.destination
        if site.has_cors and scope["method"] == "OPTIONS" and destination.api:
            cors = site.apis[destination.api].cors
            if cors is not None and cors.is_preflight(request):
                return self._preflight
        if site.websocket and COMMANDS in scope["path"] and site.is_operator(request):
            # A connection has the only client of its id, whichever host or base path leads to its API.
            path = COMMANDS + scope["path"].rpartition(COMMANDS)[2]
            exchange.destination = replace(destination, api=destination.api or site.websocket, path=path)
            return self._pages
        if match.route is not None:
            if b"content-length" in request.headers:
                check_length(request, match.route.max_body)
            return match.route
        raise Refusal(*match.refusal)

    async def answer(self, route: CompiledRoute, exchange: Exchange) -> Response:
        return await route.answer(exchange)

    def deliver_now(self, site: Site, exchange: Exchange, response: Response) -> bool:
        status, headers, body = response
        request = exchange.request
        if request.send_whole is None or not isinstance(body, bytes) or status in NO_BODY:
            return False
        exchange.outcome.response_length = 0 if request.scope["method"] == "HEAD" else len(body)
        return request.send_whole(status, headers_of(site, exchange, headers), body)

    async def deliver(self, site: Site, exchange: Exchange, response: Response) -> None:
        if response.status in NO_BODY:
            response = await without_body(response)
        status, headers, body = response
        send, headers = exchange.request.send, headers_of(site, exchange, headers)
        if isinstance(body, bytes):
            exchange.outcome.response_length = 0 if exchange.request.method == "HEAD" else len(body)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await self._stream(exchange, body)
        finally:
            await body.aclose()

    async def _stream(self, exchange: Exchange, body: BodyStream) -> None:
        outcome = exchange.outcome
        try:
            await unless_disconnected(exchange.request, self._pass_on(exchange, body), at_once=True)
        except ClientDisconnected:
            ended_early(exchange, "the client went away")
        except CONNECTION_LOST as error:
            # The answer stays incomplete, for which the server closes the connection: so the client knows.
            outcome.integration_error, outcome.result = repr(error), "failed"
            log.warning("the backend of route %s failed in mid-body: %r", exchange.destination.route, error)

    async def _pass_on(self, exchange: Exchange, body: BodyStream) -> None:
        send = exchange.request.send
        async for chunk in body:
            exchange.outcome.response_length += len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Preflight:
    """The integration of preflights: what pages of other sites may do. They count at no level."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def answer(self, exchange: Exchange) -> Response:
        cors = self._site.apis[exchange.destination.api].cors
        assert cors is not None
        return cors.answer(exchange.request)


def headers_of(site: Site, exchange: Exchange, headers: Headers) -> Headers:
    """Return the headers of an answer, with the gateway's own, and those that an API has for pages of other sites."""
    headers = own_headers(site, exchange, headers)
    api = site.apis.get(exchange.destination.api) if site.has_cors else None
    if api is None or api.cors is None:
        return headers
    return api.cors.apply(exchange.request, headers)
