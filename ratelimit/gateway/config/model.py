"""What a gateway is told to do: APIs, stages, plans and limits, as plain data. A configuration file has these names."""

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from fractions import Fraction
from functools import cache
from itertools import chain
from typing import Any

from ...quota import Quota
from ..routing.table import RouteKey
from ..templates.template import Template
from ..templates.transform import Transform

NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
PERIODS = ("DAY", "WEEK", "MONTH")


class OneQuota(Quota):
    """A Quota of which there is one of each value, so that a limiter finds what it knows of it by identity."""

    __slots__ = ()
    __eq__, __hash__ = object.__eq__, object.__hash__


one_quota = cache(OneQuota)


@dataclass(frozen=True, slots=True)
class Throttle:
    """A token bucket for one level.

    Args:
        rate: requests per second, a float of 0 or more.
        burst: the bucket's size. With a rate or a burst of 0 nothing is admitted.
        shadow: count what this level would have refused, and let it pass.
    """

    rate: float
    burst: int
    shadow: bool = False
    quota: Quota | None = field(init=False, repr=False, compare=False)  # None admits nothing

    def __post_init__(self) -> None:
        fits = isinstance(self.rate, (int, float)) and (self.rate == 0 or 1e-6 <= self.rate <= 1e9)
        check(fits, f"rate must be 0 or from 1e-6 to 1e9 requests per second, not {self.rate!r}")
        check(0 <= self.burst < 2**31, f"burst must be a whole number from 0 to 2**31, not {self.burst!r}")
        fills = self.rate == 0 or self.burst / self.rate < 1e9
        check(fills, f"a bucket of {self.burst!r} at a rate of {self.rate!r} would take more than 30 years to fill")
        exact = Fraction(repr(self.rate)).limit_denominator(10**9)
        quota = one_quota(exact.numerator, exact.denominator, self.burst) if exact and self.burst else None
        object.__setattr__(self, "quota", quota)


@dataclass(frozen=True, slots=True)
class CalendarQuota:
    """At most `limit` requests in each day, week (from Monday) or month, which turn at 00:00 UTC.

    Args:
        limit: requests.
        period: "DAY", "WEEK" or "MONTH".
        offset: subtracted from the limit in the first period only.
        start: a day of the first period; by default the first period is that in which a key is first used.
        shadow: count what it would have refused, and let it pass.
    """

    limit: int
    period: str
    offset: int = 0
    start: date | None = None
    shadow: bool = False

    def __post_init__(self) -> None:
        check(
            isinstance(self.limit, int) and 1 <= self.limit < 2**40,
            f"limit must be a whole number from 1 to 2**40, not {self.limit!r}",
        )
        check(self.period in PERIODS, f"period must be one of {', '.join(PERIODS)}, not {self.period!r}")
        day = self.start is None or (isinstance(self.start, date) and not isinstance(self.start, datetime))
        check(day, f"start must be a day as 2026-01-31 (a datetime.date), not {self.start!r}")
        check(0 <= self.offset <= self.limit, f"offset must be from 0 to the limit, {self.limit}, not {self.offset!r}")


@dataclass(slots=True)
class Mock:
    """Answers by itself. `$context.x`, `$stageVariables.x` and `$request.path.x` in body and headers are filled in."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def __post_init__(self) -> None:
        check(200 <= self.status <= 599, f"status must be from 200 to 599, not {self.status!r}")
        check_headers(self.headers)
        Template(self.body)


@dataclass(slots=True)
class Proxy:
    """Passes the request on to one of several addresses.

    Args:
        to: addresses such as `"http://127.0.0.1:9000/pets/{id}"`; `{var}` and `{proxy+}` are the route's,
            `${stageVariables.x}` the stage's. An address without a path gets the request's whole path.
        timeout: seconds until the answer begins, from 0.05 to 29.
        max_fails, fail_timeout: after so many failures in a row an address is left out for so many seconds.
        verify: whether the certificate of an https address is checked.
    """

    to: list[str]
    timeout: float = 29.0
    max_fails: int = 1
    fail_timeout: float = 10.0
    verify: bool = True

    def __post_init__(self) -> None:
        check_texts("to", self.to)
        check(bool(self.to), "to must name at least one address")
        for address in self.to:
            check(re.match(r"(https?|wss?)://[^/]", address), f"to must be http, https, ws or wss, not {address!r}")
        check(0.05 <= self.timeout <= 29, f"timeout must be from 0.05 to 29 seconds, not {self.timeout!r}")
        check(self.max_fails >= 1, f"max_fails must be 1 or more, not {self.max_fails!r}")
        check(self.fail_timeout >= 0, f"fail_timeout must be 0 or more seconds, not {self.fail_timeout!r}")


@dataclass(slots=True)
class Route:
    """Where the requests of one route key go, and what they must bring. Exactly one of the first four is given.

    Args:
        mock, proxy: see there.
        function: a callable of one event, sync or async, or its name, as `"package.module:name"`.
        aggregate: names and their backends, which are asked at once and joined into one JSON object.
        timeout: seconds for a function or an aggregate, from 0.05 to 29.
        api_key_required: a key of a usage plan for the stage must come in `x-api-key`.
        authorizer: the name of one of the API's authorizers.
        allow, deny: networks, such as `"10.0.0.0/8"`; what is denied is out, and with `allow` all others are.
        max_body: bytes of a request's body.
        request, response: mappings, such as `{"overwrite:header.x-stage": "${stageVariables.name}"}`.
    """

    mock: Mock | None = None
    proxy: Proxy | None = None
    function: Callable[..., Any] | str | None = None
    aggregate: dict[str, Proxy] | None = None
    timeout: float = 29.0
    api_key_required: bool = False
    authorizer: str | None = None
    allow: list[str] = field(default_factory=list)
    deny: list[str] = field(default_factory=list)
    max_body: int = 10 * 1024 * 1024
    request: dict[str, str] = field(default_factory=dict)
    response: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = [name for name in ("mock", "proxy", "function", "aggregate") if getattr(self, name) is not None]
        check(len(given) == 1, f"a route has one of mock, proxy, function and aggregate, not {given or 'none'}")
        check_function(self.function)
        check(self.aggregate != {}, "aggregate must name at least one backend")
        check("errors" not in (self.aggregate or {}), "aggregate: 'errors' is where the answer says what failed")
        check(0.05 <= self.timeout <= 29, f"timeout must be from 0.05 to 29 seconds, not {self.timeout!r}")
        check(self.max_body >= 0, f"max_body must be 0 or more bytes, not {self.max_body!r}")
        check("overwrite:statuscode" not in self.request, "'overwrite:statuscode' is for a response, not for a request")
        check("overwrite:path" not in self.response, "'overwrite:path' is for a request, not for a response")
        check(self.mock is None or not self.request, f"a mock sees nothing of the request that {self.request!r} maps")

    def proxies(self) -> list[Proxy]:
        """The backends that it asks."""
        return [self.proxy] if self.proxy else list((self.aggregate or {}).values())


@dataclass(slots=True)
class Canary:
    """A share of a stage's traffic that goes to another deployment.

    Args:
        percent: from 0.0 to 100.0, by chance for each request.
        deployment: its name; by default the stage's own.
        variables: merged over the stage's.
    """

    percent: float
    deployment: str | None = None
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(0 <= self.percent <= 100, f"percent must be from 0 to 100, not {self.percent!r}")


@dataclass(slots=True)
class Stage:
    """A named reference to a deployment, with its limits and variables.

    Args:
        deployment: its name; by default the API's routes as they stand.
        throttle: for all requests of the stage together.
        route_throttles: for each route key its own; `"*"` is for every route without one.
        variables: for `${stageVariables.name}`; 100 at most.
        canary: see there.
        shadow: all throttles of this stage only count.
    """

    deployment: str | None = None
    throttle: Throttle | None = None
    route_throttles: dict[str, Throttle] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    canary: Canary | None = None
    shadow: bool = False
    previous: list[str | None] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        check(len(self.variables) <= 100, f"variables are 100 at most, not {len(self.variables)}")

    def deploy(self, deployment: str | None) -> None:
        """Refer to another deployment; `rollback` goes back."""
        if deployment != self.deployment:
            self.previous.append(self.deployment)
            self.deployment = deployment

    def rollback(self) -> None:
        """Refer to the deployment before this one."""
        check(bool(self.previous), "this stage has had no other deployment")
        self.deployment = self.previous.pop()

    def promote(self) -> None:
        """The canary's deployment and variables become the stage's, and the canary gets no more traffic."""
        check(self.canary is not None, "this stage has no canary")
        assert self.canary is not None
        self.deploy(self.canary.deployment or self.deployment)
        self.variables = {**self.variables, **self.canary.variables}
        self.canary = replace(self.canary, percent=0.0)


@dataclass(slots=True)
class Authorizer:
    """A function that decides on a request by its identity.

    Args:
        function: called with the event; returns False, True, or a dict `{"isAuthorized": bool, "context":
            {...}, "usageIdentifierKey": an API key's value}`.
        identity: the header that it judges by; a request without it is 401 unasked.
        ttl: seconds that an answer is kept for the same identity and route; 0 asks every time.
    """

    function: Callable[..., Any] | str
    identity: str = "authorization"
    ttl: float = 300.0

    def __post_init__(self) -> None:
        check_function(self.function)
        check(0 <= self.ttl <= 3600, f"ttl must be from 0 to 3600 seconds, not {self.ttl!r}")


@dataclass(slots=True)
class GatewayResponse:
    """What the gateway itself answers in one case; `$context.x` in body and headers is filled in."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None

    def __post_init__(self) -> None:
        check(self.status is None or 400 <= self.status <= 599, f"status must be from 400 to 599, not {self.status!r}")
        check_headers(self.headers)
        Template(self.body or "")


@dataclass(slots=True)
class WebSocketLimits:
    """Bytes of a frame and of a message, seconds of silence and of life, and how many may connect.

    `connections` is the throttle of `$connect` where the stage has none. A frame is bounded by the server, for all
    APIs by the largest of these.
    """

    frame: int = 32 * 1024
    message: int = 128 * 1024
    idle: float = 600.0
    life: float = 7200.0
    connections: Throttle = field(default_factory=lambda: Throttle(500.0, 500))

    def __post_init__(self) -> None:
        for name in ("frame", "message", "idle", "life"):
            check(getattr(self, name) > 0, f"{name} must be more than 0, not {getattr(self, name)!r}")


@dataclass(slots=True)
class Api:
    """Routes and the stages at which they are reached.

    Args:
        type: "http", "rest" or "websocket".
        routes: by route key, such as `"GET /pets/{id}"`; for a WebSocket API `"$connect"` or an action's name.
        resources: the same as a tree, for a REST API: `{"/pets": {"GET": Route(...), "/{id}": {"GET": ...}}}`.
        deployments: snapshots by name.
        stages: by name; an HTTP API may have `"$default"`.
        authorizers: by name.
        responses: gateway responses by their type, such as `"THROTTLED"` or `"DEFAULT_4XX"`.
        route_selection: where a WebSocket message names its route.
        limits: of WebSocket connections.
    """

    type: str = "http"
    routes: dict[str, Route] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    deployments: dict[str, dict[str, Route]] = field(default_factory=dict)
    stages: dict[str, Stage] = field(default_factory=dict)
    authorizers: dict[str, Authorizer] = field(default_factory=dict)
    responses: dict[str, GatewayResponse] = field(default_factory=dict)
    route_selection: str = "$request.body.action"
    limits: WebSocketLimits = field(default_factory=WebSocketLimits)

    def __post_init__(self) -> None:
        check(self.type in ("http", "rest", "websocket"), f"type must be http, rest or websocket, not {self.type!r}")
        check(bool(self.stages), "an API needs at least one stage")
        check(self.type == "rest" or not self.resources, "resources are for an API of type rest")
        for key, route in routes_of(self.resources).items():
            check(self.routes.setdefault(key, route) is route, f"{key!r} stands in routes and in resources")
        for name, stage in self.stages.items():
            named = NAME.fullmatch(name) or (name == "$default" and self.type == "http")
            check(named, f"a stage's name is letters, digits, - and _ (an HTTP API's also $default), not {name!r}")
            for deployment in (stage.deployment, stage.canary and stage.canary.deployment):
                known = deployment is None or deployment in self.deployments
                check(known, f"stage {name!r} refers to no deployment of this API: {deployment!r}")
        for routes in (self.routes, *self.deployments.values()):
            for key, route in routes.items():
                self.check_route(key, route)
        for name, stage in self.stages.items():
            for key in stage.route_throttles:
                known = key == "*" or key in self.keys()
                check(known, f"stage {name!r}, route_throttles: {key!r} is no route of this API")

    def keys(self) -> set[str]:
        """The route keys of all deployments."""
        return {*self.routes, *chain(*self.deployments.values()), *(["$connect"] if self.type == "websocket" else [])}

    def check_route(self, key: str, route: Route) -> None:
        segments: tuple[str, ...] = ()
        if self.type == "websocket":
            known = not key.startswith("$") or key in ("$connect", "$disconnect", "$default")
            check(known, f"route key {key!r}: only $connect, $disconnect and $default begin with $")
            check(not route.api_key_required or key == "$connect", f"route {key!r}: a key is required at $connect only")
        else:
            check(self.type == "http" or key != "$default", f"route {key!r}: a REST API has no such route")
            segments = RouteKey.parse(key).segments
        named = route.authorizer is None or route.authorizer in self.authorizers
        check(named, f"route {key!r}: authorizer {route.authorizer!r} is none of {', '.join(self.authorizers)}")
        for proxy in route.proxies():
            for address in proxy.to:
                sockets = proxy is route.proxy and self.type == "websocket"
                check(sockets or address.startswith("http"), f"only a route of a WebSocket API leads to {address!r}")
                for variable in re.findall(r"(?<!\$){[^}]*}", address):
                    check(variable in segments, f"route {key!r} has no {variable} for {address!r}")

    def deploy(self, name: str, *stages: str) -> None:
        """Keep the routes as they stand under a name, and let stages refer to it."""
        for stage in stages:
            check(stage in self.stages, f"{stage!r} is none of the stages: {', '.join(self.stages)}")
        functions = {id(route.function): route.function for route in self.routes.values()}  # which may have a state
        self.deployments[name] = deepcopy(self.routes, functions)
        for stage in stages:
            self.stages[stage].deploy(name)

    def routes_of(self, deployment: str | None) -> dict[str, Route]:
        known = deployment is None or deployment in self.deployments
        check(known, f"{deployment!r} is none of the deployments: {', '.join(self.deployments)}")
        return self.routes if deployment is None else self.deployments[deployment]


@dataclass(slots=True)
class Plan:
    """What the holders of some API keys may do: each key has these limits, over all stages of the plan together.

    Args:
        keys: names of API keys.
        stages: such as `"petstore/prod"`.
        throttle: for each key.
        route_throttles: by stage, then route key: `{"petstore/prod": {"GET /pets": Throttle(1, 2)}}`.
        quota: for each key, by the calendar.
    """

    keys: list[str]
    stages: list[str]
    throttle: Throttle | None = None
    route_throttles: dict[str, dict[str, Throttle]] = field(default_factory=dict)
    quota: CalendarQuota | None = None

    def __post_init__(self) -> None:
        check_texts("keys", self.keys)
        check_texts("stages", self.stages)


@dataclass(slots=True)
class AccessLog:
    """Where the access log goes and what a line says.

    Args:
        file: a path, or "-" for standard output.
        format: text with `$context.x`; when it begins with `{`, values are escaped for JSON.
    """

    file: str
    format: str = (
        '$context.identity.sourceIp - $context.identity.apiKeyId [$context.requestTime] "$context.httpMethod '
        '$context.path $context.protocol" $context.status $context.responseLength'
    )

    def __post_init__(self) -> None:
        Template(self.format)


@dataclass(slots=True)
class Operator:
    """The gateway's own pages: status page, metrics, usage and `@connections`.

    Args:
        path: below which they are; empty for none.
        allow: networks that may see them, at an address, `localhost` or one of the `domains`.
    """

    path: str = "/_gateway"
    allow: list[str] = field(default_factory=lambda: ["127.0.0.0/8", "::1/128"])

    def __post_init__(self) -> None:
        check(self.path == "" or re.fullmatch(r"/[\w-]+", self.path), f"path must be as '/name', not {self.path!r}")


@dataclass(slots=True)
class Configuration:
    """All that a gateway is told.

    Args:
        apis: by name.
        api_keys: the secret value of each named key: 20 to 128 letters and digits.
        plans: by name.
        domains: for each Host (or `"*"`) base paths and where they lead: `{"/v1": "petstore/prod"}`, or to an
            API alone, whose stage the path then names. Without domains the single API is reached by any Host.
        throttle: for the account, that is all requests together.
        responses: gateway responses for all APIs.
        shadow: all throttles and quotas only count.
        on_limiter_error: "fail_open" lets requests pass when a limiter fails, "fail_closed" answers 503.
        trusted_proxies: networks whose X-Forwarded-For is believed.
        encoded_slash: whether `%2F` may stand in a path, as a part of one segment.
        headers: "draft" (RateLimit and RateLimit-Policy), "legacy" (`X-RateLimit-*`), "both" or "none".
        problem_json: 429 bodies as application/problem+json.
        tables: where counts are kept: "memory", "shared:NAME" or "file:FOLDER".
        max_keys: of each level's table, and of that of the counts: some 20 for each route that was asked for, one
            for each API key and day of the last 92.
        max_head: bytes of a request's line and headers.
        head_timeout, body_timeout: seconds in which a client must have sent them.
        send_timeout: seconds after which a client that takes nothing of what waits for it is given up.
        access_log: see there.
        operator: see there.
        tracing: spans by OpenTelemetry, if it is installed.
    """

    apis: dict[str, Api]
    api_keys: dict[str, str] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    domains: dict[str, dict[str, str]] = field(default_factory=dict)
    throttle: Throttle | None = field(default_factory=lambda: Throttle(10_000, 5_000))
    responses: dict[str, GatewayResponse] = field(default_factory=dict)
    shadow: bool = False
    on_limiter_error: str = "fail_open"
    trusted_proxies: list[str] = field(default_factory=list)
    encoded_slash: bool = False
    headers: str = "draft"
    problem_json: bool = False
    tables: str = "memory"
    max_keys: int = 100_000
    max_head: int = 65_536
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    send_timeout: float = 30.0
    access_log: AccessLog | None = None
    operator: Operator = field(default_factory=Operator)
    tracing: bool = False

    def __post_init__(self) -> None:
        check(bool(self.apis), "apis must have at least one")
        for name in self.apis:
            check(NAME.fullmatch(name), f"an API's name is letters, digits, - and _, not {name!r}")
        for name, value in self.api_keys.items():
            check(re.fullmatch(r"[A-Za-z0-9]{20,128}", value), f"key {name!r} must be 20 to 128 letters and digits")
            check(re.fullmatch(r"[^\s/]+", name), f"an API key's name has no space and no slash, not as {name!r}")
        names = {value: name for name, value in self.api_keys.items()}
        for name, value in self.api_keys.items():
            check(names[value] == name, f"the API keys {name!r} and {names[value]!r} have the same value")
        for option, accepted in (
            ("on_limiter_error", ("fail_open", "fail_closed")),
            ("headers", ("draft", "legacy", "both", "none")),
        ):
            value = getattr(self, option)
            check(value in accepted, f"{option} must be one of {', '.join(accepted)}, not {value!r}")
        for name in ("max_keys", "max_head", "head_timeout", "body_timeout", "send_timeout"):
            check(getattr(self, name) > 0, f"{name} must be more than 0, not {getattr(self, name)!r}")
        right = self.tables == "memory" or re.fullmatch(r"shared:[\w.-]+|file:.+", self.tables)
        check(right, f"tables must be memory, shared:NAME or file:FOLDER, not {self.tables!r}")
        self.check_plans()
        self.check_domains()

    def check_plans(self) -> None:
        taken: dict[tuple[str, str], str] = {}
        for name, plan in self.plans.items():
            check(NAME.fullmatch(name), f"a plan's name is letters, digits, - and _, not {name!r}")
            for stage in plan.stages:
                check("/" in stage, f"plan {name!r}: stages must be as 'api/stage', not {stage!r}")
                self.check_target(stage, f"plan {name!r}")
            for stage, throttles in plan.route_throttles.items():
                check(stage in plan.stages, f"plan {name!r}: {stage!r} of route_throttles is none of its stages")
                for key in throttles:
                    known = self.apis[stage.partition("/")[0]].keys()
                    check(key in known, f"plan {name!r}, stage {stage!r}: {key!r} is no route of it")
            for key in plan.keys:
                check(key in self.api_keys, f"plan {name!r}: {key!r} is none of the API keys")
                for stage in plan.stages:
                    other = taken.setdefault((key, stage), name)
                    check(other == name, f"key {key!r} is in the plans {other!r} and {name!r} for one stage, {stage!r}")

    def check_domains(self) -> None:
        example = ", ".join(f"/{name}: {name}" for name in self.apis)
        apart = self.domains or len(self.apis) == 1
        check(apart, f'several apis need domains to be told apart, such as domains: {{"*": {{{example}}}}}')
        for host, bases in self.domains.items():
            named = re.fullmatch(r"\*|[a-z0-9_.-]*[a-z0-9]|\[[0-9a-f:.]+\]", host)
            check(named, f"a domain is as 'shop.example', in lower case and without a port, or '*', not {host!r}")
            for base, target in bases.items():
                check(re.fullmatch(r"/|(/[\w.~-]+)+", base), f"domain {host!r}: a base path is as '/v1', not {base!r}")
                self.check_target(target, f"domain {host!r}")

    def check_target(self, target: str, where: str) -> None:
        api, slash, stage = target.partition("/")
        known = api in self.apis and (not slash or stage in self.apis[api].stages)
        stages = ", ".join(f"{name}/{stage}" for name, one in self.apis.items() for stage in one.stages)
        check(known, f"{where}: {target!r} is none of the APIs and their stages: {stages}")


def routes_of(tree: dict[str, Any], path: str = "") -> dict[str, Route]:
    """The routes of a tree of paths and methods, by route key."""
    found: dict[str, Route] = {}
    for name, inner in tree.items():
        below = name.startswith("/")
        for key, route in (routes_of(inner, path.rstrip("/") + name) if below else {f"{name} {path}": inner}).items():
            check(found.setdefault(key, route) is route, f"{key!r} stands in resources twice")
    return found


def check_headers(headers: dict[str, str]) -> None:
    Transform({f"overwrite:header.{name}": text for name, text in headers.items()})


def check_texts(name: str, texts: Any) -> None:
    check(not isinstance(texts, str), f"{name} must be a list of texts, not {texts!r}")


def check_function(function: Any) -> None:
    named = function is None or callable(function) or re.fullmatch(r"[\w.]+:\w+", str(function))
    check(named, f"function must be a callable or as 'package.module:name', not {function!r}")


def check(condition: object, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
