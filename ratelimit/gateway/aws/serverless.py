"""APIs of SAM: `AWS::Serverless::Api`, `HttpApi`, `WebSocketApi`, and the events of functions."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..._configuration.problems import ConfigurationError, Path, Problem
from .authorizers import add_authorizer, from_sam, gateway_responses, preflights, with_cors
from .draft import ApiDraft, Draft
from .integrations import seconds
from .openapi import add_document, document_of, key_of, operations
from .policies import ALL, add_policy, add_sam_policy, of_event
from .resource import Resource
from .stages import add_domain, add_key, add_plan, add_stage
from .validation import add_model, validate_event
from .values import as_list, as_mapping, as_number, is_true

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
        properties = resource.with_globals(draft.template.globals.get(GLOBALS[kind]))
        api = draft.apis[name] = ApiDraft(name, kind, resource.path)
        _add_api(draft, api, properties, [one for one in events if _api_name(one[1], one[2]) == name], resource)
    for _, event, kind, path in events:
        name = _api_name(event, kind)
        if name not in resources:
            missing = "is not one of SAM's" if name in draft.apis else "is not here"
            draft.template.note(path, f"this event makes no route: the API {name!r} of this event {missing}")


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
        _add_routes(draft, api, properties, events, resource)
    gateway_responses(draft, api, as_mapping(properties.get("GatewayResponses")), (*resource.path, "GatewayResponses"))
    default = {"rest": "Prod", "http": "$default", "websocket": "default"}[api.kind]
    add_stage(draft, api, properties.get("StageName") or default, properties, resource.path)
    _add_plan(draft, api, auth, resource)
    domain = as_mapping(properties.get("Domain"))
    stage = next(iter(api.stages))
    for base in as_list(domain.get("BasePath")) or ["/"] if domain else []:
        if api.kind == "rest" and domain.get("NormalizeBasePath", True) not in (False, "false"):
            base = "".join(char for char in str(base) if char.isalnum())
        add_domain(draft, resource, domain.get("DomainName"), base, api.name, stage)


def _add_routes(draft: Draft, api: ApiDraft, properties: dict[str, Any], events: list[Any], resource: Resource) -> None:
    """Add the routes of a document, of events and of CORS, and then what the API requires of all of them."""
    auth, place = as_mapping(properties.get("Auth")), (*resource.path, "DefinitionBody")
    document = document_of(draft, resource, properties, "DefinitionBody", "DefinitionUri")
    add_document(draft, api, document, place)
    merges = properties.get("DefinitionBody") if api.kind == "http" else is_true(properties.get("MergeDefinitions"))
    if not {"DefinitionBody", "DefinitionUri"} & set(properties):
        events = list(_without_repeated(draft, events))
    for function, event, _, path in events:
        if merges or not document.get("paths"):  # SAM adds none beside a document; in place of a missing one they help
            _add_event(draft, api, function, event, path, auth)
        else:
            _override(draft, api, event, path, auth)
    for name, method, _, where in operations(document, place):
        key = key_of(name, method)
        if key not in api.routes:
            draft.route(api, key, draft.not_implemented(where, "no integration and no event"), where)
    _add_cors(api, properties, resource)
    for key, route in api.routes.items():
        _secure(draft, api, route, {}, _defaults(api, key, auth), resource.path)


def _without_repeated(draft: Draft, events: list[Any]) -> Iterator[Any]:
    """Yield the first event of each route. A second one is an error, or a note if its path differs by a slash."""
    known: dict[str, Any] = {}
    for one in events:
        _, event, _, path = one
        key, problem = _key(event), f"another event has the route {_key(event)}"
        if key not in known:
            known[key] = event.get("Path")
            yield one
        elif known[key] != event.get("Path"):
            draft.template.note(path, problem)
        else:
            raise ConfigurationError([Problem(path, problem)])


def _key(event: Mapping[str, Any]) -> str:
    given = event.get("Path")
    return key_of(str(given), str(event.get("Method", "any")).lower()) if given is not None else "$default"


def _add_event(
    draft: Draft, api: ApiDraft, function: str, event: Mapping[str, Any], path: Path, auth: Mapping[str, Any]
) -> None:
    """Add the route of an event. A route of a document keeps its integration in an HTTP API, as in SAM."""
    key = _key(event)
    if api.kind == "rest" or key not in api.routes:
        if draft.template.resources[function].type == "AWS::Serverless::StateMachine":
            route = draft.not_implemented(path, "a state machine is not emulated")
        else:
            route = draft.function_route(function, path)
        if api.kind == "http" and "function" in route:
            route["payload_format"] = "2.0"
        api.routes.pop(key, None)
        draft.route(api, key, api.with_conditions(key, route), path)
    route = api.routes.get(key, {})
    version, timeout = event.get("PayloadFormatVersion"), seconds(event.get("TimeoutInMillis"))
    if version and api.kind == "http" and "function" in route:
        route["payload_format"] = str(version)
    validate_event(draft, api, route, event, path)
    if timeout is not None:
        (route if "function" in route else route.get("proxy", {}))["timeout"] = timeout
    _secure_event(draft, api, event, path, auth)
    settings = as_mapping(event.get("RouteSettings"))
    named = (("rate", "ThrottlingRateLimit"), ("burst", "ThrottlingBurstLimit"))
    limit = {ours: as_number(settings[name]) for ours, name in named if name in settings}
    if limit:
        api.settings.setdefault("_throttles", {})[key] = limit


def _override(draft: Draft, api: ApiDraft, event: Mapping[str, Any], path: Path, auth: Mapping[str, Any]) -> None:
    """Apply an event to an API whose routes are those of its document: SAM uses `OverrideApiAuth` alone."""
    unused = sorted(event.keys() - {"ApiId", "Method", "Path", "RestApiId"})
    if _key(event) not in api.routes:
        draft.template.note(path, "this event makes no route: its API has a document, and no MergeDefinitions")
        return
    if is_true(as_mapping(event.get("Auth")).get("OverrideApiAuth")):
        _secure_event(draft, api, event, path, auth)
        unused.remove("Auth")
    if unused:
        draft.template.note(path, f"without effect, as the document has the route of this event: {', '.join(unused)}")


def _secure_event(draft: Draft, api: ApiDraft, event: Mapping[str, Any], path: Path, auth: Mapping[str, Any]) -> None:
    key, own = _key(event), as_mapping(event.get("Auth"))
    _secure(draft, api, api.routes.get(key, {}), own, _defaults(api, key, auth), path)
    if api.kind == "rest":
        add_sam_policy(draft, api, own, of_event(key), (*path, "Properties", "Auth"))


def _secure(
    draft: Draft, api: ApiDraft, route: dict[str, Any], own: Mapping[str, Any], auth: Mapping[str, Any], path: Path
) -> None:
    """Require the authorizer and the API key of an event, or else the default ones of its API.

    A default changes no route that has an authorizer already, or None: an event leaves it open.
    """
    name = str(own.get("Authorizer", auth.get("DefaultAuthorizer")) or "")
    if name and ("Authorizer" in own or "authorizer" not in route):
        route.pop("scopes", None)
        route["authorizer"] = None
        if name in api.authorizers and name != "NONE":
            given = as_mapping(as_mapping(auth.get("Authorizers")).get(name))
            scopes = as_list(own.get("AuthorizationScopes")) or as_list(given.get("AuthorizationScopes"))
            api.require(route, name, scopes)
        elif name == "AWS_IAM":
            draft.template.note(path, "signatures of AWS_IAM are not checked")
        elif name != "NONE":  # SAM refuses the template
            draft.close(route, path, name)
    keyed = own.get("ApiKeyRequired", auth.get("ApiKeyRequired"))
    if keyed is not None and ("ApiKeyRequired" in own or "api_key_required" not in route):
        route["api_key_required"] = is_true(keyed)


def _defaults(api: ApiDraft, key: str, auth: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an API requires of a route by default: SAM leaves preflights out, in a REST API only by a flag."""
    flags = {
        "DefaultAuthorizer": "AddDefaultAuthorizerToCorsPreflight",
        "ApiKeyRequired": "AddApiKeyRequiredToCorsPreflight",
    }
    if not key.startswith("OPTIONS"):
        return dict(auth)
    left_out = {name for name, flag in flags.items() if api.kind == "http" or auth.get(flag) in (False, "false")}
    return {name: value for name, value in auth.items() if name not in left_out}


def _add_cors(api: ApiDraft, properties: Mapping[str, Any], resource: Resource) -> None:
    if api.kind == "rest" and properties.get("Cors"):
        preflights(api, properties["Cors"], (*resource.path, "Cors"))
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
        if key == "$connect" and is_true(settings.get("ApiKeyRequired")):
            route["api_key_required"] = True
        draft.route(api, key, route, place)
