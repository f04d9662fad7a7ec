"""One request and its answer, as values: what is known about them, and what templates and functions may read.

An exchange has no reference to the site, so it may outlive a reload. It belongs to one task.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from .http.paths import PRINTABLE
from .http.request import Request
from .routing.router import NOWHERE
from .throttling.chain import Ruling


@dataclass(slots=True)  # not frozen, which would take three times as long to make
class Caller:
    """A client, as identified by its credentials. Nothing changes it.

    Args:
        key: the name of its API key; empty where no key is required.
        authorizer: the context that the authorizer gave.
        plan: the name of the plan of its API key.
    """

    key: str = ""
    authorizer: Mapping[str, Any] = field(default_factory=dict)
    plan: str = ""


class Outcome:
    """The outcome of a request.

    Attributes:
        status: of the answer.
        result: for the metrics.
        response_length: bytes of the body that were sent.
        error, error_type, reason: of a gateway response, its message and type, and why it was sent.
        integration_status, integration_error, integration_ns: the status of the backend or why it failed, and the
            time that it took.
        is_routine: whether it is one of the pages that programs ask for all the time: the access log has no line.
    """

    status: int = 0
    result: str = "admitted"
    response_length: int = 0
    error: str = ""
    error_type: str = ""
    reason: str = ""
    integration_status: int = 0
    integration_error: str = ""
    integration_ns: int = 0
    is_routine: bool = False


ANONYMOUS = Caller()
VALIDATIONS = ("BAD_REQUEST_BODY", "BAD_REQUEST_PARAMETERS")  # types whose reason is what is wrong with the request


class Exchange:
    """A request and what is known about it.

    Attributes:
        request: the request.
        destination: where it goes.
        is_granted: whether the policy of the API allows it.
        caller: the client.
        ruling: the decision of the limits; None where nothing is counted.
        outcome: how it ended.
    """

    __slots__ = ("caller", "destination", "is_granted", "outcome", "request", "ruling")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.destination = NOWHERE
        self.is_granted = False
        self.caller = ANONYMOUS
        self.ruling: Ruling | None = None
        self.outcome = Outcome()

    def lookup(self, name: str) -> Any:
        """Return the value of a `$variable`."""
        return reader_of(name)(self)

    def raw_segments(self) -> list[str]:
        """Return the segments of the path within the stage, still encoded."""
        return quote(self.request.raw_path, safe=PRINTABLE)[1:].split("/")[self.destination.skipped :]


@lru_cache(4_096)  # names of a configuration
def reader_of(name: str) -> Callable[[Exchange], Any]:
    """Return a function that gives the value of a `$variable`."""
    space, _, rest = name.partition(".")
    kind, _, inner = rest.partition(".")
    path = inner.split(".")
    if space == "context":
        return CONTEXT[rest] if kind != "authorizer" else lambda x: _inner(x.caller.authorizer, path)
    if space == "stageVariables":
        return lambda x: x.destination.stage_variables.get(rest)
    if space != "request":
        return lambda x: x.destination.path_variables.get(name)
    readers: dict[str, Callable[[Exchange], Any]] = {
        "header": lambda x: x.request.header(inner),
        "path": lambda x: x.destination.path_variables.get(inner),
        "querystring": lambda x: x.request.query.get(inner),
        "body": lambda x: _inner(x.request.websocket.message, path),
    }
    return readers[kind]


def _inner(value: Any, path: Sequence[str]) -> str | None:
    """Look up a path in a JSON value; return text."""
    for name in path:
        value = value.get(name) if isinstance(value, (dict, Mapping)) else None
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _request_time(exchange: Exchange) -> str:
    return datetime.fromtimestamp(exchange.request.received_ns // 10**9, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")


CONTEXT: dict[str, Callable[[Exchange], Any]] = {  # by the names of templates/variables.py
    "requestId": lambda x: x.request.id,
    "requestTime": _request_time,
    "requestTimeEpoch": lambda x: x.request.received_ns // 1_000_000,
    "identity.sourceIp": lambda x: x.request.client,
    "identity.apiKeyId": lambda x: x.caller.key,
    "identity.userAgent": lambda x: x.request.header("user-agent"),
    "httpMethod": lambda x: x.request.method,
    "path": lambda x: x.request.raw_path.decode("latin-1"),
    "routeKey": lambda x: x.destination.route,
    "stage": lambda x: x.destination.stage,
    "status": lambda x: x.outcome.status,
    "protocol": lambda x: f"HTTP/{x.request.version}",
    "responseLength": lambda x: str(x.outcome.response_length),
    "responseLatency": lambda x: max(0, time.monotonic_ns() - x.request.started_ns) // 1_000_000,
    "integration.status": lambda x: x.outcome.integration_status or None,
    "integration.latency": lambda x: x.outcome.integration_ns // 1_000_000,
    "integration.error": lambda x: x.outcome.integration_error,
    "error.message": lambda x: x.outcome.error,
    "error.responseType": lambda x: x.outcome.error_type,
    "error.reason": lambda x: x.outcome.reason,
    "error.validationErrorString": lambda x: x.outcome.reason if x.outcome.error_type in VALIDATIONS else None,
    "domainName": lambda x: x.request.header("host"),
    "apiId": lambda x: x.destination.api,
    "deployment": lambda x: x.destination.deployment,
    "isCanaryRequest": lambda x: str(x.destination.is_canary).lower(),
    "throttle.level": lambda x: x.ruling and x.ruling.level,
    "throttle.shadow": lambda x: x.ruling and x.ruling.shadow,
    "connectionId": lambda x: x.request.websocket.connection,
    "eventType": lambda x: x.request.websocket.type,
    # In formats of REST APIs.
    "identity.caller": lambda x: None,
    "identity.user": lambda x: None,
    "resourcePath": lambda x: x.destination.route.partition(" ")[2] or x.destination.route,
}
CONTEXT.update(
    extendedRequestId=CONTEXT["requestId"],
    integrationErrorMessage=CONTEXT["integration.error"],
    integrationStatus=CONTEXT["integration.status"],
    integrationLatency=CONTEXT["integration.latency"],
)
