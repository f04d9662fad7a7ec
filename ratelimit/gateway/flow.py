"""A configuration made ready to serve. A request sees one Flow from its start to its end, whatever is reloaded."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

from .access import Authorization, Networks, client_address
from .backends import Address, Addresses
from .canary import Split
from .exchange import Exchange, Refusal
from .integrations import CLOSE, AggregateCall, Integration, ProxyCall, integration_of
from .log import Line
from .mapping import Mapping, Template
from .metrics import Meter
from .model import Api, Configuration, Mock, Route, Stage, Throttle
from .plans import UsagePlan
from .responses import Responses
from .routes import BadPath, RouteTable, decode
from .throttle import Chain, Limiters, Step
from .tracing import Tracing


class RouteFlow:
    """A route at one side of a stage: its guards, its chain and its integration."""

    __slots__ = (
        "allow", "authorization", "call", "chain", "deny", "guarded", "key", "keyed", "max_body", "meter", "response",
        "rest", "route",
    )  # fmt: skip

    def __init__(self, key: str, route: Route, call: Integration, chain: Chain, rest: list[Step], meter: Meter) -> None:
        self.key: str = key
        self.route = route
        self.call = call
        self.chain = chain  # of a request without a plan
        self.rest = rest  # the levels after a plan
        self.meter = meter
        self.allow, self.deny = Networks(route.allow), Networks(route.deny)
        self.max_body = route.max_body
        self.keyed = route.api_key_required
        self.authorization: Authorization | None = None
        self.response = Mapping(route.response) or None
        self.guarded = bool(self.allow or self.deny or self.keyed or route.authorizer)


class Side(NamedTuple):
    """What one deployment answers at a stage."""

    stage: "StageFlow"
    deployment: str | None
    canary: bool
    variables: dict[str, str]
    table: RouteTable
    routes: dict[str, RouteFlow]


class StageFlow:
    """A stage: its sides and its name."""

    __slots__ = ("api", "name", "path", "shadow", "split", "stage")

    def __init__(self, api: "ApiFlow", name: str, stage: Stage, shadow: bool) -> None:
        self.api = api
        self.name: str = name
        self.path = f"{api.name}/{name}"
        self.stage = stage
        self.shadow = shadow or stage.shadow
        self.split: Split[Side]


class ApiFlow(NamedTuple):
    """An API with its stages by name."""

    name: str
    api: Api
    stages: dict[str, StageFlow]
    responses: Responses
    authorizations: dict[str, Authorization]
    default: str  # the name of the stage for paths that name none, or empty
    selection: Template  # of a WebSocket message's route


Place = tuple[str, int, ApiFlow, StageFlow]
KNOWN = 10_000


class Base(NamedTuple):
    """A base path, how many segments it has, and where it leads."""

    path: str
    segments: int
    api: ApiFlow
    stage: StageFlow | None


class Flow:
    """All that a request needs, made from a configuration.

    Args:
        configuration: see there.
        limiters: the tables; the same over reloads, so that no count is forgotten.
        addresses: the backends' connections, likewise.

    Raises: ValueError for what can only be seen when all is put together.
    """

    def __init__(self, configuration: Configuration, limiters: Limiters, addresses: Addresses) -> None:
        self.configuration = configuration
        self.limiters: Limiters = limiters
        self.addresses = addresses
        self.trusted = Networks(configuration.trusted_proxies)
        self.operator_path = configuration.operator.path or "\0"  # which no path begins with
        self.operators = Networks(configuration.operator.allow)
        self.tracing = Tracing() if configuration.tracing else None
        self.encoded_slash = configuration.encoded_slash
        self.line = Line(configuration.access_log) if configuration.access_log else None
        self.responses = Responses(configuration.responses, configuration.problem_json)
        self.plain = Responses({})  # where a template of one's own cannot be filled in
        self.plans = {name: UsagePlan(name, plan, limiters) for name, plan in configuration.plans.items()}
        self.key_names = {value: name for name, value in configuration.api_keys.items()}
        self.plan_of = {
            (key, stage): plan for plan in self.plans.values() for key in plan.plan.keys for stage in plan.plan.stages
        }
        self.apis = {name: self._api(name, api) for name, api in configuration.apis.items()}
        self.only = None if configuration.domains else next(iter(self.apis.values()))
        self._known: dict[bytes | None, Place] = {}  # by the raw path, of routes without variables
        self.domains = {
            host.lower(): sorted(
                (self._base(path, target) for path, target in bases.items()), key=lambda base: -base.segments
            )
            for host, bases in configuration.domains.items()
        }

    def _base(self, path: str, target: str) -> Base:
        name, _, stage = target.partition("/")
        api = self.apis[name]
        path = path.rstrip("/")
        return Base(path, path.count("/"), api, api.stages[stage] if stage else None)

    def _api(self, name: str, api: Api) -> ApiFlow:
        given = {**self.configuration.responses, **api.responses}
        authorizations = {name: Authorization(authorizer) for name, authorizer in api.authorizers.items()}
        responses = Responses(given, self.configuration.problem_json)
        flow = ApiFlow(
            name, api, {}, responses, authorizations, "$default" if "$default" in api.stages else "",
            selection_of(api.route_selection),
        )  # fmt: skip
        for stage_name, stage in api.stages.items():
            flow.stages[stage_name] = self._stage(flow, stage_name, stage)
        return flow

    def _stage(self, api: ApiFlow, name: str, stage: Stage) -> StageFlow:
        flow = StageFlow(api, name, stage, self.configuration.shadow)
        base = self._side(flow, stage.deployment, False, stage.variables)
        canary, percent = None, 0.0
        if stage.canary is not None:
            percent = stage.canary.percent
            merged = {**stage.variables, **stage.canary.variables}
            canary = self._side(flow, stage.canary.deployment or stage.deployment, True, merged)
        flow.split = Split(base, canary, percent)
        return flow

    def _side(self, stage: StageFlow, deployment: str | None, canary: bool, variables: dict[str, str]) -> Side:
        given = stage.api.api.routes_of(deployment)
        if stage.api.api.type == "websocket":
            given = {"$connect": Route(mock=Mock()), **given}
        table = RouteTable(()) if stage.api.api.type == "websocket" else RouteTable(given)
        routes: dict[str, RouteFlow] = {}
        for key, route in given.items():
            try:
                routes[key] = self._route(stage, key, route, canary, variables)
            except ValueError as error:
                raise ValueError(f"{stage.path}, route {key!r}: {error}") from error
        return Side(stage, deployment, canary, variables, table, routes)

    def _route(self, stage: StageFlow, key: str, route: Route, canary: bool, variables: dict[str, str]) -> RouteFlow:
        steps = list(self._steps(stage, key))
        meter = Meter(self.limiters, stage.api.name, stage.name, "canary" if canary else "base", key)
        call = integration_of(route, key, variables, self.addresses)
        flow = RouteFlow(key, route, call, Chain(self.limiters, steps), steps, meter)
        if route.authorizer is not None:
            flow.authorization = stage.api.authorizations[route.authorizer]
        return flow

    def _steps(self, stage: StageFlow, key: str) -> Iterator[Step]:
        """The levels after the plan."""
        throttles = stage.stage.route_throttles
        if stage.api.api.type == "websocket":
            throttles = {"$connect": stage.api.api.limits.connections, **throttles}
        found: tuple[tuple[str, str, Throttle | None, bool], ...] = (
            ("method", f"{stage.path}/{key}", throttles.get(key) or throttles.get("*"), stage.shadow),
            ("stage", stage.path, stage.stage.throttle, stage.shadow),
            ("account", "account", self.configuration.throttle, self.configuration.shadow),
        )
        for level, label, throttle, shadow in found:
            if throttle is not None:
                yield Step.of(level, label, throttle, shadow)

    # --- what a request asks

    def find(self, exchange: Exchange) -> None:
        """Its API, stage, side and route, or a Refusal."""
        raw = exchange.scope.get("raw_path")
        place = self._known.get(raw)
        if place is None or self.only is None or exchange.scope.get("root_path"):
            place = self._place(exchange)
        exchange.path, exchange.drop, api, stage = place
        exchange.api = api.name
        exchange.side = side = stage.split.choose()
        if api.api.type == "websocket":
            return
        match = side.table.match(exchange.scope["method"], exchange.path)
        if match is None:
            raise Refusal(self._unknown(api), "no such route")
        key, exchange.variables, exchange.rest = match
        exchange.route = side.routes[key]
        if not exchange.variables and key != "$default" and len(self._known) < KNOWN:
            self._known[raw] = place

    def _place(self, exchange: Exchange) -> Place:
        """The path within a stage, how many segments named it, the API and the stage."""
        scope = exchange.scope
        raw = scope.get("raw_path")
        try:
            path = decode(quote(scope["path"]).encode() if raw is None else raw, self.encoded_slash)
        except BadPath as error:
            raise Refusal("BAD_REQUEST", str(error)) from error
        root = scope.get("root_path")
        if root and path.startswith(root):  # where this application is mounted in another
            path = path[len(root) :] or "/"
            exchange.drop = root.count("/")
        api, stage = self.only, None
        if api is None:
            path, api, stage = self._based(exchange, path)
        exchange.api = api.name
        if stage is None:
            path, stage = self._staged(exchange, path, api)
        return path, exchange.drop, api, stage

    def _based(self, exchange: Exchange, path: str) -> tuple[str, ApiFlow, StageFlow | None]:
        """The path after the base path, and what that leads to."""
        host = exchange.headers.get(b"host", b"").decode("latin-1").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        for base in self.domains.get(name.rstrip(".")) or self.domains.get("*") or ():
            if path == base.path or path.startswith(base.path + "/"):
                exchange.drop += base.segments
                return path[len(base.path) :] or "/", base.api, base.stage
        raise Refusal("RESOURCE_NOT_FOUND", "no such host or base path")

    def _staged(self, exchange: Exchange, path: str, api: ApiFlow) -> tuple[str, StageFlow]:
        """The stage that the first segment names, or else `$default`."""
        if len(api.stages) > 1 or not api.default:
            first, _, rest = path[1:].partition("/")
            if first != "$default" and first in api.stages:
                exchange.drop += 1
                return "/" + rest, api.stages[first]
        if not api.default:
            raise Refusal(self._unknown(api), "no such stage")
        return path, api.stages[api.default]

    @staticmethod
    def _unknown(api: ApiFlow) -> str:
        return "MISSING_AUTHENTICATION_TOKEN" if api.api.type == "rest" else "RESOURCE_NOT_FOUND"

    async def admit(self, exchange: Exchange, route: RouteFlow) -> None:
        """Networks, authorizer and API key, or a Refusal; the chain is known after it."""
        if exchange.client in route.deny or (route.allow and exchange.client not in route.allow):
            raise Refusal("ACCESS_DENIED", "by its address")
        value = exchange.header("x-api-key")
        if route.authorization is not None:
            answer = await route.authorization.check(exchange)
            exchange.authorizer = answer.get("context") or {}
            value = answer.get("usageIdentifierKey") or value
        if not route.keyed:
            return
        side = exchange.side
        assert side is not None
        name = self.key_names.get(value or "", "")
        plan = self.plan_of.get((name, side.stage.path))
        if plan is None:
            raise Refusal("INVALID_API_KEY", "no key of a plan for this stage")
        exchange.key = name
        exchange.plan = plan

    def meters(self) -> Iterator[Meter]:
        """Of all routes that can be reached."""
        for side in self.sides():
            for route in side.routes.values():
                yield route.meter

    def sides(self) -> Iterator[Side]:
        """Of all stages."""
        for api in self.apis.values():
            for stage in api.stages.values():
                yield stage.split.base
                if stage.split.canary is not None:
                    yield stage.split.canary

    def used_addresses(self) -> Iterator[Address]:
        """Those that some route may call."""
        for side in self.sides():
            for route in side.routes.values():
                calls = route.call.parts() if isinstance(route.call, AggregateCall) else [route.call]
                for call in calls:
                    if isinstance(call, ProxyCall):
                        yield from call.balancer.addresses


def selection_of(text: str) -> Template:
    """The template of a route selection expression; `$request.body.a` and `${request.body.a}/${...}` are such."""
    template = Template(text)
    if not template.names or any(
        not name.startswith(("request.", "context.", "stageVariables.")) for name in template.names
    ):
        raise ValueError(f"route_selection must be as '$request.body.action', not {text!r}")
    return template


# A request has each of these once at most; what has two could be read in two ways.
SINGLE = (b"host", b"content-length", b"x-api-key", b"authorization")


def check_headers(exchange: Exchange, flow: Flow) -> None:
    """Refuse headers that could be read in two ways, and find out who asks."""
    headers = exchange.scope["headers"]
    if len(exchange.headers) != len(headers):
        names = [name for name, _ in headers]
        for name in SINGLE:
            if names.count(name) > 1:
                raise Refusal("BAD_REQUEST", f"{name.decode()} twice", CLOSE)
    if flow.trusted and exchange.client in flow.trusted:
        exchange.behind_proxy = True
        forwarded = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
        exchange.client = client_address(exchange.client, forwarded, flow.trusted)
