"""The configuration of a gateway as immutable data: APIs, stages, plans and limits, under the names of a file.

Each class checks its own fields, in a file as in Python; `rules` checks what refers to what. The file is long because
the schema reads best in one piece.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import core_schema

from ..._configuration.base import model
from ..._configuration.fields import (
    ENGINE_URL,
    ByName,
    Check,
    Day,
    Flag,
    Many,
    Names,
    NamesLike,
    Networks,
    Number,
    OneOf,
    OrEmpty,
    Seconds,
    Shorthand,
    Text,
    Texts,
    Whole,
    between,
    matching,
    no_names,
    positive,
)
from ..._configuration.problems import Path, Problem, expected, fault
from ..._engine.constants import NS_PER_SECOND
from ...language import LimitSpec
from ..routing.table import METHODS
from ..templates.gateway_responses import TYPES
from .access import Authorizer, Cors
from .fields import Function, HeaderTemplates, TemplateText, Timeout, TransformRules, Variables
from .functions import FunctionProcess


@model
class Throttle:
    """A token bucket: the limit of one level. With a rate or a burst of 0 it admits nothing."""

    rate: Annotated[
        Number,
        Check(
            "0 or from 1e-6 to 1e9 requests per second",
            lambda rate: rate == 0 or 1e-6 <= rate <= 1e9,
            minimum=0,
            maximum=1e9,
        ),
    ]
    """Requests per second: 0, or from 1e-6 to 1e9."""
    burst: Annotated[Whole, between(0, 2**31 - 1)]
    """The size of the bucket: requests that are admitted at one moment."""
    shadow: Flag = False
    """Count the requests that this level would refuse, and admit them."""

    def problems(self) -> Iterator[Problem]:
        if self.rate and self.burst / self.rate >= 1e9:
            message = f"expected a bucket that fills within 30 years, got {self.burst} at a rate of {self.rate:g}"
            yield Problem(("burst",), message)


class _LimitText:
    """A throttle that is written in the language of limits, such as `token-bucket 60/minute burst 40`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def _read(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        spec = LimitSpec.parse(value)
        if spec.algorithm != "token-bucket":
            raise fault("a token bucket, such as 'token-bucket 60/minute burst 40'")
        if spec.quota.is_unlimited:
            raise fault("a quota such as '60/minute'; leave the throttle out where there is no limit")
        rate = spec.quota.limit * NS_PER_SECOND / spec.quota.period_ns
        return {"rate": rate, "burst": dict(spec.options).get("burst", spec.quota.limit)}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        text = {"type": "string", "description": "A token bucket, such as `60/minute burst 40`."}
        return {"anyOf": [handler(schema), text]}


Limit = Annotated[Throttle, _LimitText()]


@model
class CalendarQuota:
    """A number of requests in each day, week or month. Periods begin at 00:00 UTC; a week begins on Monday."""

    limit: Annotated[Whole, between(1, 2**40 - 1)]
    """Requests in one period."""
    period: Literal["DAY", "WEEK", "MONTH"]
    """The period: DAY, WEEK or MONTH."""
    offset: Annotated[Whole, between(0, 2**40 - 1)] = 0
    """Requests that are subtracted from the limit in the first period."""
    start: Day | None = None
    """A day of the first period. By default it is the period in which a key is first used."""
    shadow: Flag = False
    """Count the requests that the quota would refuse, and admit them."""

    def problems(self) -> Iterator[Problem]:
        if self.offset > self.limit:
            yield Problem(("offset",), expected(f"from 0 to the limit, {self.limit}", self.offset))
        if self.start is not None and not self.offset:
            yield Problem(("start",), "expected an offset with it: without one, no period differs from the others")


@model
class Mock:
    """An answer of the gateway itself. Its body and headers may have `$context.x`, `$request.path.x` and the like."""

    status: Annotated[Whole, between(200, 599)] = 200
    """The status of the answer."""
    headers: HeaderTemplates = Field(default_factory=no_names)
    """The headers of the answer; content-type is application/json by default."""
    body: TemplateText = ""
    """The body of the answer."""


Address = Annotated[
    Text, matching(r"(?:https?|wss?)://[^/].*", "an address that begins with http://, https://, ws:// or wss://")
]


@model
class Proxy:
    """A backend at one or several addresses, which take turns."""

    to: Annotated[Many[Address], Check("at least one address", bool, minItems=1)]
    """Addresses such as `http://127.0.0.1:9000/pets/{id}`. `{id}` and `{proxy+}` are variables of the route and
    `${stageVariables.x}` one of the stage. An address without a path gets the whole path of the request."""
    timeout: Timeout = 29.0
    """Seconds until the answer begins, from 0.05 to 29."""
    max_fails: Annotated[Whole, between(1, 2**31 - 1)] = 1
    """After so many failures in a row an address gets no requests for `fail_timeout` seconds."""
    fail_timeout: Annotated[Number, between(0, 86_400, "seconds")] = 10.0
    """Seconds for which an address that failed gets no requests."""
    verify: Flag = True
    """Check the certificate of https and wss addresses."""

    def problems(self) -> Iterator[Problem]:
        if not self.verify and not any(address.startswith(("https:", "wss:")) for address in self.to):
            yield Problem(("verify",), "expected an https or wss address with it: the others have no certificate")

    @property
    def websocket(self) -> bool:
        """Whether an address is a WebSocket's."""
        return any(address.startswith("ws") for address in self.to)


Backend = Annotated[Proxy, Shorthand("to", "One address.", lists=True)]


@model
class Route:
    """The integration for the requests of one route key: exactly one of mock, proxy, function and aggregate."""

    mock: Mock | None = None
    """An answer of the gateway itself."""
    proxy: Backend | None = None
    """A backend: an address, a list of addresses, or an object with more settings."""
    function: Function | None = None
    """A function of the event: `package.module:name`, sync or async; the name of one of `functions`; or in Python a
    callable."""
    payload_format: Annotated[Text, matching(r"[12]\.0", "1.0 or 2.0")] = "2.0"
    """The form of the events of a function in an HTTP API: 2.0, or 1.0 as in REST APIs."""
    aggregate: Annotated[Names[Backend], Check("at least one backend", bool, minProperties=1)] | None = None
    """Backends by name. All are asked with GET, and their answers become one JSON object."""
    timeout: Timeout = 29.0
    """Seconds that a function or an aggregate may take, from 0.05 to 29."""
    api_key_required: Flag = False
    """Require a key of a usage plan for the stage in the header x-api-key."""
    authorizer: Text | None = None
    """The name of the authorizer that is asked first."""
    scopes: Texts = ()
    """Scopes of which a JSON Web Token must have one."""
    allow: Networks = ()
    """Networks such as `10.0.0.0/8`, from which alone requests are accepted. An empty list accepts all."""
    deny: Networks = ()
    """Networks from which requests are refused."""
    max_body: Annotated[Whole, between(0, 2**40)] = 10 * 1024 * 1024
    """The largest body of a request, in bytes."""
    route_response: Flag = True
    """In a WebSocket API: send what the integration returns to the client. Without it the route is one-way."""
    request: TransformRules = Field(default_factory=no_names)
    """Changes to the request before its backend: `append:header.x`, `overwrite:header.x`, `remove:header.x`,
    `overwrite:path`."""
    response: TransformRules = Field(default_factory=no_names)
    """Changes to the answer: `append:header.x`, `overwrite:header.x`, `remove:header.x`, `overwrite:statuscode`."""

    def problems(self) -> Iterator[Problem]:
        integrations = ("mock", "proxy", "function", "aggregate")
        given = [name for name in integrations if getattr(self, name) is not None]
        if len(given) != 1:
            yield Problem((), f"expected one of {', '.join(integrations)}, got {' and '.join(given) or 'none'}")
        if "errors" in (self.aggregate or {}):
            yield Problem(("aggregate", "errors"), "expected another name: the answer lists failed backends under it")
        if "overwrite:statuscode" in self.request:
            yield Problem(("request", "overwrite:statuscode"), "expected under response: a request has no status")
        if "overwrite:path" in self.response:
            yield Problem(("response", "overwrite:path"), "expected under request: an answer has no path")
        if self.mock is not None and self.request:
            yield Problem(("request",), "expected a backend: a mock does not read the request")
        if self.timeout != 29.0 and given in (["mock"], ["proxy"]):
            place = "in the proxy: " if self.proxy else "a function or an aggregate: "
            yield Problem(("timeout",), f"expected {place}this one is for a function or an aggregate")

    def backends(self) -> Iterator[tuple[tuple[str, ...], Proxy]]:
        """Its backends, each with its path below the route."""
        if self.proxy is not None:
            yield ("proxy",), self.proxy
        for name, proxy in (self.aggregate or {}).items():
            yield ("aggregate", name), proxy


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


class Resource(BaseModel):
    """A path of a REST API: its methods, and below it further paths, which begin with a slash."""

    model_config = ConfigDict(
        extra="allow", frozen=True,
        json_schema_extra=lambda schema: schema.update(
            patternProperties={"^/": schema["additionalProperties"]}, additionalProperties=False
        ),
    )  # fmt: skip
    __pydantic_extra__: dict[
        Annotated[str, Check(f"a path that begins with / or one of {', '.join(METHODS)}", lambda it: it[:1] == "/")],
        "Resource",
    ]
    GET: Route | None = None
    """The route of GET requests."""
    HEAD: Route | None = None
    """The route of HEAD requests."""
    POST: Route | None = None
    """The route of POST requests."""
    PUT: Route | None = None
    """The route of PUT requests."""
    PATCH: Route | None = None
    """The route of PATCH requests."""
    DELETE: Route | None = None
    """The route of DELETE requests."""
    OPTIONS: Route | None = None
    """The route of OPTIONS requests."""
    ANY: Route | None = None
    """The route of all methods that are not listed."""

    def walk(self, place: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], Route]]:
        """Yield the routes at and below this path: key, place in the tree, and the route."""
        path = "".join(part if part != "/" else "" for part in place) or "/"
        for method in METHODS:
            route = getattr(self, method)
            if route is not None:
                yield f"{method} {path}", (*place, method), route
        for name, below in (self.__pydantic_extra__ or {}).items():
            yield from below.walk((*place, name))


ResourcePath = Annotated[str, matching("/.*", "a path that begins with /")]


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
    cors: Cors | None = None
    """In an HTTP API, which pages of other sites may read its answers."""
    binary_media_types: Texts = ()
    """In a REST API, the content types of bodies that functions get and give in base64, such as `image/*` or `*/*`."""
    route_selection: TemplateText = "$request.body.action"
    """Where a message of a WebSocket API names its route."""
    limits: Annotated[WebSocketLimits, OrEmpty()] = Field(default_factory=WebSocketLimits)
    """Bounds of the connections of a WebSocket API."""
    origins: Texts = ()
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


@model
class Plan:
    """A usage plan. Each of its API keys has these limits, over all stages of the plan together."""

    keys: Texts
    """Names of API keys."""
    stages: Texts
    """Stages, such as `petstore/prod`."""
    throttle: Limit | None = None
    """The limit of each key."""
    route_throttles: Names[Names[Limit]] = Field(default_factory=no_names)
    """The limit of each key at one route: by stage, then by route key."""
    quota: CalendarQuota | None = None
    """The number of requests of each key in a day, week or month."""


@model
class AccessLog:
    """The access log: one line for each request."""

    file: Text
    """A path, or `-` for standard output."""
    format: TemplateText = (
        '$context.identity.sourceIp - $context.identity.apiKeyId [$context.requestTime] "$context.httpMethod '
        '$context.path $context.protocol" $context.status $context.responseLength'
    )
    """The line, with `$context.x`. If it begins with `{`, values are escaped for JSON."""


@model
class Operator:
    """The pages of the gateway itself: status, metrics, usage, and `@connections` of WebSocket APIs."""

    path: Annotated[Text, matching(r"(?:/[A-Za-z0-9_-]+)?", "a path such as '/name', or '' for no pages")] = "/_gateway"
    """The path below which the pages are; empty for no pages."""
    allow: Networks = ("127.0.0.0/8", "::1/128")
    """Networks that may use the pages. They are served at an address, at `localhost`, and at the `domains`."""


Host = Annotated[
    str,
    matching(
        r"\*|[a-z0-9_.-]*[a-z0-9]|\[[0-9a-f:.]+\]",
        "a host such as 'shop.example', in lower case and without a port, or '*'",
    ),
]
BasePath = Annotated[str, matching(r"/|(?:/[A-Za-z0-9_.~-]+)+", "a base path such as '/v1'")]
KeyName = Annotated[str, matching(r"[^\s/]+", "a name without spaces and slashes")]
KeyValue = Annotated[Text, matching("[A-Za-z0-9]{20,128}", "20 to 128 letters and digits", secret=True)]


@model
class Configuration:
    """All settings of a gateway."""

    apis: Annotated[ByName[Api], Check("at least one API", bool, minProperties=1)]
    """APIs by name."""
    functions: ByName[Annotated[FunctionProcess, OrEmpty()]] = Field(default_factory=no_names)
    """Functions that run outside of the gateway, by name, for routes and authorizers to refer to."""
    api_keys: NamesLike[KeyName, KeyValue] = Field(default_factory=no_names, repr=False)
    """API keys by name: 20 to 128 letters and digits each."""
    plans: ByName[Plan] = Field(default_factory=no_names)
    """Usage plans by name."""
    domains: NamesLike[Host, NamesLike[BasePath, Text]] = Field(default_factory=no_names)
    """For each host, or `*` for all others: base paths, and the API or the stage that each leads to, such as
    `/v1: petstore/prod`. A path below an API begins with the name of its stage. Without domains, every host reaches
    the only API."""
    throttle: Limit | None = Field(default_factory=lambda: Throttle(10_000.0, 5_000))
    """The limit of all requests together; null for no limit."""
    responses: Responses = Field(default_factory=no_names)
    """Answers of the gateway itself by case, for all APIs."""
    shadow: Flag = False
    """Count the requests that any throttle or quota would refuse, and admit them."""
    on_limiter_error: Literal["fail_open", "fail_closed"] = "fail_open"
    """The decision when a limiter fails: fail_open admits the request, fail_closed answers 503."""
    trusted_proxies: Networks = ()
    """Networks of proxies whose X-Forwarded-For is used as the address of the client."""
    encoded_slash: Flag = False
    """Accept `%2F` in a path, as part of one segment."""
    headers: Literal["draft", "legacy", "both", "none"] = "draft"
    """Headers about limits: draft (RateLimit and RateLimit-Policy), legacy (`X-RateLimit-*`), both or none."""
    problem_json: Flag = False
    """Answer 429 and 503 with application/problem+json."""
    tables: Annotated[
        Text,
        matching(
            rf"memory|shared:[A-Za-z0-9_.-]+|file:.+|{ENGINE_URL}",
            "memory, shared:NAME, file:FOLDER or valkey://HOST:PORT/0?name=NAME",
        ),
    ] = "memory"
    """Where counts are kept: memory, shared:NAME, file:FOLDER, or the URL of a Valkey or Redis server, for several
    hosts: `valkey://HOST:PORT/0?name=NAME`."""
    max_keys: Annotated[Whole, positive()] = 100_000
    """The number of keys in the table of each level, and in the table of counters: about 20 for each route in use,
    and one for each API key and day of the last 92."""
    max_head: Annotated[Whole, positive("bytes")] = 65_536
    """The largest request line with headers, in bytes. For `ratelimit gateway`."""
    head_timeout: Seconds = 10.0
    """Seconds in which a client must send the headers. For `ratelimit gateway`."""
    body_timeout: Seconds = 30.0
    """Seconds in which a client must send the body."""
    max_bodies: Annotated[Whole, positive("bytes")] = 64 * 1024 * 1024
    """The most bytes of bodies that are in memory at a time, in each worker: whole ones for functions, aggregates and
    messages, and the first 64 KB for backends. Beyond them the answer is 503."""
    send_timeout: Seconds = 30.0
    """Seconds in which a client must read `min_rate` bytes each, or all that waits for it. For `ratelimit gateway`."""
    min_rate: Annotated[Number, positive("bytes")] = 1_000.0
    """Bytes a second that a client must read, on average over `send_timeout`. For `ratelimit gateway`."""
    access_log: Annotated[AccessLog, Shorthand("file", "The file of the log, or - for standard output.")] | None = None
    """The access log."""
    operator: Annotated[Operator, OrEmpty()] = Field(default_factory=Operator)
    """The pages of the gateway itself."""
    tracing: Flag = False
    """Record spans with OpenTelemetry. It needs the extra `otel`."""
