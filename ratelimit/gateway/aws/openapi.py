"""OpenAPI 3 and Swagger 2 with the extensions `x-amazon-apigateway-*`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..._configuration.problems import Path
from .authorizers import add_authorizer, from_scheme, gateway_responses, with_cors
from .draft import METHODS, ApiDraft, Draft
from .integrations import route_of
from .policies import add_policy
from .resource import Resource
from .validation import DocumentValidators
from .values import as_list, as_mapping, referred

ANY = "x-amazon-apigateway-any-method"
INTEGRATION = "x-amazon-apigateway-integration"


def kind_of(document: Mapping[str, Any]) -> str:
    """Return whether a document that no template includes is of an HTTP or a REST API."""
    if "swagger" in document:
        return "rest"
    versions = {
        str(as_mapping(operation.get(INTEGRATION)).get("payloadFormatVersion"))
        for _, _, operation, _ in operations(document, ())
    }
    return "http" if "2.0" in versions or "x-amazon-apigateway-cors" in document else "rest"


def document_of(draft: Draft, resource: Resource, properties: Mapping[str, Any], body: str, uri: str) -> dict[str, Any]:
    """Return the document that one of two properties of an API has or names; empty for none."""
    if properties.get(body) is None and properties.get(uri) is not None:
        return as_mapping(draft.template.include(properties[uri], (*resource.path, uri), (*resource.path, body)))
    return as_mapping(properties.get(body))


def operations(document: Mapping[str, Any], path: Path) -> Iterator[tuple[str, str, dict[str, Any], Path]]:
    """Yield path, method, operation, and its place in the template."""
    for name, item in as_mapping(document.get("paths")).items():
        for method, operation in as_mapping(item).items():
            if method.lower() in METHODS:
                yield name, method.lower(), as_mapping(operation), (*path, "paths", name, method)


def key_of(path: str, method: str) -> str:
    """Return the route key of an operation."""
    path = path if path.startswith(("/", "$")) else f"/{path}"
    if path in ("/$default", "$default"):
        return "$default"
    path = path if path == "/" else path.rstrip("/")
    return f"{'ANY' if method in (ANY, 'any', '*') else method.upper()} {path}"


def base_path(document: Mapping[str, Any]) -> str:
    """Return the `basePath` of a document, or the default of the first server's variable of that name."""
    variables = (as_mapping(as_mapping(one).get("variables")) for one in as_list(document.get("servers")))
    defaults = (as_mapping(one.get("basePath")).get("default") for one in variables)
    return str(document.get("basePath") or next(filter(None, defaults), "")).strip("/")


def _prefix(document: Mapping[str, Any], mode: Any) -> str:
    """Return what is before each path: the base path, or without its first segment where that is the stage."""
    server = as_mapping(next(iter(as_list(document.get("servers"))), None))
    variables = as_mapping(server.get("variables"))

    def default(found: re.Match[str]) -> str:
        return str(as_mapping(variables.get(found[1])).get("default") or "")

    url = re.sub("^[^/]*//[^/]*", "", re.sub(r"\{([^{}]*)\}", default, str(server.get("url", ""))))
    base = "/".join(filter(None, str(document.get("basePath") or url).split("/")))
    found = {"prepend": base, "split": base.partition("/")[2]}.get(str(mode))
    return f"/{found}" if found else ""


def add_document(
    draft: Draft, api: ApiDraft, document: Mapping[str, Any], path: Path, base_path_mode: Any = None
) -> None:
    """Add the routes and settings of a document to an API; its base path counts if a mode is given."""
    schemes = {
        **as_mapping(document.get("securityDefinitions")),
        **as_mapping(as_mapping(document.get("components")).get("securitySchemes")),
    }
    validators = DocumentValidators(draft, api, document)
    for name, scheme in schemes.items():
        place = (*path, "components", "securitySchemes", name)
        add_authorizer(draft, api, name, from_scheme(draft, as_mapping(scheme), place), place)
    prefix = _prefix(document, base_path_mode)
    for name, method, operation, place in operations(document, path):
        integration = as_mapping(operation.get(INTEGRATION))
        if "$ref" in integration:
            integration = referred(document, str(integration["$ref"]))
        key = key_of(name if name.endswith("$default") else prefix + name, method)
        conditions: dict[str, Any] = {}
        secure(draft, api, conditions, operation.get("security", document.get("security")), schemes, place)
        scheme = as_mapping(operation.get("x-amazon-apigateway-auth")).get("type", "NONE")
        if str(scheme).upper() != "NONE":
            draft.template.note((*place, "x-amazon-apigateway-auth"), f"the authorization {scheme} is not checked")
        validators.apply(conditions, as_mapping(as_mapping(document.get("paths")).get(name)), operation, place)
        api.conditions[key] = conditions
        if integration:
            route = route_of(draft, api, key, integration, (*place, INTEGRATION))
        elif draft.template.is_sam:  # an event of a function may have it
            continue
        else:
            route = draft.not_implemented(place, f"no {INTEGRATION}")
        draft.route(api, key, api.with_conditions(key, route), place)
    _settings(draft, api, document, path)


def secure(
    draft: Draft, api: ApiDraft, route: dict[str, Any], security: Any, schemes: Mapping[str, Any], path: Path
) -> None:
    """Require what one of the alternatives of `security` requires, or close the route if their authorizers are gone."""
    missing: list[str] = []
    for alternative in map(as_mapping, as_list(security)):
        gone = [name for name in alternative if _is_gone(api, schemes, name)]
        missing += gone
        for name, scopes in alternative.items() if not gone else ():
            if _is_api_key(as_mapping(schemes.get(name))):
                route["api_key_required"] = True
            elif name in api.authorizers:
                api.require(route, name, scopes)
            elif name == "NONE":  # SAM's name: without the default authorizer
                route.setdefault("authorizer", None)
            else:
                draft.template.note(path, f"the security {name!r} is not checked")
    if missing and not route:
        draft.close(route, path, missing[0])
    else:
        for name in missing:
            draft.template.note(path, f"the security {name!r} is not checked")


def _is_gone(api: ApiDraft, schemes: Mapping[str, Any], name: str) -> bool:
    """Whether a scheme has an authorizer that could not be made. AWS ignores other schemes, also undeclared ones."""
    scheme = as_mapping(schemes.get(name))
    if name in api.authorizers or name in ("NONE", "AWS_IAM") or _is_api_key(scheme):
        return False
    is_signed = str(scheme.get("x-amazon-apigateway-authtype")).lower() == "awssigv4"
    return any(one.startswith("x-amazon-apigateway-") for one in scheme) and not is_signed


def _is_api_key(scheme: Mapping[str, Any]) -> bool:
    plain = "x-amazon-apigateway-authtype" not in scheme and "x-amazon-apigateway-authorizer" not in scheme
    return plain and scheme.get("type") == "apiKey" and str(scheme.get("name", "")).lower() == "x-api-key"


def _settings(draft: Draft, api: ApiDraft, document: Mapping[str, Any], path: Path) -> None:
    types = [str(one) for one in as_list(document.get("x-amazon-apigateway-binary-media-types"))]
    if types and api.kind == "rest":
        api.settings["binary_media_types"] = types
    responses = as_mapping(document.get("x-amazon-apigateway-gateway-responses"))
    if responses:
        gateway_responses(draft, api, responses, (*path, "x-amazon-apigateway-gateway-responses"))
    policy = document.get("x-amazon-apigateway-policy")
    if policy and api.kind == "rest":
        add_policy(draft, api, policy, (*path, "x-amazon-apigateway-policy"))
    elif policy:
        draft.template.note((*path, "x-amazon-apigateway-policy"), "only a REST API has a resource policy")
    cors = document.get("x-amazon-apigateway-cors")
    if cors and api.kind == "http":
        with_cors(api, as_mapping(cors))
