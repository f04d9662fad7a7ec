"""APIs of SAM: `AWS::Serverless::Api`, `HttpApi`, `WebSocketApi`, and the events of functions."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..._configuration.problems import Path
from .authorizers import add_authorizer, from_sam, gateway_responses, preflights, with_cors
from .draft import ApiDraft, Draft
from .integrations import seconds
from .openapi import add_document, document_of, key_of, operations
from .policies import ALL, add_policy, add_sam_policy, of_event
from .stages import add_domain, add_key, add_plan, add_stage
from .template import Resource, as_list, as_mapping, as_number
from .validation import add_model, validate_event

KINDS = {
    "AWS::Serverless::Api": "rest",
    "AWS::Serverless::HttpApi": "http",
    "AWS::Serverless::WebSocketApi": "websocket",
}
GLOBALS = {"rest": "Api", "http": "HttpApi", "websocket": "WebSocketApi"}
IMPLICIT = {"rest": "ServerlessRestApi", "http": "ServerlessHttpApi"}


def add_serverless(draft: Draft) -> None:
    """Add the APIs of SAM resources."""
    resources = {one.name: one for one in draft.template.of_type(*KINDS)}
    events = list(_events(draft))
    for _, event, kind, path in events:
        name = _api_name(event, kind)
        if name not in resources and name not in draft.apis and name == IMPLICIT[kind]:
            resources[name] = Resource(name, next(one for one in KINDS if KINDS[one] == kind), {}, path)
    for name, resource in resources.items():
        kind = KINDS[resource.type]
        shared = resource.shared(draft.template.globals.get(GLOBALS[kind]))
        properties = _merged(shared, resource.properties)
        api = draft.apis[name] = ApiDraft(name, kind, resource.path)
        _add_api(draft, api, properties, [one for one in events if _api_name(one[1], one[2]) == name], resource)
    for function, event, kind, path in events:
        name = _api_name(event, kind)
        if name not in resources:
            if name in draft.apis:
                _add_event(draft, draft.apis[name], function, event, path, {})
            else:
                draft.template.note(path, f"the API {name!r} of this event is not here")


def _merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties with those of Globals: objects are merged, lists joined, other values replaced."""
    merged = dict(shared)
    for name, value in own.items():
        before = merged.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[name] = _merged(before, value)
        elif isinstance(value, list) and isinstance(before, list):
            merged[name] = [*before, *value]
        else:
            merged[name] = value
    return merged


def _events(draft: Draft) -> Iterator[tuple[str, dict[str, Any], str, Path]]:
    """Yield the events of functions and state machines that are requests: their owner, properties, kind and place."""
    for owner in draft.template.of_type("AWS::Serverless::Function", "AWS::Serverless::StateMachine"):
        for name, event in owner.mapping("Events").items():
            kind = {"Api": "rest", "HttpApi": "http"}.get(str(as_mapping(event).get("Type")))
            if kind:
                yield owner.name, as_mapping(as_mapping(event).get("Properties")), kind, (*owner.path, "Events", name)


def _api_name(event: Mapping[str, Any], kind: str) -> str:
    given = event.get("RestApiId") if kind == "rest" else event.get("ApiId")
    return str(as_mapping(given).get("Ref", given)) if given else IMPLICIT[kind]


def _add_api(draft: Draft, api: ApiDraft, properties: dict[str, Any], events: list[Any], resource: Resource) -> None:
    auth = as_mapping(properties.get("Auth"))
    if api.kind == "rest":
        types = [str(one).replace("~1", "/") for one in as_list(properties.get("BinaryMediaTypes"))]
        if types:
            api.settings["binary_media_types"] = types
        add_policy(draft, api, properties.get("Policy"), (*resource.path, "Policy"))
        add_sam_policy(draft, api, auth, ALL, (*resource.path, "Auth"))
        for name, schema in as_mapping(properties.get("Models")).items():
            add_model(api, str(name), schema, True)
    for name, given in as_mapping(auth.get("Authorizers")).items():
        place = (*resource.path, "Auth", "Authorizers", name)
        add_authorizer(draft, api, name, from_sam(draft, api, as_mapping(given), place), place)
    if api.kind == "websocket":
        _add_websocket(draft, api, properties, auth, resource)
    else:
        document = document_of(draft, resource, properties, "DefinitionBody", "DefinitionUri")
        add_document(draft, api, document, (*resource.path, "DefinitionBody"))
        for key, route in api.routes.items():
            _secure(draft, api, route, {}, _defaults(key, auth), resource.path)
        for function, event, _, path in events:
            _add_event(draft, api, function, event, path, auth)
        for name, method, _, place in operations(document, (*resource.path, "DefinitionBody")):
            key = key_of(name, method)
            if key not in api.routes:
                draft.route(api, key, draft.not_implemented(place, "no integration and no event"), place)
        _add_cors(draft, api, properties, auth, resource)
    gateway_responses(draft, api, as_mapping(properties.get("GatewayResponses")), (*resource.path, "GatewayResponses"))
    default = {"rest": "Prod", "http": "$default", "websocket": "default"}[api.kind]
    add_stage(draft, api, properties.get("StageName") or default, properties, resource.path)
    _add_plan(draft, api, auth, resource)
    domain = as_mapping(properties.get("Domain"))
    stage = next(iter(api.stages))
    for base in as_list(domain.get("BasePath")) or ["/"] if domain else []:
        if domain.get("NormalizeBasePath", True) not in (False, "false"):
            base = "".join(char for char in str(base) if char.isalnum())
        add_domain(draft, resource, domain.get("DomainName"), base, api.name, stage)


def _add_event(
    draft: Draft, api: ApiDraft, function: str, event: Mapping[str, Any], path: Path, auth: Mapping[str, Any]
) -> None:
    given, method = event.get("Path"), str(event.get("Method", "any")).lower()
    key = key_of(str(given), method) if given is not None else "$default"
    if key in api.routes:
        return
    if draft.template.resources[function].type == "AWS::Serverless::StateMachine":
        route = draft.not_implemented(path, "a state machine is not emulated")
    else:
        route = draft.function_route(function, path)
    if api.kind == "http" and "function" in route:
        route["payload_format"] = str(event.get("PayloadFormatVersion") or "2.0")
    route.update(api.conditions.get(key, {}))
    validate_event(draft, api, route, event, path)
    timeout = seconds(event.get("TimeoutInMillis"))
    if timeout is not None and "function" in route:
        route["timeout"] = timeout
    _secure(draft, api, route, as_mapping(event.get("Auth")), _defaults(key, auth), path)
    if api.kind == "rest":
        add_sam_policy(draft, api, as_mapping(event.get("Auth")), of_event(key), (*path, "Properties", "Auth"))
    draft.route(api, key, route, path)
    settings = as_mapping(event.get("RouteSettings"))
    named = (("rate", "ThrottlingRateLimit"), ("burst", "ThrottlingBurstLimit"))
    limit = {ours: as_number(settings[name]) for ours, name in named if name in settings}
    if limit:
        api.settings.setdefault("_throttles", {})[key] = limit


def _secure(
    draft: Draft, api: ApiDraft, route: dict[str, Any], own: Mapping[str, Any], auth: Mapping[str, Any], path: Path
) -> None:
    """Require an authorizer and an API key, by an event or by the default of its API."""
    name = own.get("Authorizer", auth.get("DefaultAuthorizer"))
    if name == "AWS_IAM" and name not in api.authorizers:
        draft.template.note(path, "signatures of AWS_IAM are not checked")
    elif name and name != "NONE" and "authorizer" not in route:
        if name in api.authorizers:
            route["authorizer"] = str(name)
            scopes = as_list(own.get("AuthorizationScopes"))
            given = as_mapping(as_mapping(auth.get("Authorizers")).get(str(name)))
            scopes = scopes or as_list(given.get("AuthorizationScopes"))
            if scopes and "jwt" in api.authorizers[str(name)]:
                route["scopes"] = [str(one) for one in scopes]
        else:
            draft.template.note(path, f"the authorizer {name!r} is not here")
    if own.get("ApiKeyRequired", auth.get("ApiKeyRequired")) in (True, "true"):
        route["api_key_required"] = True


def _defaults(key: str, auth: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an API requires of a route by default: SAM can leave preflights out."""
    flags = {
        "DefaultAuthorizer": "AddDefaultAuthorizerToCorsPreflight",
        "ApiKeyRequired": "AddApiKeyRequiredToCorsPreflight",
    }
    preflight = key.startswith("OPTIONS")
    left_out = {name for name, flag in flags.items() if preflight and auth.get(flag) in (False, "false")}
    return {name: value for name, value in auth.items() if name not in left_out}


def _add_cors(
    draft: Draft, api: ApiDraft, properties: Mapping[str, Any], auth: Mapping[str, Any], resource: Resource
) -> None:
    if api.kind == "rest" and properties.get("Cors"):
        place, conditions = (*resource.path, "Cors"), dict[str, Any]()
        _secure(draft, api, conditions, {}, _defaults("OPTIONS", auth), place)
        preflights(api, properties["Cors"], conditions, place)
    given = properties.get("CorsConfiguration")
    if api.kind == "http" and given and given != "false":
        with_cors(api, given if isinstance(given, dict) else {"AllowOrigins": ["*"]})


def _add_plan(draft: Draft, api: ApiDraft, auth: Mapping[str, Any], resource: Resource) -> None:
    plan = as_mapping(auth.get("UsagePlan"))
    kind = plan.get("CreateUsagePlan")
    if kind not in ("PER_API", "SHARED"):
        if kind not in (None, "NONE"):
            draft.template.note((*resource.path, "Auth", "UsagePlan"), f"there is no usage plan of the kind {kind!r}")
        return
    prefix = api.name if kind == "PER_API" else "Serverless"
    name, key, stage = f"{prefix}UsagePlan", f"{prefix}ApiKey", f"{api.name}/{next(iter(api.stages))}"
    if key not in draft.api_keys:
        add_key(draft, key, None, resource.path)
    stages = draft.plans.get(name, {}).get("stages", [])
    add_plan(draft, name, plan, [key], [*stages, stage], resource.path)


def _add_websocket(
    draft: Draft, api: ApiDraft, properties: Mapping[str, Any], auth: Mapping[str, Any], resource: Resource
) -> None:
    selection = properties.get("RouteSelectionExpression")
    if selection:
        draft.select(api, selection)
    made = from_sam(draft, api, auth, (*resource.path, "Auth"))
    if made:
        api.add("authorizers", "connect", made, (*resource.path, "Auth"))
    for key, given in as_mapping(properties.get("Routes")).items():
        place, settings = (*resource.path, "Routes", key), as_mapping(given)
        route = draft.function_route(settings.get("FunctionArn"), place)
        if key not in ("$connect", "$disconnect"):
            route["route_response"] = bool(settings.get("RouteResponseSelectionExpression"))
        if key == "$connect" and made:
            route["authorizer"] = "connect"
        if key == "$connect" and settings.get("ApiKeyRequired") in (True, "true"):
            route["api_key_required"] = True
        draft.route(api, key, route, place)
