"""Checks across the objects of a configuration: what refers to what, and settings that would have no effect.

A setting without effect is an error if an operator may rely on it, and otherwise a warning.
"""

import re
from collections.abc import Collection, Iterable, Iterator

from ..._configuration.problems import Path, Problem, Problems, dotted, expected, unknown
from ..routing.table import VARIABLE, RouteKey
from ..templates.template import Template
from ..throttling.by_client import API_KEY, AUTHORIZER, PATH, ByClient
from .apis import Api, Stage
from .model import Configuration
from .routes import Route
from .throttles import ClientThrottle, Plan

STAGE_NAME = re.compile("[A-Za-z0-9_-]{1,128}")
WEBSOCKET_KEYS = ("$connect", "$disconnect", "$default")
_VARIABLE = re.compile(r"(?<!\$)\{[^}]*\}")


def check(configuration: Configuration) -> None:
    """Raise a ConfigurationError with all that does not fit together."""
    problems = Problems()
    for name, api in configuration.apis.items():
        problems.extend(below(("apis", name), _api(name, api)))
        problems.extend(below(("apis", name), _functions(api, configuration)))
    problems.extend(_api_keys(configuration))
    if configuration.client_throttle is not None:
        routes = (route for api in configuration.apis.values() for route in _checked_routes(api, "*"))
        problems.extend(below(("client_throttle",), _clients(configuration.client_throttle, routes)))
    for name, plan in configuration.plans.items():
        problems.extend(below(("plans", name), _plan(plan, configuration)))
    problems.extend(_plans_of_keys(configuration))
    problems.extend(_domains(configuration))
    problems.raise_any()


def below(path: Path, problems: Iterable[Problem]) -> Iterator[Problem]:
    return (problem._replace(path=(*path, *problem.path)) for problem in problems)


def _functions(api: Api, configuration: Configuration) -> Iterator[Problem]:
    """Names of functions that do not exist."""
    named: list[tuple[Path, object]] = [
        (("authorizers", name, "function"), one.function) for name, one in api.authorizers.items()
    ]
    for deployment in (None, *api.deployments):
        named += [((*path, "function"), route.function) for _, path, route in api.located(deployment)]
    for path, function in named:
        if isinstance(function, str) and ":" not in function and function not in configuration.functions:
            yield Problem(path, unknown("function", function, list(configuration.functions)))


# --- one API


def _api(name: str, api: Api) -> Iterator[Problem]:
    if api.type != "rest" and api.resources:
        yield Problem(("resources",), f"expected routes: only an API of type rest has resources, not {api.type}")
    if api.type != "http" and api.cors is not None:
        yield Problem(("cors",), f"expected only in an API of type http, not {api.type}")
    for field in ("binary_media_types", "models", "policy"):
        if api.type != "rest" and getattr(api, field):
            yield Problem((field,), f"expected only in an API of type rest, not {api.type}")
    if api.type != "websocket":
        for field in ("limits", "route_selection", "origins"):
            if getattr(api, field) != getattr(_PLAIN, field):
                yield Problem((field,), f"expected only in an API of type websocket, not {api.type}")
    elif not _is_selection(api.route_selection):
        yield Problem(("route_selection",), expected("a text such as '$request.body.action'", api.route_selection))
    for label, stage in api.stages.items():
        yield from below(("stages", label), _stage(label, stage, api))
        for deployment, variables in variants(stage):
            if deployment is None or deployment in api.deployments:
                yield from _stage_variables(label, api, deployment, variables)
    for deployment in (None, *api.deployments):
        yield from _keys(name, api, deployment)
        for key, path, route in api.located(deployment):
            yield from below(path, _websocket_route(key, route) if api.type == "websocket" else _route(key, route))
            if route.validate is not None and api.type != "rest":
                yield Problem((*path, "validate"), f"expected only in an API of type rest, not {api.type}")
            if route.authorizer is not None and route.authorizer not in api.authorizers:
                yield Problem((*path, "authorizer"), unknown("authorizer", route.authorizer, api.authorizers))
            elif route.scopes and (route.authorizer is None or api.authorizers[route.authorizer].jwt is None):
                yield Problem((*path, "scopes"), "expected with an authorizer that has jwt: no other knows scopes")


def _stage_variables(stage: str, api: Api, deployment: str | None, variables: Collection[str]) -> Iterator[Problem]:
    """Addresses with variables that a stage does not have."""
    for _, path, route in api.located(deployment):
        for inner, proxy in route.backends():
            for i, address in enumerate(proxy.to):
                for name in re.findall(r"\$\{([^}]*)\}", address):
                    space, _, variable = name.partition(".")
                    if space != "stageVariables" or variable not in variables:
                        known = [f"stageVariables.{one}" for one in variables]
                        yield Problem((*path, *inner, "to", i), unknown(f"variable of stage {stage}", name, known))


def _is_selection(text: str) -> bool:
    names = Template(text).names
    return bool(names) and all(name.startswith(("request.", "context.", "stageVariables.")) for name in names)


def _stage(name: str, stage: Stage, api: Api) -> Iterator[Problem]:
    if not STAGE_NAME.fullmatch(name) and not (name == "$default" and api.type == "http"):
        yield Problem((), "expected a name of letters, digits, - and _" + (", or $default" * (api.type == "http")))
    for path, deployment in (("deployment",), stage.deployment), (("canary", "deployment"), canary_deployment(stage)):
        if deployment is not None and deployment not in api.deployments:
            yield Problem(path, unknown("deployment", deployment, api.deployments))
    for field in ("route_throttles", "client_route_throttles"):
        for key in getattr(stage, field):
            if key != "*":
                yield from below((field,), _throttled(key, api))
    for key, throttle in stage.client_route_throttles.items():
        yield from below(("client_route_throttles", key), _clients(throttle, _checked_routes(api, key)))
    if stage.client_throttle is not None:
        yield from below(("client_throttle",), _clients(stage.client_throttle, _checked_routes(api, "*")))


def _checked_routes(api: Api, key: str) -> Iterator[tuple[str, Route]]:
    """Yield the routes of a key, or of all for `*`, that check clients: for messages that is `$connect`."""
    key = "$connect" if api.type == "websocket" else key
    for deployment in (None, *api.deployments):
        yield from ((name, route) for name, _, route in api.located(deployment) if key in ("*", name))


def _clients(throttle: ClientThrottle, routes: Iterable[tuple[str, Route]]) -> Iterator[Problem]:
    """Variables by which clients are distinguished, and that no request has."""
    given = list(routes)
    for i, text in enumerate(throttle.by):
        for name in ByClient([text]).names:
            variable = name.removeprefix(PATH)
            if name.startswith(PATH) and not any(
                f"{{{variable}{end}" in key for key, _ in given for end in ("}", "+}")
            ):
                yield Problem(("by", i), f"expected a route with {{{variable}}}: without it all clients are one")
            elif name == API_KEY and not any(route.api_key_required for _, route in given):
                yield Problem(("by", i), "expected a route with api_key_required: without it all clients are one")
            elif name.startswith(AUTHORIZER) and not any(route.authorizer for _, route in given):
                yield Problem(("by", i), "expected a route with an authorizer: without it all clients are one")


def variants(stage: Stage) -> Iterator[tuple[str | None, dict[str, str]]]:
    """Yield the deployments of a stage, each with its stage variables."""
    yield stage.deployment, {**stage.variables}
    if stage.canary:
        yield stage.canary.deployment or stage.deployment, {**stage.variables, **stage.canary.variables}


def canary_deployment(stage: Stage) -> str | None:
    return stage.canary.deployment if stage.canary else None


def _throttled(key: str, api: Api) -> Iterator[Problem]:
    if key not in api.route_keys():
        yield Problem((), unknown("route", key, sorted(api.route_keys())), key)
    elif api.type == "websocket" and key == "$disconnect":
        yield Problem((key,), "expected a route with requests: a client that disconnects cannot be refused")


def _keys(name: str, api: Api, deployment: str | None) -> Iterator[Problem]:
    """Route keys that cannot be read, or that mean the same."""
    seen: dict[object, tuple[Path, str]] = {}
    for key, path, _ in api.located(deployment):
        shape: object = key
        if api.type == "websocket":
            if key.startswith("$") and key not in WEBSOCKET_KEYS:
                yield Problem(path[:-1], unknown("route", key, WEBSOCKET_KEYS), key)
        elif key == "$default":
            if api.type == "rest":
                yield Problem(path, "expected 'ANY /{proxy+}': a REST API has no $default")
        else:
            try:
                method, segments = RouteKey.parse(key)
            except ValueError as error:
                yield Problem(path, str(error))
                continue
            shape = method, tuple(VARIABLE.sub(r"{\2}", segment) for segment in segments)
        where, other = seen.setdefault(shape, (path, key))
        if where != path:
            same = "" if other == key else f"{other!r} "
            yield Problem(path, f"duplicate route: {same}at {dotted(('apis', name, *where))} has the same requests")


def _route(key: str, route: Route) -> Iterator[Problem]:
    """Check a route of an HTTP or a REST API."""
    if not route.route_response:
        yield Problem(("route_response",), "expected only in an API of type websocket: a request is always answered")
    try:
        segments = RouteKey.parse(key).segments
    except ValueError:
        return  # reported with the keys
    for path, proxy in route.backends():
        for i, address in enumerate(proxy.to):
            if address.startswith("ws"):
                yield Problem((*path, "to", i), expected("an http or https address in an API of this type", address))
            for variable in _VARIABLE.findall(address):
                if variable not in segments:
                    variables = [segment for segment in segments if segment.startswith("{")]
                    yield Problem((*path, "to", i), unknown("variable", variable, variables))


def _websocket_route(key: str, route: Route) -> Iterator[Problem]:
    """Check a route of a WebSocket API: clients are checked at $connect; messages have no status and no headers."""
    connect, websocket = key == "$connect", route.proxy is not None and route.proxy.websocket
    if not connect:
        for name in ("api_key_required", "authorizer", "scopes", "allow", "deny"):
            if getattr(route, name):
                yield Problem((name,), f"expected only at $connect: no message is checked by the {name} of a route")
        if route.mock is not None and route.mock.headers:
            yield Problem(("mock", "headers"), "expected only at $connect: a message has no headers")
    if route.response and (websocket or not connect):
        yield Problem(("response",), "expected only at $connect with an answer: a message has no headers and no status")
    if key == "$disconnect" and route.mock is not None and route.mock.body:
        yield Problem(("mock", "body"), "expected no body: the client is gone")
    if key in ("$connect", "$disconnect") and websocket:
        yield Problem(("proxy",), f"expected an http or https address: no message goes to {key}")
    for path, proxy in route.backends():
        for i, address in enumerate(proxy.to):
            if path[0] == "aggregate" and address.startswith("ws"):
                yield Problem((*path, "to", i), expected("an http or https address in an aggregate", address))
            for variable in _VARIABLE.findall(address):
                yield Problem((*path, "to", i), f"unknown variable {variable!r}: a route of a WebSocket API has none")


_PLAIN = Api(stages={"plain": Stage()})


# --- keys, plans and domains


def _api_keys(configuration: Configuration) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for name, value in configuration.api_keys.items():
        other = first.setdefault(value, name)
        if other != name:
            yield Problem(("api_keys", name), f"expected a value of its own, got that of {other!r}")


def _plan(plan: Plan, configuration: Configuration) -> Iterator[Problem]:
    for i, key in enumerate(plan.keys):
        if key not in configuration.api_keys:
            yield Problem(("keys", i), unknown("API key", key, configuration.api_keys))
    for i, stage in enumerate(plan.stages):
        if stage not in _stages(configuration):
            yield Problem(("stages", i), unknown("stage", stage, _stages(configuration)))
    for stage, throttles in plan.route_throttles.items():
        if stage not in plan.stages:
            yield Problem(("route_throttles",), unknown("stage of the plan", stage, plan.stages), stage)
        elif stage in _stages(configuration):
            api = configuration.apis[stage.partition("/")[0]]
            for key in throttles:
                path = ("route_throttles", stage)
                yield from below(path, _throttled(key, api))
                if key in api.route_keys() and not requires_key(api, key):
                    yield Problem((*path, key), "expected a route that has api_key_required")


def requires_key(api: Api, key: str) -> bool:
    """Whether a request, or the connection of a message, must have an API key."""
    asked = "$connect" if api.type == "websocket" else key
    return any(
        route.api_key_required
        for deployment in (None, *api.deployments)
        for name, _, route in api.located(deployment)
        if name == asked
    )


def _stages(configuration: Configuration) -> list[str]:
    return [f"{name}/{stage}" for name, api in configuration.apis.items() for stage in api.stages]


def _plans_of_keys(configuration: Configuration) -> Iterator[Problem]:
    """Check that a key has one plan at each stage."""
    first: dict[tuple[str, str], str] = {}
    for name, plan in configuration.plans.items():
        for i, key in enumerate(plan.keys):
            for stage in plan.stages:
                other = first.setdefault((key, stage), name)
                if other != name:
                    message = f"expected one plan for each key and stage, got {other!r} for {key!r} and {stage!r}, too"
                    yield Problem(("plans", name, "keys", i), message)


def _domains(configuration: Configuration) -> Iterator[Problem]:
    if len(configuration.apis) > 1 and not configuration.domains:
        example = ", ".join(f"/{name}: {name}" for name in configuration.apis)
        yield Problem((), f'missing required domains, for several APIs: such as domains: {{"*": {{{example}}}}}')
    targets = [*configuration.apis, *_stages(configuration)]
    for host, bases in configuration.domains.items():
        for base, target in bases.items():
            if target not in targets:
                yield Problem(("domains", host, base), unknown("API or stage", target, targets))
