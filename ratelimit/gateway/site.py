"""A configuration made ready to serve. A request sees one Flow from its start to its end, whatever is reloaded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from .access.authorizers import Authorization, Networks, client_address, parse_address
from .backends.balancer import Address, Addresses
from .backends.proxy import CLOSE, Integration, MockCall, integration_of
from .config.model import Api, Configuration, Mock, Route, Stage, Throttle
from .exchange import Exchange, Found, Place, Refusal, Response, leave
from .observability.access_log import Line
from .observability.meter import Meter
from .observability.tracing import Tracing
from .routing.canary import Split
from .routing.table import BadPath, BadValue, RouteTable, decode
from .templates.gateway_responses import Responses
from .templates.transform import Mapping, Template
from .throttling.chain import Chain
from .throttling.levels import Limiters, Step
from .throttling.usage_plan import UsagePlan


@dataclass(slots=True)
class RouteFlow:
    """A route at one side of a stage: its guards, its chain and its integration.

    Args:
        key: the route key.
        route: as configured.
        call: its integration.
        chain: the levels of a request without a plan.
        rest: the same, to stand after those of a plan.
        meter: its counters.
        authorization: its authorizer.
    """

    key: str
    route: Route
    call: Integration
    chain: Chain
    rest: list[Step]
    meter: Meter
    authorization: Authorization | None
    allow: Networks = field(init=False)
    deny: Networks = field(init=False)
    guarded: bool = field(init=False)  # whether somebody has to be asked before it
    response: Mapping | None = field(init=False)
    ready: Response | None = field(init=False)  # an answer that is the same each time

    def __post_init__(self) -> None:
        route = self.route
        self.allow, self.deny = Networks(route.allow), Networks(route.deny)
        self.guarded = bool(self.allow or self.deny or route.api_key_required or route.authorizer)
        self.response = Mapping(route.response) or None
        self.ready = self.call.ready if isinstance(self.call, MockCall) and not self.response else None

    def chain_with(self, plan: UsagePlan, exchange: Exchange) -> Chain:
        """The levels of a plan, and then those of the route."""
        assert exchange.side is not None
        stage, shadow = exchange.side.stage.path, exchange.flow.configuration.shadow
        return plan.chain(exchange.key, stage, self.key, self.rest, shadow)

    async def answer(self, exchange: Exchange) -> Response:
        """What the integration answers, after the route's mapping; or a Refusal."""
        try:
            response = await self.call(exchange)
            return response if self.response is None else await self._mapped(self.response, response, exchange)
        except BadValue as error:
            raise Refusal("BAD_REQUEST", str(error)) from error

    @staticmethod
    async def _mapped(mapping: Mapping, response: Response, exchange: Exchange) -> Response:
        try:
            exchange.status = status = mapping.status(response.status, exchange)
            return Response(status, mapping.headers(response.headers, exchange), response.body)
        except BaseException:
            await leave(response.body)
            raise


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """What one deployment answers at a stage."""

    stage: "StageFlow"
    deployment: str | None
    canary: bool
    variables: dict[str, str]
    table: RouteTable
    routes: dict[str, RouteFlow]

    def find(self, method: str, path: str) -> Found:
        """The route of a path."""
        match = self.table.match(method, path)
        return Found(self, match and self.routes[match.key], *(match[1:] if match else ()))


class StageFlow:
    """A stage: its sides and its name."""

    def __init__(self, api: "ApiFlow", name: str, stage: Stage, shadow: bool) -> None:
        self.api = api
        self.name: str = name
        self.path = f"{api.name}/{name}"
        self.stage = stage
        self.shadow = shadow or stage.shadow
        self.split: Split[Side]


@dataclass(frozen=True, slots=True, eq=False)
class ApiFlow:
    """An API with its stages by name."""

    name: str
    api: Api
    stages: dict[str, StageFlow]
    responses: Responses
    authorizations: dict[str, Authorization]
    selection: Template  # of a WebSocket message's route


KNOWN = 4_096  # places that are remembered


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """A base path, and where it leads."""

    path: str
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
        self.used: list[Address] = []  # those that some route may call
        self.trusted = Networks(configuration.trusted_proxies) or None
        self.operators = Networks(configuration.operator.allow)
        self.tracing = Tracing() if configuration.tracing else None
        self.encoded_slash = configuration.encoded_slash
        self.limit_fields = configuration.headers
        self.line = Line(configuration.access_log) if configuration.access_log else None
        self.responses = Responses(configuration.responses, configuration.problem_json)
        self.plain = Responses({})  # where a template of one's own cannot be filled in
        self.unrouted = Meter(limiters, "", "", "", "")  # of requests that find no route
        self.plans = {name: UsagePlan(name, plan, limiters) for name, plan in configuration.plans.items()}
        self.key_names = {value: name for name, value in configuration.api_keys.items()}
        self.plan_of = {
            (key, stage): plan for plan in self.plans.values() for key in plan.plan.keys for stage in plan.plan.stages
        }
        self.apis = {name: self._api(name, api) for name, api in configuration.apis.items()}
        self.only = None if configuration.domains else next(iter(self.apis.values()))
        self._known: dict[tuple[str, bytes, str | None, str], Place] = {}
        self.domains = {
            host.lower(): sorted((self._base(*one) for one in bases.items()), key=lambda base: -base.path.count("/"))
            for host, bases in configuration.domains.items()
        }

    def _base(self, path: str, target: str) -> Base:
        name, _, stage = target.partition("/")
        api = self.apis[name]
        return Base(path.rstrip("/"), api, api.stages[stage] if stage else None)

    def _api(self, name: str, api: Api) -> ApiFlow:
        given = {**self.configuration.responses, **api.responses}
        authorizations = {name: Authorization(authorizer) for name, authorizer in api.authorizers.items()}
        responses = Responses(given, self.configuration.problem_json)
        flow = ApiFlow(name, api, {}, responses, authorizations, selection_of(api.route_selection))
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
        call = integration_of(route, variables, self._address)
        authorization = stage.api.authorizations[route.authorizer] if route.authorizer else None
        return RouteFlow(key, route, call, Chain(self.limiters, steps), steps, meter, authorization)

    def _address(self, *origin: Any) -> Address:
        self.used.append(self.addresses.of(*origin))
        return self.used[-1]

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

    def find(self, exchange: Exchange) -> RouteFlow | None:
        """Its route, or a Refusal. None for the operator's pages, and for plain HTTP at a WebSocket API.

        What is found on the way is noted: API, place and side.
        """
        scope = exchange.scope
        raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        domain = self._domain(exchange) if self.domains else ""
        label = (scope["method"], raw, scope.get("root_path"), domain)
        place = self._known.get(label)
        if place is None:
            ours = self._is_operators(exchange.path)
            if ours and exchange.client in self.operators and self._is_named(exchange):
                return None
            place = self._place(exchange, *label)
            if not ours:
                self._remember(label, place)
        exchange.place = place
        exchange.api = place.api
        exchange.found = found = place.split.choose()
        exchange.route = route = found.route
        if route is None and place.api.api.type != "websocket":
            raise Refusal(unknown(place.api), "no such route")
        return route

    def _remember(self, label: tuple[str, bytes, str | None, str], place: Place) -> None:
        """For the next request of the same path. What a client may make the gateway keep is bounded."""
        if len(label[0]) + len(label[1]) > 256:
            return
        if len(self._known) >= KNOWN:
            self._known.clear()
        self._known[label] = place

    def _is_operators(self, path: str) -> bool:
        here = self.configuration.operator.path
        return bool(here) and (path == here or path.startswith(here + "/"))

    def _is_named(self, exchange: Exchange) -> bool:
        """By an address, localhost or a configured domain: not by a name that somebody else let point here."""
        name = exchange.host
        return name == "localhost" or name in self.domains or parse_address(name) is not None

    def _domain(self, exchange: Exchange) -> str:
        return exchange.host if exchange.host in self.domains else "*"

    def _place(self, exchange: Exchange, method: str, raw: bytes, root: str | None, domain: str) -> Place:
        """Where a path leads. `exchange.api` is set as soon as it is known: its gateway responses are its own."""
        if method == "CONNECT":
            raise Refusal("BAD_REQUEST", "no tunnels", CLOSE)
        try:
            path, drop = decode(raw, self.encoded_slash), 0
        except BadPath as error:
            raise Refusal("BAD_REQUEST", str(error)) from error
        if root and path.startswith(root):  # where this application is mounted in another
            path, drop = path[len(root) :] or "/", root.count("/")
        api, stage = self.only, None
        if api is None:
            base = next((one for one in self.domains.get(domain, ()) if f"{path}/".startswith(f"{one.path}/")), None)
            if base is None:
                raise Refusal("RESOURCE_NOT_FOUND", "no such host or base path")
            path, drop = path[len(base.path) :] or "/", drop + base.path.count("/")
            api, stage = base.api, base.stage
        exchange.api = api
        if stage is None:
            first, _, rest = path[1:].partition("/")
            if first in api.stages and first != "$default":
                path, drop, stage = f"/{rest}", drop + 1, api.stages[first]
            elif "$default" in api.stages:
                stage = api.stages["$default"]
            else:
                raise Refusal(unknown(api), "no such stage")
        base_side, canary = stage.split.base, stage.split.canary
        found = canary.find(method, path) if canary else None
        split = Split(base_side.find(method, path), found, stage.split.percent)
        return Place(path, drop, api, split)

    async def admit(self, exchange: Exchange, route: RouteFlow) -> None:
        """Networks, authorizer and API key, or a Refusal; the chain is known after it."""
        if exchange.client in route.deny or (route.allow and exchange.client not in route.allow):
            raise Refusal("ACCESS_DENIED", "by its address")
        value = exchange.header("x-api-key")
        if route.authorization is not None:
            answer = await route.authorization.check(exchange)
            exchange.authorizer = answer.get("context")
            value = answer.get("usageIdentifierKey") or value
        if not route.route.api_key_required:
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
        """Of all routes that can be reached, and of what finds none."""
        yield self.unrouted
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


def unknown(api: ApiFlow) -> str:
    """What the answer is where there is no such route."""
    return "MISSING_AUTHENTICATION_TOKEN" if api.api.type == "rest" else "RESOURCE_NOT_FOUND"


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


def check_headers(exchange: Exchange) -> None:
    """Refuse headers that could be read in two ways, and find out who asks."""
    headers, trusted = exchange.scope["headers"], exchange.flow.trusted
    coding, version = exchange.headers.get(b"transfer-encoding"), exchange.scope.get("http_version", "1.1")
    if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
        raise Refusal("BAD_REQUEST", f"transfer-encoding {coding!r} in HTTP/{version}", CLOSE)
    if b"host" not in exchange.headers and version == "1.1":
        raise Refusal("BAD_REQUEST", "no host", CLOSE)
    if len(exchange.headers) != len(headers):
        names = [name for name, _ in headers]
        for name in SINGLE:
            if names.count(name) > 1:
                raise Refusal("BAD_REQUEST", f"{name.decode()} twice", CLOSE)
    if trusted is not None and exchange.client in trusted:
        exchange.behind_proxy = True
        forwarded = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
        exchange.client = client_address(exchange.client, forwarded, trusted)


def check_size(exchange: Exchange, route: RouteFlow) -> None:
    """Refuse a body that is said to be too large. One that does not say is measured as it comes."""
    length = exchange.headers.get(b"content-length")
    if length is not None and (not length.isdigit() or int(length) > route.route.max_body):
        raise Refusal("REQUEST_TOO_LARGE", f"{length!r} bytes", CLOSE)
