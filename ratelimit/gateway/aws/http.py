"""HTTP and WebSocket APIs of CloudFormation: `AWS::ApiGatewayV2::*`."""

from collections.abc import Iterator

from .authorizers import add_authorizer, from_resource, secure, with_cors
from .draft import ApiDraft, Draft
from .integrations import route_of
from .openapi import add_document, document_of
from .resource import Resource
from .stages import add_stage
from .values import is_true

_PREFIX = "AWS::ApiGatewayV2::"


def add_http_apis(draft: Draft) -> None:
    """Add the HTTP and WebSocket APIs of CloudFormation resources, and what their documents define."""
    for resource in draft.template.of_type(f"{_PREFIX}Api"):
        kind = "websocket" if str(resource.get("ProtocolType", "")).upper() == "WEBSOCKET" else "http"
        api = draft.apis[resource.name] = ApiDraft(resource.name, kind, resource.path)
        selection = resource.get("RouteSelectionExpression")
        if kind == "websocket" and selection:
            draft.select(api, selection)
        if resource.mapping("CorsConfiguration"):
            with_cors(api, resource.mapping("CorsConfiguration"))
        document = document_of(draft, resource, resource.properties, "Body", "BodyS3Location")
        add_document(draft, api, document, (*resource.path, "Body"), resource.get("BasePath"))
        if resource.get("Target"):  # the short form: one route to one target
            uri = str(resource.get("Target"))
            integration = {"type": "http_proxy" if uri.startswith("http") else "aws_proxy", "uri": uri}
            integration["payloadFormatVersion"] = "2.0"
            key = str(resource.get("RouteKey", "$default"))
            draft.route(api, key, route_of(draft, api, key, integration, resource.path), resource.path)
            add_stage(draft, api, "$default", {}, resource.path)


def add_http_parts(draft: Draft) -> None:
    """Add what single resources define in HTTP and WebSocket APIs, also those of SAM."""
    template = draft.template
    for api, one in _of(draft, "Authorizer"):
        add_authorizer(draft, api, one.name, from_resource(draft, one.properties, one.path), one.path)
    answered = {str(one.get("RouteId")) for one in template.of_type(f"{_PREFIX}RouteResponse")}
    for api, route in _of(draft, "Route"):
        _add_route(draft, api, route, route.name in answered)
    for api, stage in _of(draft, "Stage"):
        properties = dict(stage.properties)
        add_stage(draft, api, properties.get("StageName"), properties, stage.path)
    for api in draft.apis.values():
        if api.kind != "rest" and not api.stages:
            name = "$default" if api.kind == "http" else "prod"
            draft.template.note(api.path, f"this API has no stage; it is served at the stage {name!r}")
            add_stage(draft, api, name, {}, api.path)


def _of(draft: Draft, kind: str) -> Iterator[tuple[ApiDraft, Resource]]:
    """Yield the resources of a kind with their APIs."""
    for resource in draft.template.of_type(_PREFIX + kind):
        if api := draft.api_of(resource.get("ApiId"), "http", resource.path):
            yield api, resource


def _add_route(draft: Draft, api: ApiDraft, resource: Resource, answered: bool) -> None:
    key = str(resource.get("RouteKey"))
    name = str(resource.get("Target", "")).rpartition("/")[2]
    integration = draft.template.resources.get(name)
    if integration is None or integration.type != f"{_PREFIX}Integration":
        route = draft.not_implemented(resource.path, f"the integration {resource.get('Target')!r} is not here")
    else:
        route = route_of(draft, api, key, integration.properties, integration.path)
    websocket = api.kind == "websocket"
    if websocket and key not in ("$connect", "$disconnect"):
        route["route_response"] = answered
    if not websocket or key == "$connect":
        secure(draft, api, route, resource)
        if websocket and is_true(resource.get("ApiKeyRequired")):
            route["api_key_required"] = True
    if websocket and key == "$disconnect" and "mock" in route:
        route["mock"].pop("body", None)
    draft.route(api, key, route, resource.path)
