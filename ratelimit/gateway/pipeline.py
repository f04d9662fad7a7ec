"""The way of every request: route, admit, throttle, answer, record."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, Protocol

from .access.guard import Guard
from .compiled import CompiledRoute
from .exchange import Exchange
from .http.body import BODY_MEMORY
from .http.errors import BadValue, ClientDisconnected, Refusal
from .http.headers import REQUEST_ID, Headers
from .http.request import CURRENT, Receive, Request, Send
from .http.response import Response
from .observability.meter import stopwatch_ns
from .site import Site
from .throttling.chain import Chain, Ruling
from .throttling.levels import LEVELS

log = logging.getLogger("ratelimit.gateway")
REFUSALS = {level: Refusal("QUOTA_EXCEEDED" if level == "quota" else "THROTTLED", level) for level in LEVELS}


class Transport(Protocol):
    """The differences between an HTTP request, a handshake, and a message of a WebSocket."""

    def route(self, site: Site, exchange: Exchange) -> CompiledRoute:
        """Find the route, and set the destination as far as it is known; or raise a Refusal."""

    async def answer(self, route: CompiledRoute, exchange: Exchange) -> Response:
        """Get the answer of the route; or raise a Refusal."""

    def deliver_now(self, site: Site, exchange: Exchange, response: Response) -> bool:
        """Send the answer, or that of a Refusal, to the client; return False if that has to wait for something."""
        return False

    async def deliver(self, site: Site, exchange: Exchange, response: Response) -> None:
        """Do the same, however long it takes."""


def serve(site: Site, exchange: Exchange, transport: Transport) -> Awaitable[None] | None:
    """Take one request from its route to its record. Return the rest of that way, or None at its end.

    A request that the gateway answers by itself waits for nothing, so that a refusal costs as little as possible.
    """
    route, before = None, CURRENT.set(exchange.request)
    try:
        try:
            route = transport.route(site, exchange)
            answer = answer_of(site, route, exchange, transport)
        except Exception as error:
            answer = refuse(site, exchange, error)
        if not isinstance(answer, Response):
            return finish(site, route, answer, exchange, transport)
        if deliver_now(site, route, answer, exchange, transport):
            return None
        return deliver(site, route, answer, exchange, transport)
    finally:
        CURRENT.reset(before)


def answer_of(
    site: Site, route: CompiledRoute, exchange: Exchange, transport: Transport
) -> Response | Awaitable[Response]:
    """Admit a request, and return its answer, or what has to be awaited for it."""
    if route.guard is not None:  # a message has the caller of its handshake
        route.guard.admit(exchange)
    if site.asks and route.chain is not None:
        return ask_engine(site, route, exchange, transport)
    decision = spend(site, route, exchange)
    if isinstance(decision, Guard):
        return ask_authorizer(site, route, decision, exchange, transport)
    return decision or route.constant or transport.answer(route, exchange)


async def ask_engine(site: Site, route: CompiledRoute, exchange: Exchange, transport: Transport) -> Response:
    """Return the answer to a request about which an engine decides. Meanwhile other requests go on."""
    decision = await asyncio.to_thread(spend, site, route, exchange)
    if isinstance(decision, Guard):
        return await ask_authorizer(site, route, decision, exchange, transport)
    return decision or route.constant or await transport.answer(route, exchange)


async def ask_authorizer(
    site: Site, route: CompiledRoute, guard: Guard, exchange: Exchange, transport: Transport
) -> Response:
    """Return the answer to a request of a client that only the authorizer of a guard knows."""
    await guard.ask(exchange)
    if site.asks and (route.late is not None or exchange.caller.key):
        response = await asyncio.to_thread(spend_rest, site, route, exchange)
    else:
        response = spend_rest(site, route, exchange)
    return response or route.constant or await transport.answer(route, exchange)


async def finish(
    site: Site, route: CompiledRoute | None, answer: Awaitable[Response], exchange: Exchange, transport: Transport
) -> None:
    """Take one request from what has to be awaited for its answer to its record."""
    CURRENT.set(exchange.request)
    try:
        response = await answer
    except (ClientDisconnected, asyncio.CancelledError) as error:
        is_cancelled = isinstance(error, asyncio.CancelledError)  # by an application around this one
        ended_early(exchange, "the request was cancelled" if is_cancelled else "the client went away")
        exchange.outcome.status = 499
        record(site, route, exchange)
        if is_cancelled:
            raise
        return
    except Exception as error:
        response = refuse(site, exchange, error)
    if not deliver_now(site, route, response, exchange, transport):
        await deliver(site, route, response, exchange, transport)


def deliver_now(
    site: Site, route: CompiledRoute | None, response: Response, exchange: Exchange, transport: Transport
) -> bool:
    """Send and record an answer, if that has to wait for nothing; return whether."""
    exchange.outcome.status, is_sent = response.status, True
    try:
        is_sent = transport.deliver_now(site, exchange, response)
    finally:
        if is_sent:  # or if sending has failed
            record(site, route, exchange)
    return is_sent


async def deliver(
    site: Site, route: CompiledRoute | None, response: Response, exchange: Exchange, transport: Transport
) -> None:
    """Send and record an answer, however long it takes."""
    CURRENT.set(exchange.request)
    try:
        await transport.deliver(site, exchange, response)
    finally:
        record(site, route, exchange)


def begin(site: Site, scope: Any, receive: Receive, send: Send) -> Exchange:
    """Make the exchange of an ASGI scope."""
    request = Request(scope, receive, send, site.now_ns(), stopwatch_ns(), site.body_pace)
    if site.trusted_proxies is not None:
        request.identify_client(site.trusted_proxies)
    return Exchange(request)


def spend(site: Site, route: CompiledRoute, exchange: Exchange) -> Guard | Response | None:
    """Spend a request at its levels; return the answer if one refuses, or the guard if it has to ask its authorizer.

    The levels that need no identity are spent before an authorizer's answer is looked for, so that clients cannot make
    that work without bound, and stay spent when it denies.
    """
    guard = route.guard
    if guard is None or guard.authorizer is None:
        chain = route.chain_of(exchange.caller) if exchange.caller.key else route.chain
        return throttle(site, chain, route, exchange)
    response = throttle(site, route.early, route, exchange)
    if response is not None:
        return response
    return spend_rest(site, route, exchange) if guard.recall(exchange) else guard


def spend_rest(site: Site, route: CompiledRoute, exchange: Exchange) -> Response | None:
    """Spend the levels that need the caller; return the answer if one refuses.

    The levels that have been spent are given back then. When the caller has a plan, they are spent again, all or
    nothing together with those of the plan.
    """
    spent, chain = exchange.ruling, route.chain_of(exchange.caller)
    if chain is not route.chain:
        give_back(route.early, spent, exchange)
        return throttle(site, chain, route, exchange)
    response = throttle(site, route.late, route, exchange)
    if response is not None:
        give_back(route.early, spent, exchange)
    if spent is not None and exchange.ruling is not None and exchange.ruling is not spent:
        exchange.ruling = exchange.ruling.joined(spent)
    return response


def give_back(chain: Chain | None, spent: Ruling | None, exchange: Exchange) -> None:
    """Take back what a chain has spent for a request, if it has a ruling."""
    if chain is not None and spent is not None:
        chain.give_back(spent, exchange)


def throttle(site: Site, chain: Chain | None, route: CompiledRoute, exchange: Exchange) -> Response | None:
    """Spend one request at all levels of a chain; return the answer if a level refuses."""
    if chain is None:
        return None
    try:
        ruling = chain.hit(site.limiter_failures, site.fails_open, exchange)
    except Exception as error:
        return limiter_failed(site, exchange, error)
    return apply_ruling(site, ruling, route, exchange)


def limiter_failed(site: Site, exchange: Exchange, error: Exception) -> Response:
    """Make the answer in place of a decision."""
    site.limiter_failures("any", error)
    return refuse(site, exchange, Refusal("LIMITER_FAILURE", repr(error)))


def apply_ruling(site: Site, ruling: Ruling, route: CompiledRoute, exchange: Exchange) -> Response | None:
    """Count a ruling; return the answer if a level refuses."""
    exchange.ruling = ruling
    if ruling.allowed:
        return None
    if route.meter is not None:
        route.meter.refuse(ruling.level)
    if ruling.fallback:  # the client is not at fault
        return refuse(site, exchange, Refusal("LIMITER_FAILURE", f"the engine of level {ruling.level} does not answer"))
    return refuse(site, exchange, REFUSALS[ruling.level])


def refuse(site: Site, exchange: Exchange, error: Exception) -> Response:
    """Make the gateway's own answer to an error that stopped a request."""
    refusal = error if isinstance(error, Refusal) else _refusal_of(error)
    own, outcome = site.responses_of(exchange.destination).by_type[refusal.type], exchange.outcome
    outcome.error, outcome.error_type, outcome.reason = refusal.shown or own.message, refusal.type, refusal.message
    outcome.result = own.result
    if log.isEnabledFor(logging.DEBUG):
        log.debug("refused with %d %s: %s", own.status, refusal.type, refusal.message)
    if own.constant is not None and not refusal.headers and not refusal.shown:
        return own.constant
    outcome.status = own.status  # for the template
    try:
        return own.fill(exchange, refusal.headers)
    except BadValue:
        return site.plain_responses.by_type[refusal.type].fill(exchange, refusal.headers)


def _refusal_of(error: Exception) -> Refusal:
    if isinstance(error, BadValue):
        return Refusal("BAD_REQUEST", str(error))
    log.error("the gateway failed", exc_info=error)
    return Refusal("INTERNAL_ERROR")


def ended_early(exchange: Exchange, reason: str) -> None:
    """Note why an exchange ended before the client had its answer."""
    exchange.outcome.error, exchange.outcome.result = reason, "failed"


def own_headers(site: Site, exchange: Exchange, headers: Headers) -> Headers:
    """Return the headers of an answer, with the id of the request, and those about the limits if there is a ruling."""
    headers = [*headers, (REQUEST_ID, exchange.request.id.encode())]
    return headers if exchange.ruling is None else exchange.ruling.with_limit_headers(headers, site.limit_headers)


def record(site: Site, route: CompiledRoute | None, exchange: Exchange) -> None:
    """Count a request that has ended, and write its line."""
    if exchange.request.held:
        BODY_MEMORY.release(exchange.request)
    outcome = exchange.outcome
    meter = site.unrouted if route is None else route.meter
    ruling = exchange.ruling
    if meter is not None:
        if ruling is not None and ruling.shadow and ruling.allowed:  # the last one: levels may be decided twice
            meter.would_refuse(ruling.shadow)
        meter.record(outcome.result, outcome.status, exchange.request.started_ns)
    if site.access_log is not None and not outcome.is_routine:
        site.access_log.write(exchange)
