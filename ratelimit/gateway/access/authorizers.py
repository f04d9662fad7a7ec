"""Functions that decide about a request by its credentials, and their answers, which are kept for a while."""

import logging
import re
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import parse_qsl

from ..exchange import Exchange
from ..functions.events import Events, method_arn
from ..functions.invocation import Function
from ..functions.process import has_traceback
from ..http.errors import Refusal
from ..templates.template import Template
from .policies import decide

log = logging.getLogger("ratelimit.gateway")
MAX_CACHED_ANSWERS = 10_000
TIMEOUT = 10.0  # seconds for one answer


class Authorizer(Protocol):
    """Decides about requests.

    Attributes:
        has_policy: whether its answer is weighed together with the policy of the API.
    """

    has_policy: bool

    def recall(self, exchange: Exchange) -> dict[str, Any] | None:
        """Return the answer that authorizes the request, if it is known already."""

    async def ask(self, exchange: Exchange) -> dict[str, Any]:
        """Return the answer that authorizes the request; raise a Refusal if it does not."""


class Identity:
    """The identity of a client.

    Args:
        sources: names of headers, or variables such as `$request.querystring.token`.
        pattern: that the whole first value must match.
        more: what an answer depends on besides the identity; a header or parameter of it may not occur twice, either.
    """

    def __init__(self, sources: Sequence[str], pattern: str | None = None, more: Sequence[Template] = ()) -> None:
        self._sources = [Template(one if one.startswith("$") else f"$request.header.{one}") for one in sources]
        names = [name for one in (*self._sources, *more) for name in one.names]
        headers = [name.lower().encode() for name in _of_space(names, "request.header.")]
        self._headers = frozenset(headers)
        self._parameters = frozenset(_of_space(names, "request.querystring."))
        self._pattern = re.compile(pattern) if pattern else None
        is_plain = len(names) == len(headers) == 1 and [one.text for one in self._sources] == [f"${names[0]}"]
        self._only_header = headers[0] if is_plain and not pattern else b""

    def of(self, exchange: Exchange) -> tuple[str, ...]:
        """Return the values of a request; raise a Refusal where one is missing or occurs twice."""
        request = exchange.request
        if len(request.headers) < len(request.raw_headers):  # a name occurs twice
            found = [header for header, _ in request.raw_headers if header in self._headers]
            if len(found) > len(set(found)):
                raise Refusal("BAD_REQUEST", "a header that the authorizer needs occurs twice")
        token = request.headers.get(self._only_header)
        if token:  # as almost always, and quicker than by a template
            return (token.decode("latin-1"),)
        if self._parameters:
            query = parse_qsl(request.raw_query.decode("latin-1"), keep_blank_values=True)
            named = [name for name, _ in query if name in self._parameters]
            if len(named) > len(set(named)):
                raise Refusal("BAD_REQUEST", "a parameter that the authorizer needs occurs twice")
        values = tuple([source.fill(exchange) for source in self._sources])
        for source, value in zip(self._sources, values, strict=True):
            if not value:
                raise Refusal("UNAUTHORIZED", f"no {source.text}")
        if self._pattern is not None and values and self._pattern.fullmatch(values[0]) is None:
            raise Refusal("UNAUTHORIZED", "the identity does not match the pattern")
        return values


def _of_space(names: Sequence[str], space: str) -> list[str]:
    return [name.removeprefix(space) for name in names if name.startswith(space)]


@dataclass(frozen=True, slots=True)
class _CachedAnswer:
    until: float
    answer: dict[str, Any]


class CachingAuthorizer:
    """An authorizer that is a function, and its answers.

    Args:
        function: of an event; returns a bool, `{"isAuthorized": bool, "context": {...}, "usageIdentifierKey": the value
            of an API key}`, or an IAM policy.
        events: makes its events.
        form: of the events.
        identity: identifies the client.
        ttl: seconds for which an answer holds for the same identity, stage and route; a policy for all routes.
        cache_key: what else must be the same.
        clock: seconds.
    """

    has_policy = True

    def __init__(
        self,
        function: Function,
        events: Events,
        form: str,
        identity: Identity,
        ttl: float,
        cache_key: Sequence[Template] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._function = function
        self._events = events
        self._form = form
        self._identity = identity
        self._ttl = ttl
        self._cache_key = cache_key
        self._clock = clock
        self._answers: dict[bytes, _CachedAnswer] = {}

    def recall(self, exchange: Exchange) -> dict[str, Any] | None:
        """Return the answer that authorizes the request, if it is remembered."""
        answer = self._cached(*self._labels(exchange, self._identity.of(exchange)))
        try:
            return answer if answer is not None and _allows(answer, exchange) else None
        except ValueError:  # which `ask` reports
            return None

    async def ask(self, exchange: Exchange) -> dict[str, Any]:
        """Return the answer that authorizes the request; raise a Refusal if it does not."""
        identity = self._identity.of(exchange)
        everywhere, here = self._labels(exchange, identity)
        answer = self._cached(everywhere, here)
        if answer is None:
            answer = await self._call(exchange, identity)
            if self._ttl:
                if len(self._answers) >= MAX_CACHED_ANSWERS:
                    self._answers.clear()
                label = everywhere if "policyDocument" in answer else here
                self._answers[label] = _CachedAnswer(self._clock() + self._ttl, answer)
        try:
            allowed = _allows(answer, exchange)
        except ValueError as error:
            log.error("the policy of an authorizer cannot be read: %s", error)
            raise Refusal("AUTHORIZER_FAILURE", str(error)) from error
        if not allowed:
            raise Refusal("ACCESS_DENIED", "the authorizer denies")
        return answer

    def _labels(self, exchange: Exchange, identity: tuple[str, ...]) -> tuple[bytes, bytes]:
        """Return the labels of an answer for all routes, and of one for this route."""
        destination, more = exchange.destination, tuple(one.fill(exchange) for one in self._cache_key)
        everywhere = _label("policy", destination.stage, *identity, *more)
        return everywhere, _label("answer", destination.stage, destination.route, *identity, *more)

    def _cached(self, *labels: bytes) -> dict[str, Any] | None:
        for label in labels:
            cached = self._answers.get(label)
            if cached is not None and self._clock() < cached.until:
                return cached.answer
        return None

    async def _call(self, exchange: Exchange, identity: tuple[str, ...]) -> dict[str, Any]:
        event = self._events.for_authorizer(exchange, self._form, identity)
        try:
            answer = deepcopy(await self._function.invoke(event, TIMEOUT, exchange.request))  # the function's own
        except Refusal as error:
            if error.type == "OVERLOADED":
                raise
            raise Refusal("AUTHORIZER_FAILURE", error.message) from error
        except Exception as error:
            if str(getattr(error, "message", error)) == "Unauthorized":  # by which a function asks for a 401
                raise Refusal("UNAUTHORIZED", "the authorizer refuses") from error
            log.error("the authorizer failed: %s", error, exc_info=has_traceback(error))
            raise Refusal("AUTHORIZER_FAILURE", repr(error)) from error
        if isinstance(answer, bool):
            return {"isAuthorized": answer}
        if _is_answer(answer):
            return _with_principal(answer)
        log.error("the authorizer returned neither a bool nor an answer: %r", answer)
        raise Refusal("AUTHORIZER_FAILURE", "not an answer")


def _allows(answer: dict[str, Any], exchange: Exchange) -> bool:
    """Return whether an answer admits a request; raise ValueError for a policy that cannot be read.

    The policy of the API counts where that of the answer neither allows nor denies.
    """
    if "policyDocument" not in answer:
        return bool(answer["isAuthorized"])
    decision = decide(answer["policyDocument"], method_arn(exchange), exchange.request.client)
    return exchange.is_granted if decision is None else decision


def _label(*dependencies: str) -> bytes:
    """Return a short label of what an answer depends on, such as headers of 64 KB each."""
    return sha256(repr(dependencies).encode()).digest()


def _is_answer(answer: Any) -> bool:
    return (
        isinstance(answer, dict)
        and isinstance(answer.get("isAuthorized"), bool) is not ("policyDocument" in answer)
        and isinstance(answer.get("context"), dict | None)
        and isinstance(answer.get("usageIdentifierKey"), str | None)
        and isinstance(answer.get("principalId", ""), str)
    )


def _with_principal(answer: dict[str, Any]) -> dict[str, Any]:
    """Add the principal to the context, where functions and templates find it."""
    if "principalId" not in answer:
        return answer
    return {**answer, "context": {"principalId": answer["principalId"], **(answer.get("context") or {})}}
