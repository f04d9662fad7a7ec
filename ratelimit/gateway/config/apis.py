"""APIs and their stages."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from ..._configuration.base import model
from ..._configuration.fields import (
    Check,
    Flag,
    Many,
    Names,
    NamesLike,
    Number,
    OneOf,
    OrEmpty,
    Seconds,
    Text,
    Texts,
    Whole,
    between,
    matching,
    no_names,
    positive,
)
from ..._configuration.problems import Path
from ..templates.gateway_responses import TYPES
from .access import Authorizer, Cors, Policy
from .fields import HeaderTemplates, TemplateText, Variables
from .routes import Resource, ResourcePath, Route
from .throttles import ClientLimit, Limit, Throttle
from .validation import Schema

Origin = Annotated[
    Text, matching(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#@*\s]+|null", "an origin such as 'https://shop.example'")
]

ModelName = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", "a name of letters, digits, ., - and _")]


@model
class Canary:
    """A share of the traffic of a stage that goes to another deployment."""

    percent: Annotated[Number, between(0, 100)]
    """The share, from 0 to 100, by chance for each request."""
    deployment: Text | None = None
    """The deployment; by default that of the stage."""
    variables: Variables = Field(default_factory=no_names)
    """Stage variables that replace those of the stage."""


@model
class Stage:
    """A name under which one deployment of the routes is reached, with its limits and variables."""

    deployment: Text | None = None
    """The name of the deployment; by default the routes of the API."""
    throttle: Limit | None = None
    """The limit of all requests of the stage together."""
    route_throttles: Names[Limit] = Field(default_factory=no_names)
    """The limit of each route, by route key; `*` is the limit of each route that is not listed."""
    client_throttle: ClientLimit | None = None
    """The limit of each client, over all requests of the stage."""
    client_route_throttles: Names[ClientLimit] = Field(default_factory=no_names)
    """The limit of each client at each route, by route key; `*` is that of each route that is not listed."""
    variables: Annotated[
        Variables, Check("at most 100 variables", lambda them: len(them) <= 100, maxProperties=100)
    ] = Field(default_factory=no_names)
    """Values of `${stageVariables.name}`, at most 100."""
    canary: Canary | None = None
    """A share of the traffic that goes to another deployment."""
    shadow: Flag = False
    """Count the requests that the throttles of the stage and its routes would refuse, and admit them."""


@model
class GatewayResponse:
    """An answer that the gateway itself gives in one case, such as THROTTLED."""

    status: Annotated[Whole, between(400, 599)] | None = None
    """Its status; by default the one of the case."""
    headers: HeaderTemplates = Field(default_factory=no_names)
    """Headers, which may have `$context.x`."""
    body: TemplateText | None = None
    """The body, which may have `$context.x`."""


RESPONSES = (*sorted(TYPES), "DEFAULT_4XX", "DEFAULT_5XX")
Responses = NamesLike[Annotated[str, OneOf("gateway response", RESPONSES)], GatewayResponse]


@model
class WebSocketLimits:
    """Bounds of the connections of a WebSocket API."""

    frame: Annotated[Whole, positive("bytes")] = 32 * 1024
    """The largest frame, in bytes. The largest value of all APIs holds for all of them."""
    message: Annotated[Whole, positive("bytes")] = 128 * 1024
    """The largest message, in bytes."""
    idle: Seconds = 600.0
    """Seconds without a message after which a connection is closed."""
    life: Seconds = 7200.0
    """Seconds after which a connection is closed."""
    connections: Limit = Field(default_factory=lambda: Throttle(500.0, 500))
    """The throttle of `$connect` for stages that have none for it."""


@model
class Api:
    """Routes, and the stages at which they are reached."""

    type: Literal["http", "rest", "websocket"] = "http"
    """The kind of API: http, rest or websocket."""
    routes: Names[Route] = Field(default_factory=no_names)
    """Routes by route key: `GET /pets/{id}`, `ANY /{proxy+}` or `$default`; in a WebSocket API `$connect`,
    `$disconnect`, `$default` or the name of an action."""
    resources: NamesLike[ResourcePath, Annotated[Resource, OrEmpty()]] = Field(default_factory=no_names)
    """The routes of a REST API as a tree of paths and methods: `/pets: {GET: ..., "/{id}": {GET: ...}}`."""
    deployments: Names[Names[Route]] = Field(default_factory=no_names)
    """Snapshots of routes by name, for stages to refer to."""
    stages: Annotated[Names[Annotated[Stage, OrEmpty()]], Check("at least one stage", bool, minProperties=1)] = Field(
        default_factory=no_names
    )
    """Stages by name; an HTTP API may have `$default`."""
    authorizers: Names[Authorizer] = Field(default_factory=no_names)
    """Authorizers by name, for routes to refer to."""
    responses: Responses = Field(default_factory=no_names)
    """Answers of the gateway itself by case, such as THROTTLED or DEFAULT_4XX."""
    policy: Policy | None = None
    """In a REST API, an IAM policy of the callers: without a statement that allows a request, or with one that denies
    it, the answer is 403. Statements may have conditions `IpAddress` and `NotIpAddress` on `aws:SourceIp`."""
    cors: Cors | None = None
    """In an HTTP API, which pages of other sites may read its answers."""
    binary_media_types: Texts = ()
    """In a REST API, the content types of bodies that functions get and give in base64, such as `image/*` or `*/*`."""
    models: NamesLike[ModelName, Schema] = Field(default_factory=no_names)
    """In a REST API, JSON Schemas (draft 4) by name, to which those of `validate` and of other models refer."""
    route_selection: TemplateText = "$request.body.action"
    """Where a message of a WebSocket API names its route."""
    limits: Annotated[WebSocketLimits, OrEmpty()] = Field(default_factory=WebSocketLimits)
    """Bounds of the connections of a WebSocket API."""
    origins: Many[Origin] = ()
    """Origins whose pages may connect to a WebSocket API, such as `https://shop.example`; by default all. A client
    that sends no Origin, which a browser always does, may connect."""

    def located(self, deployment: str | None = None) -> Iterator[tuple[str, Path, Route]]:
        """Yield the routes of a deployment, by default those of the API: key, path below the API, and the route."""
        if deployment is not None:
            for key, route in self.deployments[deployment].items():
                yield key, ("deployments", deployment, key), route
            return
        for key, route in self.routes.items():
            yield key, ("routes", key), route
        for place, resource in self.resources.items():
            for key, path, route in resource.walk((place,)):
                yield key, ("resources", *path), route

    def routes_of(self, deployment: str | None) -> dict[str, Route]:
        """Return the routes of a deployment by route key; without a deployment, those of the API."""
        return {key: route for key, _, route in self.located(deployment)}

    def route_keys(self) -> set[str]:
        """Return the route keys of all deployments."""
        keys = {key for deployment in (None, *self.deployments) for key, _, _ in self.located(deployment)}
        return keys | ({"$connect"} if self.type == "websocket" else set())
