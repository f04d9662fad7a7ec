"""One request on its way through the gateway, and all that is known about it."""

import itertools
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, quote

from .observability.meter import stopwatch_ns
from .routing.table import SLASH
from .templates.variables import CONTEXT
from .throttling.chain import Ruling

if TYPE_CHECKING:
    from .routing.canary import Split
    from .site import ApiFlow, Flow, RouteFlow, Side
    from .throttling.usage_plan import UsagePlan

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))  # what is never encoded once more
_run, _number = secrets.token_hex(6), itertools.count(1)


class Pieces(Protocol):
    """A body as it comes; to be closed also by who has not read it."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class Response(NamedTuple):
    """An answer: a status, headers, and a body as bytes or in pieces. One that is always the same is made once."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | Pieces = b""


def joined(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name, as text. Those of one name are one list, by RFC 9110, 5.3."""
    texts: dict[str, str] = {}
    for raw, value in headers:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        texts[name] = f"{texts[name]}, {text}" if name in texts else text
    return texts


async def leave(body: bytes | Pieces) -> None:
    """Be done with a body, read or not: its connection may serve others."""
    if not isinstance(body, bytes):
        await body.aclose()


class Refusal(Exception):
    """The gateway itself answers, with a gateway response of this type.

    Args:
        type: such as "THROTTLED".
        message: for the log; the client gets the type's own text.
    """

    def __init__(self, type: str, message: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.type = type
        self.message = message
        self.headers = headers


class Disconnected(Exception):
    """The client went away before its request was whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Who answers a path: a side of the stage, and its route, if there is one."""

    side: "Side | None" = None
    route: "RouteFlow | None" = None
    variables: dict[str, str] = field(default_factory=dict)
    rest: int = -1  # the segment of the path at which a greedy variable begins


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a path leads."""

    path: str  # decoded, within the stage
    drop: int  # segments of the path that named the API and the stage
    api: "ApiFlow"
    split: "Split[Found]"


@dataclass(slots=True, eq=False)
class Exchange:
    """A request, its place in the flow, and how it was answered. It belongs to one task."""

    flow: "Flow"
    scope: Any
    receive: Receive
    headers: dict[bytes, bytes]
    client: str
    came_ns: int  # when, since the epoch
    started_ns: int  # the same by the stopwatch
    behind_proxy: bool = False
    api: "ApiFlow | None" = None
    place: Place | None = None
    found: Found = Found()
    route: "RouteFlow | None" = None  # the one found; of a WebSocket message, the one that it names
    key: str = ""  # the name of the API key
    plan: "UsagePlan | None" = None
    authorizer: dict[str, Any] | None = None
    ruling: Ruling | None = None
    status: int = 0
    result: str = "admitted"  # for the metrics
    response_length: int = 0
    error: str = ""
    error_type: str = ""
    integration_error: str = ""
    integration_status: int = 0
    integration_ns: int = 0
    connection: str = ""  # of a WebSocket
    event_type: str = ""
    message: Any = None
    body: bytes | None = None  # once it was read whole
    waited: float = 0.0  # seconds, for the client to send its body
    _id: str = ""

    @classmethod
    def begin(cls, flow: "Flow", scope: Any, receive: Receive) -> "Exchange":
        """That of an ASGI scope."""
        peer = scope["client"]
        client, now_ns = peer[0] if peer else "", flow.limiters.now_ns()
        return cls(flow, scope, receive, dict(scope["headers"]), client, now_ns, stopwatch_ns())

    @property
    def side(self) -> "Side | None":
        return self.found.side

    @property
    def variables(self) -> dict[str, str]:
        return self.found.variables

    @property
    def api_name(self) -> str:
        return self.api.name if self.api else ""

    @property
    def id(self) -> str:
        self._id = self._id or f"{_run}-{next(_number):x}"
        return self._id

    @property
    def age_ns(self) -> int:
        return stopwatch_ns() - self.started_ns

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of several with one name the last."""
        text = self.scope["query_string"].decode("latin-1")
        return dict(parse_qsl(text, keep_blank_values=True))

    def raw_segments(self) -> list[str]:
        """The path within the stage as it came, still encoded."""
        raw = self.scope.get("raw_path") or quote(self.scope["path"]).encode()
        return quote(raw, safe=PRINTABLE)[1:].split("/")[self.place.drop if self.place else 0 :]

    @property
    def host(self) -> str:
        """The Host header without its port."""
        host = self.headers.get(b"host", b"").decode("latin-1").lower()
        return (host if host.endswith("]") else host.rpartition(":")[0] or host).rstrip(".")

    @property
    def path(self) -> str:
        """The path within this application, wherever it is mounted."""
        path: str = self.scope["path"]
        return path.removeprefix(self.scope.get("root_path", ""))

    def told(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The headers of an answer with those that tell about limits, once they were asked."""
        return self.ruling.told(headers, self.flow.limit_fields) if self.ruling else headers

    def header(self, name: str) -> str | None:
        value = self.headers.get(name.lower().encode("latin-1", "replace"))
        return None if value is None else value.decode("latin-1")

    def lookup(self, name: str) -> Any:
        """A `$variable` of a template."""
        space, _, rest = name.partition(".")
        if space == "context":
            if rest.startswith("authorizer."):
                return (self.authorizer or {}).get(rest[11:])
            return CONTEXT[rest](self)
        if space == "stageVariables":
            return self.side.variables.get(rest) if self.side else None
        if space == "request":
            kind, _, rest = rest.partition(".")
            if kind == "header":
                return self.header(rest)
            if kind in ("path", "querystring"):
                return (self.variables if kind == "path" else self.query).get(rest)
            if kind == "body":
                return self._in_body(rest)
        return self.variables.get(name)

    def _in_body(self, path: str) -> Any:
        value = self.message
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value if value is None or isinstance(value, str) else json.dumps(value)

    def event(self, body: str | None = None, encoded: bool = False) -> dict[str, Any]:
        """The request as a function gets it."""
        scope = self.scope
        event: dict[str, Any] = {
            "routeKey": self.route.key if self.route else None,
            "httpMethod": scope["method"],
            "path": self.place.path.replace(SLASH, "/") if self.place else scope["path"],
            "rawPath": "/" + "/".join(self.raw_segments()),
            "rawQueryString": scope["query_string"].decode("latin-1"),
            "headers": joined(self.scope["headers"]),
            "queryStringParameters": self.query,
            "pathParameters": self.variables,
            "stageVariables": self.side.variables if self.side else {},
            "requestContext": {
                "requestId": self.id, "apiId": self.api_name, "stage": self.lookup("context.stage"),
                "httpMethod": scope.get("method"), "identity": {"sourceIp": self.client, "apiKeyId": self.key or None},
                "authorizer": self.authorizer or {},
            },
            "body": body,
            "isBase64Encoded": encoded,
        }  # fmt: skip
        if self.connection:
            event["requestContext"].update(
                connectionId=self.connection, eventType=self.event_type, routeKey=event["routeKey"]
            )
        return event
