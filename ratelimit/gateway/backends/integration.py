"""The interface of integrations."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from ..exchange import Exchange
from ..http.errors import Refusal
from ..http.response import Response


class Integration(Protocol):
    """Answers the requests of a route."""

    async def answer(self, exchange: Exchange) -> Response:
        """Return the answer, or raise a Refusal or a BadValue."""


@contextmanager
def timed_integration(exchange: Exchange) -> Iterator[None]:
    """Record how long the integration takes, and why it fails."""
    began = time.perf_counter_ns()
    try:
        yield
    except Refusal as refusal:
        exchange.outcome.integration_error = refusal.message
        raise
    finally:
        exchange.outcome.integration_ns = time.perf_counter_ns() - began
