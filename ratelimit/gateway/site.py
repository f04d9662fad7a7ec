"""A configuration made ready to serve.

A request sees one Site from its start to its end, whatever is reloaded. This is the only file that knows both the
configuration and the parts that are made of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._addresses import Networks, parse_address
from .._configuration.problems import Problems
from .access.authorizers import Authorizer
from .access.cors import CorsPolicy
from .access.guard import Guard
from .backends.address import Address, Addresses
from .backends.aggregate import AggregateIntegration
from .backends.balancer import Balancer
from .backends.function import FunctionIntegration
from .backends.integration import Integration
from .backends.mock import MockIntegration
from .backends.proxy import Forwarding, ProxyIntegration, address_of, parse_urls
from .callables import Callables, cors_of
from .config import rules
from .config.model import Api, Configuration, Mock, Proxy, Route, Stage, WebSocketLimits
from .exchange import Caller, Exchange
from .functions.events import Events
from .functions.pool import FUNCTIONS
from .functions.process import FunctionProcesses, FunctionRegistry
from .http.errors import BadValue, Refusal
from .http.request import Request
from .http.response import Response, discard
from .observability.access_log import AccessLogWriter
from .observability.meter import Meter
from .observability.tracing import Tracing, trace_headers
from .routing.canary import CanarySplit
from .routing.router import Destination, RoutedApi, Router, Variant
from .routing.table import RouteTable
from .templates.gateway_responses import GatewayResponses
from .templates.template import Template
from .templates.transform import Transform
from .throttling.chain import Chain
from .throttling.failures import LimiterFailures
from .throttling.levels import Level
from .throttling.limiters import Limiters
from .throttling.usage_plan import UsagePlan


@dataclass(frozen=True, slots=True, eq=False)
class CompiledRoute:
    """A route of one variant of a stage.

    Args:
        key: the route key.
        guard: admits its clients; None where every client is admitted.
        chain: its levels, for a request without a plan; None where nothing is counted.
        levels: the same, to follow those of a plan.
        plans: by the names of API keys.
        stage: such as "shop/prod".
        shadow: whether the levels of plans only count.
        meter: its counters; None where nothing is counted.
        integration: answers its requests.
        response: changes to the answer.
        max_body: bytes of a request's body.
        constant: the answer, where it is the same for each request.
        answers: whether a message of a WebSocket is answered.
    """

    key: str
    integration: Integration
    guard: Guard | None = None
    chain: Chain | None = None
    levels: tuple[Level, ...] = ()
    plans: Mapping[str, UsagePlan] | None = None
    stage: str = ""
    shadow: bool = False
    meter: Meter | None = None
    response: Transform | None = None
    max_body: int = 0
    constant: Response | None = None
    answers: bool = True

    def chain_of(self, caller: Caller) -> Chain | None:
        """Return the levels of a caller's plan, if it has one, followed by those of the route."""
        if not caller.key or self.plans is None:
            return self.chain
        return self.plans[caller.key].chain(caller.key, self.stage, self.key, self.levels, self.shadow)

    async def answer(self, exchange: Exchange) -> Response:
        """Return the answer of the integration, transformed; raise a Refusal if it has failed."""
        try:
            response = await self.integration.answer(exchange)
            return response if self.response is None else await _transformed(self.response, response, exchange)
        except BadValue as error:
            raise Refusal("BAD_REQUEST", str(error)) from error


async def _transformed(transform: Transform, response: Response, exchange: Exchange) -> Response:
    try:
        exchange.outcome.status = status = transform.status(response.status, exchange)
        return Response(status, transform.headers(response.headers, exchange), response.body)
    except BaseException:
        await discard(response.body)
        raise


@dataclass(frozen=True, slots=True, eq=False)
class CompiledApi:
    """An API.

    Args:
        responses: its gateway responses.
        is_websocket: whether it is a WebSocket API.
        selection: gives the route that a WebSocket message names.
        limits: of WebSockets.
        origins: in lower case, whose pages may open WebSockets; empty for all.
        cors: which pages of other sites may read its answers; None where that is left to its backends.
        variants: those of its stages, by the name of the stage and whether it is the canary.
    """

    responses: GatewayResponses
    is_websocket: bool
    selection: Template
    limits: WebSocketLimits
    origins: frozenset[str]
    cors: CorsPolicy | None
    variants: Mapping[tuple[str, bool], Variant[CompiledRoute]]


class Site:
    """All that a request needs, made from a configuration. Immutable.

    Args:
        configuration: see there.
        limiters: the tables; the same over reloads, so that no count is forgotten.
        addresses: the backends' connections, likewise.
        functions: the functions in processes of their own, likewise.

    Attributes:
        router: finds the route of a request.
        apis: by name.
        plans: by name.
        used: the addresses that a route may call.
        processes: the functions in processes of their own, likewise.
        websocket: the name of a WebSocket API; empty without one.
        has_cors: whether an API has CORS.
        unrouted: counts requests without a route.

    Raises: ConfigurationError with all that does not fit together, and all that cannot be loaded or opened.
    """

    def __init__(
        self,
        configuration: Configuration,
        limiters: Limiters,
        addresses: Addresses,
        functions: FunctionRegistry | None = None,
    ) -> None:
        rules.check(configuration)
        problems = Problems()
        self.configuration = configuration
        self.now_ns = limiters.now_ns
        self.plans = {name: UsagePlan(name, plan, limiters) for name, plan in configuration.plans.items()}
        compiler = _Compiler(configuration, limiters, addresses, functions or FunctionRegistry(), self.plans, problems)
        self.apis = {name: compiler.api(name, api) for name, api in configuration.apis.items()}
        routed = {name: _routed(name, configuration.apis[name], api) for name, api in self.apis.items()}
        self.router = Router(routed, configuration.domains, configuration.encoded_slash)
        self.used = tuple(compiler.used)
        self.processes = tuple(compiler.processes())
        self.websocket = next((name for name, api in self.apis.items() if api.is_websocket), "")
        self.has_cors = any(api.cors is not None for api in self.apis.values())
        self.responses = GatewayResponses(configuration.responses, configuration.problem_json)
        self.plain_responses = GatewayResponses({})  # where a configured template cannot be filled in
        self.trusted_proxies = Networks(configuration.trusted_proxies) or None
        self.operators = Networks(configuration.operator.allow)
        self.operator_path = configuration.operator.path
        self.has_domains = bool(configuration.domains)
        self.limit_headers = configuration.headers
        self.body_timeout = configuration.body_timeout
        self.fails_open = configuration.on_limiter_error == "fail_open"
        self.limiter_failures = LimiterFailures(configuration.on_limiter_error)
        self.tracing = Tracing() if configuration.tracing else None
        self.access_log: AccessLogWriter | None = None
        if configuration.access_log:
            with problems.at("access_log", "file"):
                self.access_log = AccessLogWriter(configuration.access_log.file, configuration.access_log.format)
        problems.raise_any()
        self.unrouted = Meter(limiters, "", "", "", "")

    def responses_of(self, destination: Destination) -> GatewayResponses:
        """Return the gateway responses of the API that was found, or else the common ones."""
        api = self.apis.get(destination.api)  # that of a WebSocket may be gone after a reload
        return self.responses if api is None else api.responses

    def variant(self, destination: Destination) -> Variant[CompiledRoute]:
        """Return the variant that a request found."""
        return self.apis[destination.api].variants[destination.stage, destination.is_canary]

    def is_page(self, request: Request) -> bool:
        """Whether a path is that of the operator's pages or below it."""
        here = self.operator_path
        return bool(here) and f"{request.path}/".startswith(f"{here}/")

    def is_operator(self, request: Request) -> bool:
        """Whether a client may see the operator's pages.

        It must use an address, localhost or a configured domain: another name may have been made to point here.
        """
        if request.client not in self.operators:
            return False
        host = request.host
        return host == "localhost" or self.router.has_domain(host) or parse_address(host) is not None

    def variants(self) -> Iterator[Variant[CompiledRoute]]:
        """Yield the variants of all stages."""
        for api in self.apis.values():
            yield from api.variants.values()

    def meters(self) -> Iterator[Meter]:
        """Yield the meters of all routes, and of requests without one."""
        yield self.unrouted
        for variant in self.variants():
            for route in variant.routes.values():
                if route.meter is not None:
                    yield route.meter


def _routed(name: str, api: Api, compiled: CompiledApi) -> RoutedApi[CompiledRoute]:
    stages = {}
    for stage, configured in api.stages.items():
        percent = configured.canary.percent if configured.canary else 0.0
        base, canary = compiled.variants[stage, False], compiled.variants.get((stage, True))
        stages[stage] = CanarySplit(base, canary, percent)
    return RoutedApi(name, stages, _missing(api))


def _missing(api: Api) -> str:
    """Return the gateway response of a path without a route."""
    return "MISSING_AUTHENTICATION_TOKEN" if api.type == "rest" else "RESOURCE_NOT_FOUND"


class _Compiler:
    """Makes the routes of a Site."""

    def __init__(
        self,
        configuration: Configuration,
        limiters: Limiters,
        addresses: Addresses,
        functions: FunctionRegistry,
        plans: dict[str, UsagePlan],
        problems: Problems,
    ) -> None:
        self.used: list[Address] = []
        self._callables = Callables(configuration, functions, self._address)
        self._problems = problems
        self._configuration = configuration
        self._limiters = limiters
        self._addresses = addresses
        self._forwarding = Forwarding(
            frozenset(configuration.api_keys.values()), trace_headers if configuration.tracing else None
        )
        self._plans: dict[str, dict[str, UsagePlan]] = {}  # by stage, then key
        for name, plan in configuration.plans.items():
            for stage in plan.stages:
                self._plans.setdefault(stage, {}).update(dict.fromkeys(plan.keys, plans[name]))

    def processes(self) -> list[FunctionProcesses]:
        """Return the functions in processes of their own."""
        return self._callables.processes

    def api(self, name: str, api: Api) -> CompiledApi:
        authorizers = {}
        for label, one in api.authorizers.items():
            with self._problems.at("apis", name, "authorizers", label, "jwt" if one.jwt else "function"):
                authorizers[label] = self._callables.authorizer(api, one)
        given = {**self._configuration.responses, **api.responses}
        variants = {}
        for stage_name, stage in api.stages.items():
            variants[stage_name, False] = self._variant(name, api, stage_name, stage, False, authorizers)
            if stage.canary is not None:
                variants[stage_name, True] = self._variant(name, api, stage_name, stage, True, authorizers)
        return CompiledApi(
            GatewayResponses(given, self._configuration.problem_json),
            api.type == "websocket",
            Template(api.route_selection),
            api.limits,
            frozenset(origin.lower() for origin in api.origins),
            cors_of(api),
            variants,
        )

    def _variant(
        self, api_name: str, api: Api, name: str, stage: Stage, is_canary: bool, authorizers: Mapping[str, Any]
    ) -> Variant[CompiledRoute]:
        deployment, variables = stage.deployment, stage.variables
        if is_canary and stage.canary is not None:
            deployment = stage.canary.deployment or deployment
            variables = {**variables, **stage.canary.variables}
        given = api.routes_of(deployment)
        if api.type == "websocket":
            given = {"$connect": Route(mock=Mock()), **given}
        places = {key: path for key, path, _ in api.located(deployment)}
        routes = {}
        for key, route in given.items():
            meter = Meter(self._limiters, api_name, name, "canary" if is_canary else "base", key)
            with self._problems.at("apis", api_name, *places.get(key, ())):
                authorizer = authorizers.get(route.authorizer) if route.authorizer else None
                routes[key] = self._route(f"{api_name}/{name}", api, stage, key, route, variables, authorizer, meter)
        table = None if api.type == "websocket" else RouteTable(given)
        return Variant(api_name, name, deployment or "current", is_canary, variables, routes, table, _missing(api))

    def _route(
        self,
        path: str,
        api: Api,
        stage: Stage,
        key: str,
        route: Route,
        variables: Mapping[str, str],
        authorizer: Authorizer | None,
        meter: Meter,
    ) -> CompiledRoute:
        allow, deny, plans = Networks(route.allow), Networks(route.deny), self._plans.get(path, {})
        keys = None
        if route.api_key_required:
            keys = {value: name for name, value in self._configuration.api_keys.items() if name in plans}
        guarded = allow or deny or authorizer or keys is not None
        levels = tuple(self._levels(path, api, stage, key))
        integration = self._integration(api, route, variables)
        constant = None
        if isinstance(integration, MockIntegration) and not route.response and api.type != "websocket":
            constant = integration.constant
        return CompiledRoute(
            key,
            integration,
            Guard(allow, deny, authorizer, keys, frozenset(route.scopes)) if guarded else None,
            Chain(self._limiters, levels) if key != "$disconnect" else None,
            levels,
            plans if key != "$disconnect" else None,
            path,
            self._configuration.shadow,
            meter,
            Transform(route.response) or None,
            route.max_body,
            constant,
            route.route_response,
        )

    def _levels(self, path: str, api: Api, stage: Stage, key: str) -> Iterator[Level]:
        """Yield the levels after those of a plan."""
        throttles = stage.route_throttles
        if api.type == "websocket":
            throttles = {"$connect": api.limits.connections, **throttles}
        stage_shadow, shadow = self._configuration.shadow or stage.shadow, self._configuration.shadow
        for level, label, throttle, only_counts in (
            ("method", f"{path}/{key}", throttles.get(key) or throttles.get("*"), stage_shadow),
            ("stage", path, stage.throttle, stage_shadow),
            ("account", "account", self._configuration.throttle, shadow),
        ):
            if throttle is not None:
                yield Level.of(level, label, throttle, only_counts)

    # --- integrations

    def _integration(self, api: Api, route: Route, variables: Mapping[str, str]) -> Integration:
        if route.mock is not None:
            return MockIntegration(route.mock.status, route.mock.headers, route.mock.body)
        if route.function is not None:
            events = Events(api.type, route.payload_format, api.binary_media_types)
            function = self._callables.function(route.function, FUNCTIONS)
            return FunctionIntegration(function, events, route.timeout, route.max_body, Transform(route.request))
        if route.proxy is not None:
            return self._proxy(route.proxy, route, variables)
        assert route.aggregate is not None
        parts = {name: self._proxy(proxy, route, variables) for name, proxy in route.aggregate.items()}
        return AggregateIntegration(parts, route.timeout, route.max_body)

    def _proxy(self, proxy: Proxy, route: Route, variables: Mapping[str, str]) -> ProxyIntegration:
        urls = parse_urls(proxy.to, variables)
        addresses = [address_of(url, proxy.verify, self._address) for url in urls]
        return ProxyIntegration(
            Balancer(addresses, proxy.max_fails, proxy.fail_timeout),
            urls[0],
            proxy.timeout,
            route.max_body,
            Transform(route.request),
            self._forwarding,
        )

    def _address(self, scheme: str, host: str, port: int, verify: bool) -> Address:
        self.used.append(self._addresses.of(scheme, host, port, verify))
        return self.used[-1]
