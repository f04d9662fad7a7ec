"""The pages below the operator's path, and `@connections`, as an integration for operators."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, timedelta
from importlib.resources import files
from typing import Any

from ... import TableFull
from ..clients import Clients
from ..exchange import Exchange
from ..http.body import read_body
from ..http.errors import Refusal
from ..http.request import Request
from ..http.response import Response
from ..observability.metrics import CONTENT_TYPE, metrics_text
from ..site import Site
from ..throttling.calendar import day_of
from ..throttling.limiters import Limiters
from ..throttling.usage_plan import UsagePlan
from .status import status

log = logging.getLogger("ratelimit.gateway")
JSON, HTML = b"application/json", b"text/html; charset=utf-8"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")  # sent without asking first
ERROR_TYPES = {410: b"GoneException", 413: b"PayloadTooLargeException"}
ROUTINE = ("status.json", "metrics", "health", "health/ready", "health/live")  # programs ask for them all the time
MAX_ORDER = 65_536  # bytes
MAX_MESSAGE = 2**20  # bytes for a WebSocket client
POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    b"img-src data:; base-uri 'none'; frame-ancestors 'none'"
)
Page = Callable[[Exchange], Awaitable[Response]]


class Pages:
    """The operator's pages for one site.

    A change is a POST with a JSON body, which a page of another site cannot send without asking first.

    Args:
        site: the one that is shown.
        limiters: the tables.
        clients: of WebSocket APIs.
        started_ns: when the gateway started.
    """

    def __init__(self, site: Site, limiters: Limiters, clients: Clients, started_ns: int) -> None:
        self._site = site
        self._limiters = limiters
        self._clients = clients
        self._started_ns = started_ns
        self._pages: dict[tuple[str, str], Page] = {
            ("GET", ""): self._page,
            ("GET", "status.json"): self._status,
            ("GET", "metrics"): self._metrics,
            ("GET", "health"): self._ready,
            ("GET", "health/ready"): self._ready,
            ("GET", "health/live"): self._live,
            ("GET", "usage"): self._usage,
            ("POST", "usage"): self._adjust,
        }

    async def answer(self, exchange: Exchange) -> Response:
        """Return the page, or the reply to an order."""
        method, path = exchange.request.method, exchange.request.path
        if method not in ("GET", "HEAD"):
            check_origin(exchange.request)
        if exchange.destination.api:
            return await self._command(exchange)
        name = path[len(self._site.operator_path) + 1 :]
        page = self._pages.get(("GET" if method == "HEAD" else method, name))
        if page is None:
            raise Refusal("RESOURCE_NOT_FOUND", "no such page")
        if method == "POST" and content_type(exchange.request) != "application/json":
            return reply(415, {"message": "body: expected application/json"})
        exchange.outcome.is_routine = name in ROUTINE
        try:
            return await page(exchange)
        except (ValueError, TypeError, LookupError, OverflowError, TableFull) as error:
            return reply(400, {"message": f"{error} is missing" if isinstance(error, KeyError) else str(error)})

    async def _command(self, exchange: Exchange) -> Response:
        """Perform a command for a WebSocket client: `/@connections/{id}`."""
        if content_type(exchange.request) in FORMS:
            return reply(415, {"message": "the body must not be of a type that a form can send"})
        body = await read_body(exchange.request, MAX_MESSAGE)
        id = exchange.destination.path.removeprefix("/@connections/")
        status, value = await self._clients.command(exchange.request.method, id, body)
        answer = reply(status, value)
        if status in ERROR_TYPES:  # by which the SDKs raise the exception of that name
            answer.headers.append((b"x-amzn-errortype", ERROR_TYPES[status]))
        return answer

    # --- pages

    async def _page(self, exchange: Exchange) -> Response:
        page = files(__package__).joinpath("status.html").read_bytes()
        headers = [(b"content-security-policy", POLICY), (b"x-content-type-options", b"nosniff")]
        return Response(200, reply(200, page, HTML).headers + headers, page)

    async def _status(self, exchange: Exchange) -> Response:
        return reply(200, self.status(await self._clients.count()))

    def status(self, connections: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Return the data of the status page.

        Args:
            connections: the number of WebSockets by stage; by default those of this process.
        """
        if connections is None:
            connections = self._clients.own_count()
        return status(self._site, self._limiters.now_ns(), self._started_ns, connections)

    async def _metrics(self, exchange: Exchange) -> Response:
        connections = await self._clients.count()
        text = metrics_text(self._site.meters(), self._site.backend_meters(), connections, self._limiters)
        return reply(200, text, CONTENT_TYPE)

    async def _live(self, exchange: Exchange) -> Response:
        return reply(200, {"status": "live"})

    async def _ready(self, exchange: Exchange) -> Response:
        try:
            self._limiters.counters.read("health")
        except Exception as error:  # whatever it is: no limit can be decided
            log.error("not ready, the tables cannot be read: %r", error)
            return reply(503, {"status": "not ready"})
        return reply(200, {"status": "ready"})

    async def _usage(self, exchange: Exchange) -> Response:
        query, today = exchange.request.query, day_of(self._limiters.now_ns())
        plan = self._plan(query["plan"])
        end = date.fromisoformat(query.get("end", str(today)))
        start = date.fromisoformat(query.get("start", str(end - timedelta(6))))
        keys = [query["key"]] if "key" in query else plan.keys
        return reply(200, {"plan": plan.name, "values": {key: plan.usage(key, start, end) for key in keys}})

    async def _adjust(self, exchange: Exchange) -> Response:
        order = json.loads(await read_body(exchange.request, MAX_ORDER))
        if not isinstance(order, dict):
            raise ValueError(f"body: expected a JSON object, got {order!r}")
        self._plan(order["plan"]).adjust(order["key"], order["remaining"])
        return reply(200, {"remaining": order["remaining"]})

    def _plan(self, name: str) -> UsagePlan:
        if name not in self._site.plans:
            raise ValueError(f"plan: expected one of {', '.join(self._site.plans)}, got {name!r}")
        return self._site.plans[name]


def content_type(request: Request) -> str:
    """Return the type of a request's body, without parameters."""
    return (request.header("content-type") or "").partition(";")[0].strip().lower()


def check_origin(request: Request) -> None:
    """Refuse a change that a page of another site asks for.

    Raises: Refusal.
    """
    origin, site = request.header("origin"), request.header("sec-fetch-site")
    host = request.headers.get(b"host", b"").decode("latin-1").lower()
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        raise Refusal("ACCESS_DENIED", f"the origin {origin!r}")
    if site not in (None, "same-origin", "none"):
        raise Refusal("ACCESS_DENIED", f"a request of another site: {site!r}")


def reply(status: int, value: Any, kind: bytes = JSON) -> Response:
    """Make an answer that no cache may store."""
    body = value if isinstance(value, bytes) else b"" if value is None else json.dumps(value).encode()
    headers = [(b"content-type", kind), (b"cache-control", b"no-store"), (b"content-length", b"%d" % len(body))]
    return Response(status, [] if status == 204 else headers, body)
