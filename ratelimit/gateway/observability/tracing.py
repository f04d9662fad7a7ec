"""Spans by OpenTelemetry: one for each request, and the headers that continue it in backends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..exchange import Exchange
from ..http.headers import Headers

try:
    from opentelemetry import propagate, trace
except ImportError:  # an extra
    trace = None  # type: ignore[assignment]


class Tracing:
    """Makes the spans of a gateway.

    Raises: ValueError when OpenTelemetry is not installed.
    """

    def __init__(self) -> None:
        if trace is None:
            raise ValueError("tracing requires the extra `otel`: pip install 'ratelimit-core[otel]'")
        self._tracer = trace.get_tracer("ratelimit.gateway")

    @contextmanager
    def request(self, exchange: Exchange) -> Iterator[None]:
        """Record the span of a request, below the one that its headers name. It has no API key and no address."""
        request = exchange.request
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()}
        with self._tracer.start_as_current_span(
            request.method, context=propagate.extract(carrier), kind=trace.SpanKind.SERVER
        ) as span:
            yield
            if exchange.destination.route:
                span.update_name(f"{request.method} {exchange.destination.route.rpartition(' ')[2]}")
            for name, value in _attributes(exchange).items():
                span.set_attribute(name, value)
            if exchange.outcome.status >= 500:
                span.set_status(trace.StatusCode.ERROR)


def _attributes(exchange: Exchange) -> dict[str, Any]:
    destination, ruling = exchange.destination, exchange.ruling
    found = {
        "http.request.method": exchange.request.method,
        "http.response.status_code": exchange.outcome.status,
        "http.route": destination.route,
        "ratelimit.api": destination.api,
        "ratelimit.stage": destination.stage,
        "ratelimit.canary": destination.is_canary,
        "ratelimit.level": ruling and ruling.level,
        "ratelimit.allowed": ruling and ruling.allowed,
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def trace_headers() -> Headers:
    """Return the headers by which the spans of a backend become part of the present trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return [(name.encode(), value.encode("latin-1")) for name, value in carrier.items()]
