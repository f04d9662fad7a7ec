"""What the operator sees and does: the status page, metrics, usage, promote and rollback."""

import json
import os
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ... import TableFull
from ..backends.proxy import whole_body
from ..config.model import CalendarQuota, Throttle
from ..exchange import Exchange, Refusal, Response
from ..observability.metrics import Collector
from ..server.peers import Reply
from ..site import Side
from ..throttling.usage_plan import UsagePlan, day_of

if TYPE_CHECKING:
    from ..app import Gateway

JSON, HTML = b"application/json", b"text/html; charset=utf-8"
MOST = 65_536  # bytes of an order
POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    b"img-src data:; base-uri 'none'; frame-ancestors 'none'"
)


class Operator:
    """The pages below the operator's path. They are for the networks that the configuration allows.

    Changes are POSTs with a JSON body, which no other site's page can send unasked.
    """

    def __init__(self, gateway: "Gateway") -> None:
        self.gateway = gateway
        self.started = gateway.limiters.now_ns() / 1e9
        self.moves: list[dict[str, Any]] = []  # what was promoted and rolled back since the configuration was read
        self._pages: dict[tuple[str, str], Callable[[Exchange], Awaitable[Response]]] = {
            ("GET", ""): self._page,
            ("GET", "status.json"): self._status,
            ("GET", "metrics"): self._metrics,
            ("GET", "usage"): self._usage,
            ("POST", "usage"): self._adjust,
            ("POST", "promote"): self._move,
            ("POST", "rollback"): self._move,
        }

    async def answer(self, exchange: Exchange) -> Response:
        """The page, or what came of an order."""
        method = exchange.scope["method"]
        page = self._pages.get(("GET" if method == "HEAD" else method, self._name(exchange)))
        if page is None:
            raise Refusal("RESOURCE_NOT_FOUND", "no such page")
        kind = (exchange.header("content-type") or "").partition(";")[0].strip()
        if method == "POST" and kind != "application/json":
            return reply(415, {"message": "the body must be application/json"})
        try:
            return await page(exchange)
        except (ValueError, TypeError, LookupError, OverflowError, TableFull) as error:
            return reply(400, {"message": f"{error} is missing" if isinstance(error, KeyError) else str(error)})

    @staticmethod
    def _name(exchange: Exchange) -> str:
        return exchange.path[len(exchange.flow.configuration.operator.path) + 1 :]

    async def _adjust(self, exchange: Exchange) -> Response:
        order = await self._order(exchange)
        self._plan(order["plan"]).adjust(order["key"], order["remaining"])
        return reply(200, {"remaining": order["remaining"]})

    @staticmethod
    async def _order(exchange: Exchange) -> dict[str, Any]:
        order = json.loads(await whole_body(exchange, MOST))
        if not isinstance(order, dict):
            raise ValueError(f"the body must be a JSON object, not {order!r}")
        return order

    def _plan(self, name: str) -> UsagePlan:
        plans = self.gateway.flow.plans
        if name not in plans:
            raise ValueError(f"plan must be one of {', '.join(plans)}, not {name!r}")
        return plans[name]

    async def _move(self, exchange: Exchange) -> Response:
        """Promote or roll back, in all workers."""
        stage = str((await self._order(exchange))["stage"])
        replies = await self.gateway.connections.all({"order": self._name(exchange), "stage": stage})
        return reply(*replies[0])

    async def perform(self, order: dict[str, Any]) -> Reply:
        """Promote or roll back a stage of this worker, or tell a new one what was."""
        if order["order"] == "moves":
            return 200, self.moves
        configuration = self.gateway.flow.configuration
        api, _, name = order["stage"].partition("/")
        try:
            stage = configuration.apis[api].stages[name]
            stage.promote() if order["order"] == "promote" else stage.rollback()
            await self.gateway.load(configuration)
        except KeyError:
            return 400, {"message": f"stage must be as 'api/stage', not {order['stage']!r}"}
        except ValueError as error:
            return 400, {"message": str(error)}
        self.moves.append(order)
        return 200, {"stage": order["stage"], "deployment": stage.deployment}

    async def catch_up(self) -> None:
        """A worker that takes the place of another does what that one was told."""
        for order in max([moves for _, moves in await self.gateway.connections.all({"order": "moves"})], key=len):
            await self.perform(order)

    async def _page(self, exchange: Exchange) -> Response:
        page = files(__package__).joinpath("status.html").read_bytes()
        headers = [(b"content-security-policy", POLICY), (b"x-content-type-options", b"nosniff")]
        return Response(200, reply(200, page, HTML).headers + headers, page)

    async def _metrics(self, exchange: Exchange) -> Response:
        from prometheus_client import CollectorRegistry, exposition

        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collector(self.gateway.flow.meters, self.gateway.limiters))
        text = exposition.generate_latest(registry)
        return reply(200, text, exposition.CONTENT_TYPE_LATEST.encode())

    async def _status(self, exchange: Exchange) -> Response:
        return reply(200, self.status())

    async def _usage(self, exchange: Exchange) -> Response:
        query, today = exchange.query, day_of(self.gateway.limiters.now_ns())
        plan = self._plan(query["plan"])
        end = date.fromisoformat(query.get("end", str(today)))
        start = date.fromisoformat(query.get("start", str(end - timedelta(6))))
        keys = [query["key"]] if "key" in query else plan.plan.keys
        return reply(200, {"plan": plan.name, "values": {key: plan.usage(key, start, end) for key in keys}})

    # --- the status page's data

    def status(self) -> dict[str, Any]:
        """All that the status page shows."""
        flow, gateway = self.gateway.flow, self.gateway
        return {
            "now": gateway.limiters.now_ns() / 1e9,
            "started": self.started,
            "worker": os.getpid(),
            "connections": len(gateway.connections),
            "account": throttle_text(flow.configuration.throttle),
            "shadow": flow.configuration.shadow,
            "stages": [self._stage(side) for side in flow.sides()],
            "plans": [
                {
                    "name": plan.name,
                    "throttle": throttle_text(plan.plan.throttle),
                    "quota": quota_text(plan.plan.quota),
                    "stages": plan.plan.stages,
                    "keys": [
                        {"name": key, "today": next(iter(plan.usage(key, today, today).values()))}
                        for today in [day_of(gateway.limiters.now_ns())]
                        for key in plan.plan.keys[:100]
                    ],
                }
                for plan in flow.plans.values()
            ],
        }

    @staticmethod
    def _stage(side: Side) -> dict[str, Any]:
        stage = side.stage
        own = stage.stage.route_throttles
        return {
            "api": stage.api.name,
            "type": stage.api.api.type,
            "stage": stage.name,
            "side": "canary" if side.canary else "base",
            "percent": stage.split.percent if side.canary else 100 - stage.split.percent,
            "deployment": side.deployment or "current",
            "throttle": throttle_text(stage.stage.throttle),
            "shadow": stage.shadow,
            "routes": [
                {"key": key, "throttle": throttle_text(own.get(key) or own.get("*")), **route.meter.totals()}
                for key, route in side.routes.items()
            ],
        }


def throttle_text(throttle: Throttle | None) -> str | None:
    """A throttle as it is read."""
    if throttle is None:
        return None
    return f"{throttle.rate:g}/s, burst {throttle.burst}" + (", shadow" if throttle.shadow else "")


def quota_text(quota: CalendarQuota | None) -> str | None:
    """A quota as it is read."""
    if quota is None:
        return None
    return f"{quota.limit} per {quota.period.lower()}" + (", shadow" if quota.shadow else "")


def reply(status: int, value: Any, kind: bytes = JSON) -> Response:
    """An answer that is never kept by a cache."""
    body = value if isinstance(value, bytes) else b"" if value is None else json.dumps(value).encode()
    headers = [(b"content-type", kind), (b"cache-control", b"no-store"), (b"content-length", b"%d" % len(body))]
    return Response(status, [] if status == 204 else headers, body)
