"""Stages, their throttles and canaries; usage plans, API keys and domain names."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from ..._configuration.problems import Path
from ..throttling.key_file import VALUE, VALUE_TEXT
from .draft import ApiDraft, Draft
from .integrations import lowered
from .references import parameter_of
from .resource import Resource
from .values import as_list, as_mapping, as_number, as_text

RATE, BURST = 10_000.0, 5_000  # of an account, for a throttle with one of them


def add_stage(draft: Draft, api: ApiDraft, name: Any, properties: Mapping[str, Any], path: Path) -> None:
    """Add a stage, by the properties of any kind of stage."""
    label = re.sub(r"[^A-Za-z0-9_$-]", "-", str(name or "")) or ("$default" if api.kind == "http" else "prod")
    given = lowered(properties)
    stage: dict[str, Any] = {}
    variables = as_mapping(given.get("variables") or given.get("stageVariables"))
    if variables:
        stage["variables"] = {str(one): as_text(value) for one, value in variables.items()}
    throttles = _method_settings(draft, api, given.get("methodSettings"), path)
    default = throttle(lowered(as_mapping(given.get("defaultRouteSettings")))) or throttle(given)
    if default and "*" not in throttles:
        throttles["*"] = default
    for key, settings in as_mapping(given.get("routeSettings")).items():
        if limit := throttle(lowered(as_mapping(settings))):
            throttles[key] = limit
    known = {}
    for key, limit in throttles.items():
        if key == "*" or (key in api.routes and key != "$disconnect"):
            known[key] = limit
        else:
            draft.template.note(path, f"the throttle of {key!r} has no route")
    if known:
        stage["route_throttles"] = known
    canary = lowered(as_mapping(given.get("canarySetting")))
    if canary:
        stage["canary"] = _canary(canary)
        draft.template.note(path, "the canary serves the same routes: a template has no snapshot of others")
    api.add("stages", label, stage, path)


def _canary(given: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"percent": as_number(given.get("percentTraffic") or 0)}
    overrides = as_mapping(given.get("stageVariableOverrides"))
    return {**made, "variables": {name: as_text(value) for name, value in overrides.items()}} if overrides else made


def throttle(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the throttle of settings that have one."""
    rate = given.get("throttlingRateLimit", given.get("rateLimit"))
    burst = given.get("throttlingBurstLimit", given.get("burstLimit"))
    if rate is None and burst is None:
        return None
    limit = {"rate": RATE if rate is None else as_number(rate), "burst": BURST if burst is None else as_number(burst)}
    return None if -1 in limit.values() else limit  # -1 stands for no throttle


def _method_settings(draft: Draft, api: ApiDraft, given: Any, where: Path) -> dict[str, dict[str, Any]]:
    """Return the throttles of `MethodSettings` by route key; `/*` with `*` is the default of all routes."""
    found: dict[str, dict[str, Any]] = {}
    for one in as_list(given):
        settings = lowered(as_mapping(one))
        limit = throttle(settings)
        if limit is None:
            continue
        path = str(settings.get("resourcePath", "/*")).replace("~1", "/")
        path = "/" + path.lstrip("/") if path != "/*" else "*"
        method = str(settings.get("httpMethod", "*")).upper()
        keys = ["*"] if (path, method) == ("*", "*") else [one for one in api.routes if _is_set(one, path, method)]
        found.update(dict.fromkeys(keys, limit))
        if not keys:
            draft.template.note(where, f"the throttle of '{method} {path}' has no route")
    return found


def _is_set(key: str, path: str, method: str) -> bool:
    """Whether the settings of a path and a method are those of a route."""
    verb, _, place = key.partition(" ")
    return path in ("*", place) and method in ("*", verb)


# --- usage plans and API keys


def add_plans(draft: Draft) -> None:
    """Add the usage plans and keys of CloudFormation resources."""
    for key in draft.template.of_type("AWS::ApiGateway::ApiKey"):
        if key.get("Enabled") in (False, "false"):
            draft.template.note(key.path, f"the API key {key.name} is disabled, so it is refused as an unknown one")
        else:
            add_key(draft, key.name, key.get("Value"), key.path)
    keys: dict[str, list[str]] = {}
    for link in draft.template.of_type("AWS::ApiGateway::UsagePlanKey"):
        linked, name = str(link.get("KeyId")), str(link.get("UsagePlanId"))
        if linked in draft.api_keys:
            keys.setdefault(name, []).append(linked)
        elif linked not in draft.template.resources:  # a disabled one is noted already
            draft.template.note(link.path, f"the API key {linked!r} of the plan {name!r} is not here")
    for name, made in draft.plans.items():  # those of SAM
        made["keys"] = list(dict.fromkeys([*made["keys"], *keys.pop(name, [])]))
    for plan in draft.template.of_type("AWS::ApiGateway::UsagePlan"):
        stages = []
        route_throttles: dict[str, Any] = {}
        for one in as_list(plan.get("ApiStages")):
            given = as_mapping(one)
            stage = f"{given.get('ApiId')}/{given.get('Stage')}"
            api = draft.apis.get(str(given.get("ApiId")))
            if api is None or str(given.get("Stage")) not in api.stages:
                draft.template.note(plan.path, f"the stage {stage} of this plan is not here")
                continue
            stages.append(stage)
            throttles = _plan_throttles(draft, api, as_mapping(given.get("Throttle")), plan.path)
            if throttles:
                route_throttles[stage] = throttles
        add_plan(draft, plan.name, plan.properties, keys.pop(plan.name, []), stages, plan.path, route_throttles)
    for name in keys:
        draft.template.note(("Resources",), f"the plan {name!r} of the API keys {', '.join(keys[name])} is not here")


def _plan_throttles(draft: Draft, api: ApiDraft, given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    found = {}
    for name, limit in given.items():
        place, _, method = name.rpartition("/")
        key = f"{method.upper()} {place.replace('~1', '/') or '/'}"
        key = key if key in api.routes else key.replace(" ", " /", 1)
        made = throttle(lowered(as_mapping(limit)))
        if key not in api.routes or not api.routes[key].get("api_key_required"):
            draft.template.note(path, f"the throttle of {name!r} has no route that requires an API key")
        elif made:
            found[key] = made
    return found


def add_key(draft: Draft, name: str, value: Any, path: Path) -> None:
    """Add an API key. An account makes the value of one without a value; here it follows from the name."""
    text, parameter = str(value or ""), parameter_of(value)
    if parameter is not None or not re.fullmatch(VALUE, text):
        why = f"is not {VALUE_TEXT}"
        if parameter is not None:
            why = "is not known" + (f" without --parameter {parameter}=VALUE" if parameter else "")
        text = hashlib.sha256(name.encode()).hexdigest()[:40]
        note = f"the value of the API key {name} is {text}"
        draft.template.note(path, f"{note}: the given one {why}" if value else note)
    draft.api_keys[name] = text
    draft.sources["api_keys", name] = path


def add_plan(
    draft: Draft, name: str, properties: Mapping[str, Any], keys: list[str], stages: list[str], path: Path,
    route_throttles: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Add a usage plan, by the properties of a resource or of SAM."""
    if not stages:
        draft.template.note(path, "this plan has no stage")
        return
    made: dict[str, Any] = {"keys": list(dict.fromkeys(keys)), "stages": stages}
    limit = throttle(lowered(as_mapping(properties.get("Throttle"))))
    if limit:
        made["throttle"] = limit
    quota = lowered(as_mapping(properties.get("Quota")))
    if quota.get("limit") is not None:
        made["quota"] = {"limit": as_number(quota["limit"]), "period": str(quota.get("period", "MONTH"))}
        if quota.get("offset"):
            made["quota"]["offset"] = as_number(quota["offset"])
    if route_throttles:
        made["route_throttles"] = dict(route_throttles)
    draft.plans[name] = made
    draft.sources["plans", name] = path


# --- domain names


def add_domains(draft: Draft) -> None:
    """Add the mappings of domain names; several APIs are also reached by their names."""
    for mapping in draft.template.of_type("AWS::ApiGateway::BasePathMapping", "AWS::ApiGatewayV2::ApiMapping"):
        api = str(mapping.get("RestApiId", mapping.get("ApiId")))
        base = mapping.get("BasePath", mapping.get("ApiMappingKey"))
        add_domain(draft, mapping, mapping.get("DomainName"), base, api, mapping.get("Stage"))
    if len(draft.apis) > 1 or draft.domains:
        first = min(draft.apis, key=lambda name: draft.apis[name].kind == "websocket")  # a browser opens the others
        draft.domains["*"] = {"/": first, **{f"/{name}": name for name in draft.apis}}
        for name in draft.apis:
            draft.domains.setdefault(f"{name.lower()}.localhost", {"/": name})


def add_domain(draft: Draft, source: Resource, host: Any, base: Any, api: str, stage: Any) -> None:
    """Add one host and base path."""
    name, path = str(host or "").lower().rstrip("."), "/" + str(base or "").strip("/")
    path = "/" if path in ("/(none)", "/") else path
    target = f"{api}/{stage}" if stage else api
    if api not in draft.apis or (stage and str(stage) not in draft.apis[api].stages):
        draft.template.note(source.path, f"the API {target} of this domain is not here")
    elif not re.fullmatch(r"[a-z0-9_.-]*[a-z0-9]", name) or not re.fullmatch(r"/|(?:/[A-Za-z0-9_.~-]+)+", path):
        draft.template.note(source.path, f"the domain {name!r} with the path {path!r} is not served")
    else:
        draft.domains.setdefault(name, {})[path] = target
        draft.sources["domains", name] = source.path
