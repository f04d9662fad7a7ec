"""A configuration made ready to serve.

A request sees one Site from its start to its end, whatever is reloaded.
"""

from collections.abc import Iterator

from .._configuration.addresses import Networks, parse_address
from .._configuration.problems import Problems
from .access.jwt import KeySets
from .backends.address import Address, Addresses
from .compiled import CompiledApi, CompiledRoute
from .compiler import Compiler, missing
from .config import rules
from .config.apis import Api
from .config.model import Configuration
from .functions.process import FunctionRegistry
from .http.request import Pace, Request
from .observability.access_log import AccessLogWriter
from .observability.meter import Meter
from .observability.tracing import Tracing
from .routing.canary import CanarySplit
from .routing.router import Destination, RoutedApi, Router, Variant
from .templates.gateway_responses import GatewayResponses
from .throttling.failures import LimiterFailures
from .throttling.limiters import Limiters
from .throttling.stage_keys import check_key_file
from .throttling.usage_plan import UsagePlan

HEALTH = ("/health", "/health/live", "/health/ready")  # pages below the operator's path


class Site:
    """All that a request needs, made from a configuration. Immutable.

    Args:
        configuration: see there.
        limiters: the tables; the same over reloads, so that no count is forgotten.
        addresses: the backends' connections, likewise.
        functions: the functions in processes of their own, likewise.
        key_sets: the keys of issuers of tokens, likewise.

    Attributes:
        router: finds the route of a request.
        apis: by name.
        plans: by name.
        used: the addresses that a route may call.
        processes: the functions in processes of their own, likewise.
        websocket: the name of a WebSocket API; empty without one.
        has_cors: whether an API has CORS.
        asks: whether an engine keeps the tables, so that a decision is a round trip.
        unrouted: counts requests without a route.

    Raises: ConfigurationError with all that does not fit together, and all that cannot be loaded or opened.
    """

    def __init__(
        self,
        configuration: Configuration,
        limiters: Limiters,
        addresses: Addresses,
        functions: FunctionRegistry | None = None,
        key_sets: KeySets | None = None,
    ) -> None:
        rules.check(configuration)
        problems = Problems()
        self.configuration = configuration
        self.now_ns = limiters.now_ns
        self.asks = limiters.asks
        self.plans: dict[str, UsagePlan] = {}
        for name, plan in configuration.plans.items():
            with problems.at("plans", name, "keys_file"):
                made = UsagePlan(name, plan, limiters, configuration.api_keys)
                check_key_file(made, self.plans.values())
                self.plans[name] = made
        functions, key_sets = functions or FunctionRegistry(), key_sets or KeySets()
        compiler = Compiler(configuration, limiters, addresses, functions, key_sets, self.plans, problems)
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
        self.body_pace = Pace(configuration.body_timeout, configuration.min_rate)
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

    def may_see(self, request: Request) -> bool:
        """Whether a client may see the page that it asks for: every client the health of the gateway."""
        return request.path.removeprefix(self.operator_path) in HEALTH or self.is_operator(request)

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

    def addresses(self) -> list[Address]:
        """Return the addresses of backends, each once, by name."""
        return sorted(set(self.used), key=lambda address: address.name)

    def backend_meters(self) -> dict[str, Meter]:
        """Return the meters of backends by name."""
        return {address.name: address.meter for address in self.used if address.meter is not None}

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
    return RoutedApi(name, stages, missing(api))
