"""A request as it came, from an ASGI scope."""

import itertools
import secrets
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote

from ..._configuration.addresses import Networks, client_address
from .errors import Refusal
from .fields import stripped_by_name
from .forwarded import forwarded, without_claims
from .headers import CLOSE, HOP_BY_HOP, Headers, canonical_name
from .paths import within
from .target import BadTarget, host_name

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
SendWhole = Callable[[int, Headers, bytes], bool]
# ASGI extensions of the server: why it cannot read a request, and a function that sends an answer as one piece.
REFUSED, WHOLE = "ratelimit.refused", "ratelimit.whole"
# A request with two of one of these could be understood in two ways.
SINGLE = (b"host", b"content-length", b"transfer-encoding", b"x-api-key", b"authorization")
GRACE = 10.0  # seconds; how long a client may wait before its body has to come at a rate
_run, _number = secrets.token_hex(6), itertools.count(1)


@dataclass(frozen=True, slots=True)
class WebSocketEvent:
    """An event of a WebSocket.

    Args:
        connection: the id of the connection; empty for plain HTTP.
        type: "CONNECT", "MESSAGE" or "DISCONNECT".
        message: the JSON value of a text message.
        connected_ms: when the client was connected, since the epoch.
        code, reason: with which it was closed.
    """

    connection: str = ""
    type: str = ""
    message: Any = None
    connected_ms: int = 0
    code: int = 1005
    reason: str = ""


NO_WEBSOCKET = WebSocketEvent()


class Pace(NamedTuple):
    """The time that a client may take to send a body.

    Attributes:
        timeout: seconds for all of it.
        rate: bytes a second that must come on average, after the first GRACE seconds.
    """

    timeout: float
    rate: float

    def seconds(self, received: int) -> float:
        """Return the seconds until the next bytes must have come, from the beginning on."""
        return min(self.timeout, GRACE + received / self.rate)


class Request:
    """A request. It belongs to one task.

    Args:
        scope, receive, send: by ASGI.
        received_ns: when it came, since the epoch.
        started_ns: the same moment by CLOCK_MONOTONIC.
        pace: the time that the client may take for the body.

    Attributes:
        id: its name, in logs and for the client.
        headers: the last one of each name.
        host: in lower case, without its port; known once the headers have been checked.
        client: the address of the client; empty where it is not known.
        behind_proxy: whether it came through a trusted proxy.
        websocket: for an event of a WebSocket, which one.
        body: once it was read whole.
        complete: whether the last piece of the body has been received.
        received: bytes of the body that have come so far.
        waited: seconds that the client took for them.
        send_whole: sends an answer as one piece, and returns whether it could; None if the server has no such function.
        held: bytes of bodies that are in memory for it, as `http/body.py` counts them.
    """

    host = ""
    behind_proxy = False
    websocket = NO_WEBSOCKET
    body: bytes | None = None
    complete = False
    received = 0
    waited = 0.0

    def __init__(self, scope: Any, receive: Receive, send: Send, received_ns: int, started_ns: int, pace: Pace) -> None:
        by_name = stripped_by_name(scope["headers"])
        if by_name is None:  # RFC 9112, 5: blanks around values are removed once, for all
            headers = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
            scope, by_name = {**scope, "headers": headers}, dict(headers)
        self.id = f"{_run}-{next(_number)}"
        self.scope = scope
        self.headers = by_name
        self.receive = receive
        self.send = send
        self.received_ns = received_ns
        self.started_ns = started_ns
        self.pace = pace
        self.held = 0
        extensions = scope.get("extensions")
        # The scope keeps no reference to its server.
        self.send_whole: SendWhole | None = extensions.pop(WHOLE, None) if extensions else None
        peer = scope["client"]
        self.client: str = peer[0] if peer else ""

    def identify_client(self, trusted: Networks) -> None:
        """Find the client behind trusted proxies."""
        if self.client in trusted:
            self.behind_proxy = True
            forwarded = [value.decode("latin-1") for name, value in self.raw_headers if name == b"x-forwarded-for"]
            self.client = client_address(self.client, forwarded, trusted)

    @property
    def method(self) -> str:
        return self.scope["method"]  # type: ignore[no-any-return]

    @property
    def raw_headers(self) -> Headers:
        """All header fields in order."""
        return self.scope["headers"]  # type: ignore[no-any-return]

    @property
    def version(self) -> str:
        return self.scope.get("http_version", "1.1")  # type: ignore[no-any-return]

    @property
    def peer(self) -> str:
        """The address at the other end of the connection."""
        return self.scope["client"][0] if self.scope["client"] else ""

    @property
    def raw_path(self) -> bytes:
        """The path as it came, encoded."""
        return self.scope.get("raw_path") or quote(self.scope["path"]).encode()

    @property
    def path(self) -> str:
        """The decoded path within this application, wherever it is mounted."""
        return within(self.scope["path"], self.scope.get("root_path", ""))

    @property
    def raw_query(self) -> bytes:
        return self.scope["query_string"]  # type: ignore[no-any-return]

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of several with one name the last."""
        return dict(parse_qsl(self.raw_query.decode("latin-1"), keep_blank_values=True))

    @property
    def scheme(self) -> str:
        """ "http" or "https", by which the client came."""
        named = self.header("x-forwarded-proto") if self.behind_proxy else None
        if named in ("http", "https"):
            return named
        return "https" if self.scope.get("scheme") in ("https", "wss") else "http"

    @property
    def unreadable(self) -> Refusal | None:
        """The answer to a request that the server cannot read to its end; None for any other."""
        refused = (self.scope.get("extensions") or {}).get(REFUSED)
        return None if refused is None else Refusal(refused["type"], refused["reason"], CLOSE)

    def forwarded(self) -> Headers:
        """Return the gateway's own X-Forwarded headers, by which a backend knows the client."""
        return forwarded(self.raw_headers, self.peer, self.scheme, self.behind_proxy)

    def vouched_headers(self) -> Headers:
        """Return the headers about the request, with the gateway's own values in place of the client's claims."""
        passed = without_claims(self.raw_headers)
        return [one for one in passed if canonical_name(one[0]) not in HOP_BY_HOP] + self.forwarded()

    def header(self, name: str) -> str | None:
        """Return the last header of a name, or None."""
        value = self.headers.get(name.lower().encode("latin-1", "replace"))
        return None if value is None else value.decode("latin-1")


# The request that is served, for lines of the log.
CURRENT: ContextVar[Request] = ContextVar("request")


def check_headers(request: Request) -> None:
    """Refuse a request that cannot be read, or whose headers could be understood in two ways; note its host."""
    scope, by_name = request.scope, request.headers
    if scope.get("extensions") and (refusal := request.unreadable):
        raise refusal
    if b"transfer-encoding" in by_name:
        coding = by_name[b"transfer-encoding"]
        if coding.lower() != b"chunked" or request.version == "1.0":
            raise Refusal("BAD_REQUEST", f"transfer-encoding {coding!r} in HTTP/{request.version}", CLOSE)
    host = by_name.get(b"host")
    if host is not None:
        try:
            request.host = host_name(host)
        except BadTarget as error:
            raise Refusal("BAD_REQUEST", str(error), CLOSE) from error
    elif request.version == "1.1":
        raise Refusal("BAD_REQUEST", "no host", CLOSE)
    if len(by_name) != len(scope["headers"]):
        names = [name for name, _ in scope["headers"]]
        for name in SINGLE:
            if names.count(name) > 1:
                raise Refusal("BAD_REQUEST", f"{name.decode()} twice", CLOSE)
