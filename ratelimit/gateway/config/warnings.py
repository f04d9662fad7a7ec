"""Probable mistakes in a configuration: warnings, for what an operator can do without."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath

from ..._configuration.problems import Path, Problem
from .apis import Api, Stage
from .backends import Proxy
from .model import Configuration
from .routes import Route
from .rules import below, canary_deployment, requires_key, variants

_PROXY = Proxy(to=["http://localhost/"])


def warnings(configuration: Configuration) -> Iterator[Problem]:
    """Yield probable mistakes."""
    for level, count in keys_needed(configuration).items():
        if count > configuration.max_keys:
            message = f"expected room for the {count} keys of the level {level!r}, got {configuration.max_keys}"
            yield Problem(("max_keys",), message)
    for name, api in configuration.apis.items():
        yield from below(("apis", name), _api_warnings(api))
    planned = {key for plan in configuration.plans.values() for key in plan.keys}
    for key in configuration.api_keys:
        if key not in planned:
            yield Problem(("api_keys", key), "no plan has this key, so it opens no route")
    for name, plan in configuration.plans.items():
        for i, stage in enumerate(plan.stages):
            api = configuration.apis[stage.partition("/")[0]]
            if not any(requires_key(api, key) for key in api.route_keys()):
                message = f"no route of {stage} has api_key_required, so the plan limits nothing there"
                yield Problem(("plans", name, "stages", i), message)


def _api_warnings(api: Api) -> Iterator[Problem]:
    used = {stage.deployment for stage in api.stages.values()}
    used |= {canary_deployment(stage) or stage.deployment for stage in api.stages.values()}
    for deployment in (None, *api.deployments):
        routes = list(api.located(deployment))
        for _, path, route in routes:
            yield from below(path, _single_address(route))
        if api.type != "websocket":
            for key, path, _ in routes:
                yield from below(path, _spelling(key))
            yield from _unguarded(routes)
        if deployment not in used and routes:
            yield Problem(routes[0][1][: 1 if deployment is None else 2], "no stage refers to these routes")
    for name, stage in api.stages.items():
        yield from below(("stages", name, "canary"), _missing_in_canary(api, stage))
    asked = {route.authorizer for deployment in (None, *api.deployments) for _, _, route in api.located(deployment)}
    for name, authorizer in api.authorizers.items():
        if name not in asked:
            yield Problem(("authorizers", name), "no route refers to this authorizer")
        file = None if authorizer.jwt is None else authorizer.jwt.keys_file
        if file is not None and not FilePath(file).is_file():
            yield Problem(("authorizers", name, "jwt", "keys"), f"no such file, so every token is refused: {file!r}")


def _missing_in_canary(api: Api, stage: Stage) -> Iterator[Problem]:
    """Routes of a stage that its canary has not: its share of their requests finds no route."""
    if stage.canary is None:
        return
    there = api.routes_of(canary_deployment(stage) or stage.deployment)
    missing = [key for key in api.routes_of(stage.deployment) if key not in there]
    if missing:
        listed = ", ".join(repr(key) for key in missing[:5]) + (", ..." if len(missing) > 5 else "")
        yield Problem(("deployment",), f"the canary lacks {listed}: its share of their requests finds no route")


def keys_needed(configuration: Configuration) -> dict[str, int]:
    """How many keys the table of each level must have room for."""
    needed = dict.fromkeys(("plan", "plan-method", "quota", "method", "counts"), 0)
    for plan in configuration.plans.values():
        keys = len(plan.keys)
        needed["plan"] += keys if plan.throttle else 0
        needed["plan-method"] += keys * sum(map(len, plan.route_throttles.values()))
        needed["quota"] += 2 * keys if plan.quota else 0  # of this period, and of the last
        needed["counts"] += 92 * keys
    for api in configuration.apis.values():
        for stage in api.stages.values():
            routes = {key for deployment, _ in variants(stage) for key in api.routes_of(deployment)}
            needed["counts"] += 20 * len(routes)
            needed["method"] += len(routes) if "*" in stage.route_throttles else len(stage.route_throttles)
    return needed


def _unguarded(routes: Sequence[tuple[str, Path, Route]]) -> Iterator[Problem]:
    """Routes that match nearly every path, beside guarded ones: another spelling of a path leads to them."""
    guarded = [key for key, _, route in routes if _is_guarded(route)]
    for key, path, route in routes:
        if not _is_guarded(route) and (key == "$default" or key.endswith("+}")):
            prefix = "/" if key == "$default" else key.partition(" ")[2].rpartition("{")[0]
            beside = [one for one in guarded if one.partition(" ")[2].startswith(prefix)]
            if beside:
                spelled = beside[0].partition(" ")[2]
                message = (
                    f"requests for {spelled}/ or {spelled.upper()} reach this route without the guards of "
                    f"{beside[0]!r}; guard it, too, unless its backend distinguishes these paths"
                )
                yield Problem(path, message)


def _single_address(route: Route) -> Iterator[Problem]:
    """Find settings of addresses that take turns where there is one, which gets all requests whatever fails."""
    for path, proxy in route.backends():
        for name in ("max_fails", "fail_timeout"):
            if len(proxy.to) == 1 and getattr(proxy, name) != getattr(_PROXY, name):
                yield Problem((*path, name), "expected several addresses with it: a single one is never left out")


def _is_guarded(route: Route) -> bool:
    return bool(route.allow or route.deny or route.authorizer or route.api_key_required)


def _spelling(key: str) -> Iterator[Problem]:
    """Variables as other programs write them, which here are literal text."""
    method, _, path = key.partition(" ")
    segments = path.split("/")
    meant = [_meant(segment, i == len(segments) - 1) for i, segment in enumerate(segments)]
    if meant != segments:
        message = f"this route matches {path!r} literally; for any value write '{method} {'/'.join(meant)}'"
        yield Problem((), message)


def _meant(segment: str, last: bool) -> str:
    if re.fullmatch(r"\*+", segment):
        return "{proxy+}" if last else "{name}"
    found = re.fullmatch(r":(\w+)(\*|\+)?", segment)
    if found is None:
        return segment
    return "{" + found[1] + ("+" if found[2] and last else "") + "}"
