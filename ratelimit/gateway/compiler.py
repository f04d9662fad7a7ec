"""From the configuration of an API to its routes as they are served.

Only this file, `site`, `callables` and `compiled` know both the configuration and the parts that are made of it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .._configuration.addresses import Networks
from .._configuration.problems import Problems
from .access.authorizers import Authorizer
from .access.guard import Guard
from .access.jwt import KeySets
from .backends.address import Address, Addresses
from .backends.aggregate import AggregateIntegration
from .backends.balancer import Balancer
from .backends.function import FunctionIntegration
from .backends.integration import Integration
from .backends.mock import MockIntegration
from .backends.proxy import Forwarding, ProxyIntegration, address_of, parse_urls
from .backends.validated import ValidatedIntegration
from .callables import Callables, cors_of
from .compiled import CompiledApi, CompiledRoute
from .config.apis import Api, Stage
from .config.backends import Mock, Proxy
from .config.model import Configuration
from .config.routes import Route
from .config.throttles import ClientThrottle
from .functions.events import Events
from .functions.pool import FUNCTIONS
from .functions.process import FunctionProcesses, FunctionRegistry
from .observability.meter import Meter
from .observability.tracing import trace_headers
from .routing.router import Variant
from .routing.table import RouteTable
from .schemas import Models
from .templates.gateway_responses import GatewayResponses
from .templates.template import Template
from .templates.transform import Transform
from .throttling.by_client import ByClient
from .throttling.chain import Chain
from .throttling.levels import Level
from .throttling.limiters import Limiters
from .throttling.stage_keys import KnownKeys, StageKeys
from .throttling.usage_plan import UsagePlan


class Shared(NamedTuple):
    """The parts that all routes of an API have in common.

    Attributes:
        authorizers: by name.
        models: of bodies.
        policy: decides which callers are admitted; None without one.
    """

    authorizers: Mapping[str, Authorizer]
    models: Models
    policy: Mapping[str, Any] | None


class Compiler:
    """Makes the routes of a Site."""

    def __init__(
        self,
        configuration: Configuration,
        limiters: Limiters,
        addresses: Addresses,
        functions: FunctionRegistry,
        key_sets: KeySets,
        plans: dict[str, UsagePlan],
        problems: Problems,
    ) -> None:
        self.used: list[Address] = []
        self._callables = Callables(configuration, functions, key_sets, self._address)
        self._problems = problems
        self._configuration = configuration
        self._limiters = limiters
        self._addresses = addresses
        self._forwarding = Forwarding(
            KnownKeys(configuration.api_keys.values(), plans.values()),
            trace_headers if configuration.tracing else None,
        )
        self._plans = plans

    def processes(self) -> list[FunctionProcesses]:
        """Return the functions in processes of their own."""
        return self._callables.processes

    def api(self, name: str, api: Api) -> CompiledApi:
        authorizers = {}
        for label, one in api.authorizers.items():
            with self._problems.at("apis", name, "authorizers", label, "jwt" if one.jwt else "function"):
                authorizers[label] = self._callables.authorizer(api, one)
        models = Models({})
        with self._problems.at("apis", name, "models"):
            models = Models(api.models)
        shared = Shared(authorizers, models, api.policy)
        given = {**self._configuration.responses, **api.responses}
        variants = {}
        for stage_name, stage in api.stages.items():
            variants[stage_name, False] = self._variant(name, api, stage_name, stage, False, shared)
            if stage.canary is not None:
                variants[stage_name, True] = self._variant(name, api, stage_name, stage, True, shared)
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
        self, api_name: str, api: Api, name: str, stage: Stage, is_canary: bool, shared: Shared
    ) -> Variant[CompiledRoute]:
        deployment, variables = stage.deployment, stage.variables
        if is_canary and stage.canary is not None:
            deployment = stage.canary.deployment or deployment
            variables = {**variables, **stage.canary.variables}
        given = api.routes_of(deployment)
        if api.type == "websocket":
            given = {"$connect": Route(mock=Mock()), **given}
        places = {key: path for key, path, _ in api.located(deployment)}
        path = f"{api_name}/{name}"
        plans = [plan for plan in self._plans.values() if path in plan.plan.stages]
        keys = StageKeys(self._configuration.api_keys, plans)
        routes = {}
        for key, route in given.items():
            meter = Meter(self._limiters, api_name, name, "canary" if is_canary else "base", key)
            with self._problems.at("apis", api_name, *places.get(key, ())):
                routes[key] = self._route(path, api, stage, key, route, variables, shared, keys, meter)
        table = None if api.type == "websocket" else RouteTable(given)
        return Variant(api_name, name, deployment or "current", is_canary, variables, routes, table, missing(api))

    def _route(
        self,
        path: str,
        api: Api,
        stage: Stage,
        key: str,
        route: Route,
        variables: Mapping[str, str],
        shared: Shared,
        keys: StageKeys,
        meter: Meter,
    ) -> CompiledRoute:
        allow, deny, required = Networks(route.allow), Networks(route.deny), route.api_key_required
        authorizer = shared.authorizers.get(route.authorizer) if route.authorizer else None
        guarded = allow or deny or authorizer or required or shared.policy
        guard = Guard(allow, deny, shared.policy, authorizer, keys if required else None, frozenset(route.scopes))
        levels = tuple(self._levels(path, api, stage, key))
        of_callers = [level for level in levels if level.by is not None and level.by.needs_caller]
        chain = early = late = None
        if key != "$disconnect":
            chain = early = Chain(self._limiters, levels)
            if of_callers:
                early = Chain(self._limiters, [level for level in levels if level not in of_callers])
                late = Chain(self._limiters, of_callers)
        integration = _validated(self._integration(api, route, variables), route, shared.models)
        constant = None
        if isinstance(integration, MockIntegration) and not route.response and api.type != "websocket":
            constant = integration.constant
        return CompiledRoute(
            key,
            integration,
            guard if guarded else None,
            chain,
            early,
            late,
            levels,
            keys.plans,
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
        throttles, by_client = stage.route_throttles, stage.client_route_throttles
        if api.type == "websocket":
            throttles = {"$connect": api.limits.connections, **throttles}
        everywhere, here = self._configuration, f"{path}/{key}"
        stage_shadow = everywhere.shadow or stage.shadow
        for level, label, throttle, shadow in (
            ("method-client", here, by_client.get(key) or by_client.get("*"), stage_shadow),
            ("method", here, throttles.get(key) or throttles.get("*"), stage_shadow),
            ("stage-client", path, stage.client_throttle, stage_shadow),
            ("stage", path, stage.throttle, stage_shadow),
            ("account-client", "account", everywhere.client_throttle, everywhere.shadow),
            ("account", "account", everywhere.throttle, everywhere.shadow),
        ):
            if throttle is not None:
                by = ByClient(throttle.by) if isinstance(throttle, ClientThrottle) else None
                yield Level.of(level, label, throttle, shadow, by)

    # --- integrations

    def _integration(self, api: Api, route: Route, variables: Mapping[str, str]) -> Integration:
        if route.mock is not None:
            return MockIntegration(route.mock.status, route.mock.headers, route.mock.body)
        if route.function is not None:
            events = Events(api.type, route.payload_format, api.binary_media_types)
            function = self._callables.function(route.function, FUNCTIONS)
            return FunctionIntegration(function, events, route.timeout, route.max_body, self._mapping(route))
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
            self._mapping(route),
            self._forwarding,
            proxy.keep_host,
            proxy.method or "",
        )

    def _mapping(self, route: Route) -> Transform:
        return Transform(route.request, self._configuration.encoded_slash)

    def _address(self, scheme: str, host: str, port: int, verify: bool) -> Address:
        self.used.append(self._addresses.of(scheme, host, port, verify))
        return self.used[-1]


def _validated(integration: Integration, route: Route, models: Models) -> Integration:
    """Return an integration that gets only the requests that have what a route asks for."""
    if route.validate is None:
        return integration
    problems, bodies = Problems(), {}
    for kind, schema in route.validate.body.items():
        with problems.at("validate", "body", kind):
            bodies[kind] = models.body(schema)
    problems.raise_any()
    return ValidatedIntegration(integration, route.validate.parameters, bodies, route.max_body)


def missing(api: Api) -> str:
    """Return the gateway response of a path without a route."""
    return "MISSING_AUTHENTICATION_TOKEN" if api.type == "rest" else "RESOURCE_NOT_FOUND"
