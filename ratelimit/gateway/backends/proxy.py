"""HTTP backends: which parts of a request are passed on, and where."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from ..exchange import Exchange
from ..http.body import start_body
from ..http.disconnect import unless_disconnected
from ..http.forwarded import without_claims
from ..http.headers import HOP_BY_HOP, Headers, canonical_name, end_to_end
from ..http.paths import IN_SEGMENT, PRINTABLE
from ..http.response import Response
from ..routing.table import VARIABLE
from ..templates.transform import Transform
from .address import PORTS, Address
from .balancer import Balancer, Target
from .integration import timed_integration

NOT_TO_BACKENDS = HOP_BY_HOP | {b"content-length", b"expect", b"host"}


@dataclass(frozen=True, slots=True)
class Forwarding:
    """Chooses the headers that backends get.

    Args:
        api_keys: their values, which are not passed on.
        trace_headers: gives the headers of the present span; None without tracing.
    """

    api_keys: Container[str] = ()
    trace_headers: Callable[[], Headers] | None = None

    def headers(self, exchange: Exchange) -> Headers:
        """Return the headers that the backend of a request gets; the gateway itself writes the forwarded ones."""
        request, connection = exchange.request, exchange.request.websocket.connection
        passed = [
            header
            for header in without_claims(end_to_end(request.raw_headers, NOT_TO_BACKENDS))
            if not canonical_name(header[0]).startswith(b"sec-websocket-")
            and not (
                header[0] == b"x-api-key" and (exchange.caller.key or header[1].decode("latin-1") in self.api_keys)
            )
        ]
        if self.trace_headers is not None:
            passed = [one for one in passed if one[0] not in (b"traceparent", b"tracestate")] + self.trace_headers()
        if connection:
            passed.append((b"x-connection-id", connection.encode()))
        return passed + request.forwarded()


class ProxyIntegration:
    """Passes requests to a backend and its answers back.

    Args:
        balancer: the addresses of the backend.
        url: path and query there; `{var}` and `{proxy+}` are variables of the route. Without a path it is that of the
            request.
        timeout: seconds until the answer begins.
        max_body: bytes of a request's body.
        transform: changes to the request.
        forwarding: see there.
        keeps_host: whether the backend gets the Host of the client.
        method: of requests to the backend; empty for that of the client.
    """

    def __init__(
        self,
        balancer: Balancer,
        url: SplitResult,
        timeout: float,
        max_body: int,
        transform: Transform,
        forwarding: Forwarding,
        keeps_host: bool = False,
        method: str = "",
    ) -> None:
        self.balancer = balancer
        self.timeout = timeout
        self.is_websocket = url.scheme in ("ws", "wss")
        self._max_body = max_body
        self._transform = transform
        self._forwarding = forwarding
        self._keeps_host = keeps_host
        self._method = method
        self._path = quote(url.path, safe=PRINTABLE) if url.path != "/" else ""
        if set("{}") & set(VARIABLE.sub("", self._path)):
            raise ValueError(f"path: expected variables such as {{id}}, got {url.path!r}")
        self._query = url.query.encode()

    async def answer(self, exchange: Exchange) -> Response:
        body = await start_body(exchange.request, self._max_body)
        target = self.target(exchange, self._method or exchange.request.method, body)
        with timed_integration(exchange):
            response = await unless_disconnected(exchange.request, self.balancer.send(target, self.timeout))
        exchange.outcome.integration_status = response.status
        return response

    def target(self, exchange: Exchange, method: str, body: Any) -> Target:
        """Return the request as its backend gets it."""
        headers = self._forwarding.headers(exchange)
        if not isinstance(body, bytes):
            length = exchange.request.headers.get(b"content-length")
            headers.append((b"content-length", length) if length else (b"transfer-encoding", b"chunked"))
        elif body or method in ("POST", "PUT", "PATCH"):
            headers.append((b"content-length", b"%d" % len(body)))
        headers = self._transform.headers(headers, exchange)
        host = exchange.request.headers.get(b"host", b"") if self._keeps_host else b""
        return Target(method.encode(), self._target(exchange), headers, body, exchange.request.client, host)

    def _target(self, exchange: Exchange) -> bytes:
        """Return the path and the query at the backend."""
        raw, path, destination = exchange.raw_segments(), self._path, exchange.destination
        if path:
            rest, values = "/".join(raw[max(0, destination.greedy_start) :]), destination.path_variables
            path = VARIABLE.sub(lambda one: rest if one[2] else quote(values[one[1]], safe=IN_SEGMENT), path)
        path = self._transform.path(path or "/" + "/".join(raw), exchange)
        asked = self._transform.query(exchange.request.raw_query, exchange)
        query = b"&".join(part for part in (self._query, asked) if part)
        return path.encode() + (b"?" + quote(query, safe=PRINTABLE).encode() if query else b"")


def parse_urls(texts: Sequence[str], variables: Mapping[str, str]) -> list[SplitResult]:
    """Read the addresses of one backend, with the variables of the stage filled in.

    Raises: ValueError for an unknown variable, and for addresses with different paths.
    """
    urls = [urlsplit(fill_stage_variables(text, variables)) for text in texts]
    if any(url[2:4] != urls[0][2:4] for url in urls):
        raise ValueError(f"expected addresses with the same path, got {urls[0].geturl()!r} and others")
    return urls


def fill_stage_variables(text: str, variables: Mapping[str, str]) -> str:
    """Fill in `${stageVariables.x}`."""
    for name, value in variables.items():
        text = text.replace("${stageVariables." + name + "}", value)
    if "${" in text:
        raise ValueError(f"{text!r} has a variable that the stage has not")
    return text


def address_of(url: SplitResult, verify: bool, address: Callable[[str, str, int, bool], Address]) -> Address:
    """Return the address of a backend's URL.

    Args:
        address: gives the one of a scheme, host, port, and whether its certificate is checked.
    """
    try:
        scheme = {"ws": "http", "wss": "https"}.get(url.scheme, url.scheme)
        port = url.port or PORTS[scheme]
        if url.hostname is None or "{" in url.netloc:
            raise ValueError("it has no host")
        if "@" in url.netloc or url.fragment or "{" in url.query:
            raise ValueError("it may have host, port, path and query, and {variables} in the path")
    except ValueError as error:
        raise ValueError(f"address {url.geturl()!r}: {error}") from error
    return address(scheme, url.hostname, port, verify)
