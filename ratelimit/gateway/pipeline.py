"""The way of every request: route, admit, throttle, answer, record."""

import logging
from typing import Any, Protocol

from .exchange import Exchange
from .http.errors import BadValue, ClientDisconnected, Refusal
from .http.headers import Headers
from .http.request import Receive, Request, Send
from .http.response import Response
from .observability.meter import stopwatch_ns
from .site import CompiledRoute, Site
from .templates.gateway_responses import GatewayResponses
from .throttling.levels import LEVELS

log = logging.getLogger("ratelimit.gateway")
REFUSALS = {level: Refusal("QUOTA_EXCEEDED" if level == "quota" else "THROTTLED", level) for level in LEVELS}


class Transport(Protocol):
    """The differences between an HTTP request, a handshake, and a message of a WebSocket."""

    def route(self, site: Site, exchange: Exchange) -> CompiledRoute:
        """Find the route, and set the destination as far as it is known; or raise a Refusal."""

    async def answer(self, route: CompiledRoute, exchange: Exchange) -> Response:
        """Get the answer of the route; or raise a Refusal."""

    async def deliver(self, site: Site, exchange: Exchange, response: Response) -> None:
        """Send the answer, or that of a Refusal, to the client."""


async def serve(site: Site, exchange: Exchange, transport: Transport) -> None:
    """Take one request from its route to its record."""
    route = None
    try:
        route = transport.route(site, exchange)
        if route.guard is not None:
            exchange.caller = await route.guard.admit(exchange)
        response = throttle(site, route, exchange)
        if response is None:
            response = route.constant or await transport.answer(route, exchange)
    except ClientDisconnected:
        client_disconnected(exchange)
        exchange.outcome.status = 499
        record(site, route, exchange)
        return
    except Exception as error:
        response = refuse(site, exchange, error)
    exchange.outcome.status = response.status
    try:
        await transport.deliver(site, exchange, response)
    finally:
        record(site, route, exchange)


def begin(site: Site, scope: Any, receive: Receive, send: Send) -> Exchange:
    """Make the exchange of an ASGI scope."""
    request = Request(scope, receive, send, site.now_ns(), stopwatch_ns(), site.body_timeout)
    if site.trusted_proxies is not None:
        request.identify_client(site.trusted_proxies)
    return Exchange(request)


def throttle(site: Site, route: CompiledRoute, exchange: Exchange) -> Response | None:
    """Spend one request at all levels; return the answer if a level refuses."""
    try:
        caller = exchange.caller
        chain = route.chain_of_plan(caller) if caller.key else route.chain
        if chain is None:
            return None
        exchange.ruling = ruling = chain.hit()
    except Exception as error:
        log.exception("a limiter failed; on_limiter_error is %s", "fail_open" if site.fails_open else "fail_closed")
        return None if site.fails_open else refuse(site, exchange, Refusal("LIMITER_FAILURE", repr(error)))
    if ruling.shadow and route.meter is not None:
        route.meter.would_refuse(ruling.shadow)
    if ruling.allowed:
        return None
    if route.meter is not None:
        route.meter.refuse(ruling.level)
    return refuse(site, exchange, REFUSALS[ruling.level])


def refuse(site: Site, exchange: Exchange, error: Exception) -> Response:
    """Make the gateway's own answer to an error that stopped a request."""
    if isinstance(error, BadValue):
        error = Refusal("BAD_REQUEST", str(error))
    elif not isinstance(error, Refusal):
        log.error("the gateway failed", exc_info=error)
        error = Refusal("INTERNAL_ERROR")
    try:
        return _gateway_response(site.responses_of(exchange.destination), exchange, error)
    except BadValue:
        return _gateway_response(site.plain_responses, exchange, error)


def _gateway_response(responses: GatewayResponses, exchange: Exchange, refusal: Refusal) -> Response:
    own, outcome = responses.by_type[refusal.type], exchange.outcome
    outcome.error, outcome.error_type, outcome.result = own.message, refusal.type, own.result
    outcome.status = own.status  # for the template
    return own.fill(exchange, refusal.headers)


def client_disconnected(exchange: Exchange) -> None:
    """Record that the client closed its connection before the end of the exchange."""
    exchange.outcome.error, exchange.outcome.result = "the client went away", "failed"


def limit_headers(site: Site, exchange: Exchange, headers: Headers) -> Headers:
    """Return the headers of an answer, with those about the limits if there is a ruling."""
    return headers if exchange.ruling is None else exchange.ruling.with_limit_headers(headers, site.limit_headers)


def record(site: Site, route: CompiledRoute | None, exchange: Exchange) -> None:
    """Count a request that has ended, and write its line."""
    outcome = exchange.outcome
    meter = site.unrouted if route is None else route.meter
    if meter is not None:
        meter.record(outcome.result, outcome.status, exchange.request.started_ns)
    if site.access_log is not None:
        site.access_log.write(exchange)
