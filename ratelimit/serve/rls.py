"""Envoy's rate limit service v3 over gRPC."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc

from .._engine.constants import NS_PER_SECOND
from .outcome import Question, Status, decide, fields
from .refused import BadRequest
from .site import Site

log = logging.getLogger("ratelimit.serve")
# Each decides one request. So many wait for an engine at once, and the next ones queue; the breaker bounds how long.
# They are started when they are needed.
THREADS = 64
MAX_MESSAGE = 65_536  # bytes of a request
MAX_CALLS = 1_000  # at once
UNLIMITED = 2**32 - 1  # of remaining requests
HEALTHY = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse with the status SERVING
Response = rls_pb2.RateLimitResponse


class Servicer:
    """Answers by the present site.

    Args:
        site: returns it; a reload replaces it.
    """

    def __init__(self, site: Callable[[], Site]) -> None:
        self._site = site

    def ShouldRateLimit(self, request: Any, context: Any) -> Any:
        """Decide about all descriptors of a request."""
        site = self._site()
        try:
            outcome = decide(site.rules, request.domain, [_question(one, request) for one in request.descriptors])
        except BadRequest as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception:
            log.exception("the rate limit service failed")
            context.abort(grpc.StatusCode.UNAVAILABLE, "a limiter failed")
        return Response(
            overall_code=Response.OVER_LIMIT if outcome.refused else Response.OK,
            statuses=[_status(status) for status in outcome.statuses],
            response_headers_to_add=[
                HeaderValue(key=name, value=value) for name, value in fields(outcome, site.configuration.headers)
            ],
        )


def _question(descriptor: Any, request: Any) -> Question:
    cost = request.hits_addend or 1
    if descriptor.HasField("hits_addend"):
        cost = min(descriptor.hits_addend.value, 2**62)
    override = None
    if descriptor.HasField("limit"):
        unit = descriptor.limit.DESCRIPTOR.fields_by_name["unit"].enum_type.values_by_number.get(descriptor.limit.unit)
        override = descriptor.limit.requests_per_unit, unit.name if unit is not None else "UNKNOWN"
    return Question(tuple((entry.key, entry.value) for entry in descriptor.entries), cost, override)


def _status(status: Status) -> Any:
    found = Response.DescriptorStatus(code=Response.OVER_LIMIT if status.over else Response.OK)
    if status.rule is not None and status.rule.unlimited:
        found.limit_remaining = UNLIMITED
    elif status.rule is not None:
        found.current_limit.requests_per_unit = status.rule.requests
        found.current_limit.unit = Response.RateLimit.Unit.Value(status.rule.unit)
        found.current_limit.name = status.rule.name
        found.limit_remaining = status.remaining or 0
        found.duration_until_reset.seconds, found.duration_until_reset.nanos = divmod(status.reset_ns, NS_PER_SECOND)
    return found


def start(address: str, site: Callable[[], Site]) -> Any:
    """Start a server in threads; several processes may listen at the same address.

    Raises:
        OSError: the server cannot listen at the address.
    """
    options = [("grpc.so_reuseport", 1), ("grpc.max_receive_message_length", MAX_MESSAGE)]
    server = grpc.server(ThreadPoolExecutor(THREADS, "rls"), options=options, maximum_concurrent_rpcs=MAX_CALLS)
    rls_pb2_grpc.add_RateLimitServiceServicer_to_server(Servicer(site), server)
    health = grpc.unary_unary_rpc_method_handler(lambda request, context: HEALTHY)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": health})])
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise OSError(f"cannot listen at {address}")
    server.start()
    return server
