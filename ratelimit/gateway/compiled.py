"""Routes and APIs as they are served, made from a configuration by `compiler`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .access.cors import CorsPolicy
from .access.guard import Guard
from .backends.integration import Integration
from .config.apis import WebSocketLimits
from .exchange import Caller, Exchange
from .http.errors import BadValue, Refusal
from .http.response import Response, discard
from .observability.meter import Meter
from .routing.router import Variant
from .templates.gateway_responses import GatewayResponses
from .templates.template import Template
from .templates.transform import Transform
from .throttling.chain import Chain
from .throttling.levels import Level
from .throttling.usage_plan import UsagePlan


@dataclass(frozen=True, slots=True, eq=False)
class CompiledRoute:
    """A route of one variant of a stage.

    Args:
        key: the route key.
        guard: admits its clients; None where every client is admitted.
        chain: its levels, for a request without a plan; None where nothing is counted.
        early: those that need no identity of the client.
        late: the others; None if each level is early.
        levels: the same, to follow those of a plan.
        plans: the plans of the stage by name.
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
    early: Chain | None = None
    late: Chain | None = None
    levels: tuple[Level, ...] = ()
    plans: Mapping[str, UsagePlan] = field(default_factory=dict)
    stage: str = ""
    shadow: bool = False
    meter: Meter | None = None
    response: Transform | None = None
    max_body: int = 0
    constant: Response | None = None
    answers: bool = True

    def chain_of(self, caller: Caller) -> Chain | None:
        """Return the levels of a caller's plan, if it has one, followed by those of the route."""
        if not caller.plan or self.chain is None:
            return self.chain
        plan = self.plans[caller.plan]
        if not plan.has(caller.key):  # since a WebSocket was opened, or since a moment ago
            raise Refusal("INVALID_API_KEY", "the API key was revoked")
        return plan.chain(caller.key, self.stage, self.key, self.levels, self.shadow)

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
