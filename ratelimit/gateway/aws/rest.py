"""REST APIs of CloudFormation: `AWS::ApiGateway::*`."""

from collections.abc import Iterator
from typing import Any

from ..._configuration.problems import Path
from .authorizers import add_authorizer, from_resource, gateway_responses, secure
from .draft import ApiDraft, Draft
from .integrations import route_of
from .openapi import add_document, document_of
from .policies import add_policy
from .resource import Resource
from .stages import add_stage
from .validation import add_models, validate_method
from .values import as_list, is_true

_PREFIX = "AWS::ApiGateway::"


def add_rest_apis(draft: Draft) -> None:
    """Add the REST APIs of CloudFormation resources, and what their documents define."""
    for resource in draft.template.of_type(f"{_PREFIX}RestApi"):
        api = draft.apis[resource.name] = ApiDraft(resource.name, "rest", resource.path)
        types = [str(one).replace("~1", "/") for one in as_list(resource.get("BinaryMediaTypes"))]
        if types:
            api.settings["binary_media_types"] = types
        document = document_of(draft, resource, resource.properties, "Body", "BodyS3Location")
        add_document(draft, api, document, (*resource.path, "Body"), resource.mapping("Parameters").get("basepath"))
        add_policy(draft, api, resource.get("Policy"), (*resource.path, "Policy"))


def add_rest_parts(draft: Draft) -> None:
    """Add what single resources define in REST APIs, also those of SAM."""
    for one in _of(draft, "Authorizer"):
        add_authorizer(draft, one[0], one[1].name, from_resource(draft, one[1].properties, one[1].path), one[1].path)
    add_models(draft)
    for api, method in _of(draft, "Method"):
        _add_method(draft, api, method)
    for api, response in _of(draft, "GatewayResponse"):
        kind = str(response.get("ResponseType"))
        gateway_responses(draft, api, {kind: response.properties}, response.path)
    for api, stage in _of(draft, "Stage"):
        add_stage(draft, api, stage.get("StageName"), stage.properties, stage.path)
    for api, deployment in _of(draft, "Deployment"):
        name = deployment.get("StageName")
        if name and name not in api.stages:
            canary = {"CanarySetting": deployment.get("DeploymentCanarySettings")}
            add_stage(draft, api, name, {**canary, **deployment.mapping("StageDescription")}, deployment.path)
    for api in draft.apis.values():
        if api.kind == "rest" and not api.stages:
            draft.template.note(api.path, "this API has no stage; it is served at the stage 'prod'")
            add_stage(draft, api, "prod", {}, api.path)


def _of(draft: Draft, kind: str) -> Iterator[tuple[ApiDraft, Resource]]:
    """Yield the resources of a kind with their APIs."""
    for resource in draft.template.of_type(_PREFIX + kind):
        if api := draft.api_of(resource.get("RestApiId"), "rest", resource.path):
            yield api, resource


def _add_method(draft: Draft, api: ApiDraft, method: Resource) -> None:
    path = _path_of(draft, method.get("ResourceId", ""), method.path)
    if path is None:
        draft.template.note(method.path, f"the path of {method.get('ResourceId')!r} is not here")
        return
    key = f"{str(method.get('HttpMethod', 'ANY')).upper()} {path}"
    integration = method.mapping("Integration")
    if integration:
        route = route_of(draft, api, key, integration, (*method.path, "Integration"))
    else:
        route = draft.not_implemented(method.path, "no Integration")
    secure(draft, api, route, method)
    if is_true(method.get("ApiKeyRequired")):
        route["api_key_required"] = True
    validate_method(draft, api, route, method.properties, method.path)
    draft.route(api, key, route, method.path)


def _path_of(draft: Draft, given: Any, path: Path) -> str | None:
    """Return the path of a resource id; None for one that does not lead to the root, or to another stack."""
    parts: list[str] = []
    for _ in range(100):
        text = str(given)
        if text.endswith(".RootResourceId"):
            return "/" + "/".join(reversed(parts))
        resource = draft.template.resources.get(text)
        if resource is None and text:
            draft.template.note(path, f"the path of {text!r} is not known, so it is taken as the root")
            return "/" + "/".join(reversed(parts))
        if resource is None or resource.type != f"{_PREFIX}Resource":
            return None
        parts.append(str(resource.get("PathPart", "")))
        given = resource.get("ParentId")
    return None
