"""Functions that decide about a request by its credentials, and their answers, which are kept for a while."""

import logging
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from hashlib import sha256
from typing import Any

from ..exchange import Exchange
from ..functions.events import Events
from ..functions.invocation import Function
from ..http.errors import Refusal
from ..templates.template import Template

log = logging.getLogger("ratelimit.gateway")
MAX_CACHED_ANSWERS = 10_000
TIMEOUT = 10.0  # seconds for one answer


class CachingAuthorizer:
    """An authorizer and its answers.

    Args:
        function: of an event; returns a bool, or `{"isAuthorized": bool, "context": {...}, "usageIdentifierKey": the
            value of an API key}`.
        events: makes its events.
        identity: the header that identifies the client; a request without it is refused.
        ttl: seconds for which an answer holds for the same identity, stage and route.
        cache_key: what else must be the same.
        clock: seconds.
    """

    def __init__(
        self,
        function: Function,
        events: Events,
        identity: str,
        ttl: float,
        cache_key: Sequence[Template] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._function = function
        self._events = events
        self._identity = identity
        self._ttl = ttl
        self._cache_key = cache_key
        self._clock = clock
        self._answers: dict[bytes, tuple[float, dict[str, Any]]] = {}

    async def ask(self, exchange: Exchange) -> dict[str, Any]:
        """Return the answer that authorizes the request; raise a Refusal if it does not."""
        request, destination = exchange.request, exchange.destination
        identity = request.header(self._identity)
        if not identity:
            raise Refusal("UNAUTHORIZED", f"no {self._identity} header")
        name = self._identity.lower().encode()
        if sum(header == name for header, _ in request.raw_headers) > 1:
            raise Refusal("BAD_REQUEST", f"{self._identity} twice")
        dependencies = identity, destination.stage, destination.route, *(one.fill(exchange) for one in self._cache_key)
        label = sha256(repr(dependencies).encode()).digest()  # of headers that may have 64 KB each
        until, answer = self._answers.get(label, (0.0, {}))
        if self._clock() >= until:
            answer = await self._call(exchange)
            if self._ttl:
                if len(self._answers) >= MAX_CACHED_ANSWERS:
                    self._answers.clear()
                self._answers[label] = (self._clock() + self._ttl, answer)
        if not answer["isAuthorized"]:
            raise Refusal("ACCESS_DENIED", "the authorizer denies")
        return answer

    async def _call(self, exchange: Exchange) -> dict[str, Any]:
        try:
            answer = deepcopy(
                await self._function.invoke(self._events.make(exchange, b""), TIMEOUT)
            )  # the function's own
        except Refusal:
            raise
        except Exception as error:
            log.exception("the authorizer failed")
            raise Refusal("AUTHORIZER_FAILURE", repr(error)) from error
        if isinstance(answer, bool):
            return {"isAuthorized": answer}
        if _is_answer(answer):
            return answer  # type: ignore[no-any-return]
        log.error("the authorizer returned neither a bool nor an answer: %r", answer)
        raise Refusal("AUTHORIZER_FAILURE", "not an answer")


def _is_answer(answer: Any) -> bool:
    return (
        isinstance(answer, dict)
        and isinstance(answer.get("isAuthorized"), bool)
        and isinstance(answer.get("context"), dict | None)
        and isinstance(answer.get("usageIdentifierKey"), str | None)
    )
