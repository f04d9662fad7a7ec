"""Spans by OpenTelemetry, when the configuration asks for them: one for each request, and its context for backends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..exchange import Exchange

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
            raise ValueError("tracing needs OpenTelemetry: install ratelimit-core[otel]")
        self._tracer = trace.get_tracer("ratelimit.gateway")

    @contextmanager
    def request(self, exchange: Exchange) -> Iterator[None]:
        """The span of a request, below the one that its headers name. It has no key and no address in it."""
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers.items()}
        method = exchange.scope["method"]
        with self._tracer.start_as_current_span(
            method, context=propagate.extract(carrier), kind=trace.SpanKind.SERVER
        ) as span:
            yield
            if exchange.route is not None:
                span.update_name(f"{method} {exchange.route.key.rpartition(' ')[2]}")
            for name, value in self._attributes(exchange).items():
                span.set_attribute(name, value)
            if exchange.status >= 500:
                span.set_status(trace.StatusCode.ERROR)

    @staticmethod
    def _attributes(exchange: Exchange) -> dict[str, Any]:
        found = {
            "http.request.method": exchange.scope["method"],
            "http.response.status_code": exchange.status,
            "http.route": exchange.lookup("context.routeKey"),
            "ratelimit.api": exchange.api_name,
            "ratelimit.stage": exchange.lookup("context.stage"),
            "ratelimit.canary": exchange.side is not None and exchange.side.canary,
            "ratelimit.level": exchange.ruling and exchange.ruling.level,
            "ratelimit.allowed": exchange.ruling and exchange.ruling.allowed,
        }
        return {name: value for name, value in found.items() if value not in (None, "")}


def inject() -> list[tuple[bytes, bytes]]:
    """The headers by which a backend's spans find their place."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return [(name.encode(), value.encode("latin-1")) for name, value in carrier.items()]
