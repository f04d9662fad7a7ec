"""Integrations: what a method or a route of a template does, as a route of the gateway."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..._configuration.problems import Path
from ..routing.table import OWN_METHODS, VARIABLE
from ..templates.template import Template as Text
from ..templates.transform import Transform
from .draft import ApiDraft, Draft
from .values import as_list, as_mapping, as_number, is_true

_LAMBDA = re.compile(r":lambda:path/|^arn:[^:]+:lambda:")
_VTL = re.compile(r"#(set|if|foreach|else|end|define|macro|\*|#)|\$input|\$util|\$!|\$\{?\w+\.(?!x)\w+\(")
_READ = (  # under OpenAPI's names
    "type integrationType uri integrationUri integrationSubtype contentHandling contentHandlingStrategy connectionType"
    " requestTemplates requestParameters timeoutInMillis tlsConfig httpMethod integrationHttpMethod integrationMethod"
    " payloadFormatVersion responses integrationResponses responseParameters passthroughBehavior"
)
_APART = (  # change no answer here that another warning does not name
    "apiId cacheKeyParameters cacheNamespace connectionId credentials credentialsArn description"
    " templateSelectionExpression"
)
_VARIABLE = re.compile(r"(?<!\$)\{([^{}]*?)(\+?)\}")


def lowered(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return CloudFormation's properties under OpenAPI's names: `Type` is `type`."""
    return {name[:1].lower() + name[1:]: one for name, one in value.items()}


def route_of(draft: Draft, api: ApiDraft, key: str, given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the route of an integration.

    Args:
        draft: the configuration.
        api: to which the route belongs.
        key: the route key.
        given: the integration, under OpenAPI's names.
        path: in the template.
    """
    integration = lowered(given)
    kind = str(integration.get("type") or integration.get("integrationType") or "").lower()
    _note_unused(draft, kind, key, given, path)
    uri = integration.get("uri") or integration.get("integrationUri") or ""
    subtype = integration.get("integrationSubtype")
    if subtype:
        return draft.not_implemented(path, f"the service integration {subtype} is not emulated")
    conversion = integration.get("contentHandling") or integration.get("contentHandlingStrategy")
    if conversion and kind != "mock":
        draft.template.note(path, f"bodies are not converted: {conversion} has no effect")
    if kind == "mock":
        return _mock(draft, api, integration, path)
    if kind == "aws_proxy" and isinstance(uri, str):
        route = draft.function_route(uri, path)
        if "function" in route:
            _with_function_settings(route, api, integration)
            _with_mappings(draft, route, integration, path)
        return route
    if kind in ("http_proxy", "http"):
        return _proxy(draft, api, key, kind, integration, str(uri), path)
    if _LAMBDA.search(str(uri)):
        return draft.not_implemented(path, "a Lambda integration with mapping templates is not emulated")
    service = re.search(r"apigateway:[^:]*:([\w-]+):", str(uri))
    if service is None:
        return draft.not_implemented(path, f"the integration {kind or uri or 'without a type'!r} is not emulated")
    return draft.not_implemented(path, f"the service integration {service[1]} is not emulated")


def _note_unused(draft: Draft, kind: str, key: str, given: Mapping[str, Any], path: Path) -> None:
    """Note the properties of an integration that have no effect."""
    for name, value in given.items():
        known = name[:1].lower() + name[1:]
        if known not in f"{_READ} {_APART}".split() and value not in (None, False, "false", [], {}, "BUFFERED"):
            draft.template.note((*path, name), "this property has no effect here")
        strict = known == "passthroughBehavior" and str(value).upper() in ("NEVER", "WHEN_NO_TEMPLATES")
        if strict and kind in ("mock", "http") and not key.startswith("OPTIONS"):  # preflights have no content type
            message = "a request of another content type than those of the templates is not refused with 415"
            draft.template.note((*path, name), message)


def _with_function_settings(route: dict[str, Any], api: ApiDraft, integration: Mapping[str, Any]) -> None:
    version = str(integration.get("payloadFormatVersion") or ("1.0" if api.kind == "http" else ""))
    if api.kind == "http" and version in ("1.0", "2.0"):
        route["payload_format"] = version
    timeout = seconds(integration.get("timeoutInMillis"))
    if timeout is not None:
        route["timeout"] = timeout


def seconds(milliseconds: Any) -> Any:
    """Return a timeout within the bounds of the gateway; None for none, and any other value as it is."""
    number = as_number(milliseconds)
    return min(30.0, max(0.05, number / 1000)) if isinstance(number, int | float) else number


# --- HTTP


def _proxy(
    draft: Draft, api: ApiDraft, key: str, kind: str, integration: Mapping[str, Any], uri: str, path: Path
) -> dict[str, Any]:
    if str(integration.get("connectionType", "")).upper() == "VPC_LINK":
        return draft.not_implemented(path, "a VPC link is not emulated")
    if not re.match(r"https?://[^/]", uri):
        return draft.not_implemented(path, f"the backend {uri!r} cannot be reached from here")
    templates = as_mapping(integration.get("requestTemplates"))
    if kind == "http" and any(not _is_passed(text) for text in templates.values()):
        return draft.not_implemented(path, "mapping templates (VTL) are not emulated")
    segments = VARIABLE.findall(key)
    renamed: dict[str, str] = {}
    for name, source in _parameters(integration).items():
        if name.startswith("integration.request.path.") and str(source).startswith("method.request.path."):
            renamed[name.rpartition(".")[2]] = str(source).rpartition(".")[2]
    known: dict[str, str] = dict(segments)

    def variable(found: re.Match[str]) -> str:
        name: str = renamed.get(found[1], found[1])
        return "{" + name + known.get(name, "?") + "}"

    address = _VARIABLE.sub(variable, uri)
    problem = _problem_of(address)
    if problem:
        return draft.not_implemented(path, problem)
    proxy: dict[str, Any] = {"to": address}
    timeout = seconds(integration.get("timeoutInMillis"))
    if timeout is not None:
        proxy["timeout"] = timeout
    security = lowered(as_mapping(integration.get("tlsConfig")))
    if "serverNameToVerify" in security:
        draft.template.note(path, "the certificate is checked for the host of the address alone")
    if is_true(security.get("insecureSkipVerification")):
        proxy["verify"] = not address.startswith("https")
    route = {"proxy": proxy}
    _with_mappings(draft, route, integration, path)
    if kind == "http":
        message = "the backend gets all headers and parameters of the query, also those without a mapping"
        draft.template.note(path, message)
        if integration.get("responses") or integration.get("integrationResponses"):
            message = "the answer is that of the backend: mappings of answers by status are not emulated"
            draft.template.note(path, message)
    names = ("httpMethod", "integrationHttpMethod", "integrationMethod")
    method = str(next((integration[name] for name in names if integration.get(name)), "ANY")).upper()
    if method not in ("ANY", key.partition(" ")[0]):
        if method in OWN_METHODS and address.startswith("http"):
            proxy["method"] = method
        else:
            draft.template.note(path, f"the backend gets the method of the request, not {method}")
    return route


def _problem_of(address: str) -> str:
    """Return why the gateway cannot use an address; empty for one that it can use."""
    missing = re.findall(r"\{([^{}]*)\?\}", address)
    if missing:
        return f"the address has a variable {missing[0]!r} that the route has not"
    plain = re.sub(r"\$\{stageVariables\.\w+\}", "x", address)
    try:
        url = urlsplit(VARIABLE.sub("x", plain))
        whole = urlsplit(plain)
        usable = bool(url.hostname) and (url.port or 1) > 0 and "@" not in url.netloc and not url.fragment
    except ValueError:
        usable = False
    if not usable or set("{}$") & set(url.geturl()) or "{" in whole.netloc or "{" in whole.query:
        return f"the address {address!r} cannot be used here"
    return ""


def is_header(name: str, text: str) -> bool:
    """Whether a mock or a gateway response may have a header."""
    try:
        Transform({f"overwrite:header.{name}": text})
    except ValueError:
        return False
    return True


def _is_passed(text: Any) -> bool:
    """Whether a mapping template passes the body on as it is."""
    return re.sub(r"\s", "", str(text)) in ("", "$input.json('$')", "$input.body", '$input.json("$")')


def _parameters(integration: Mapping[str, Any]) -> dict[str, Any]:
    return as_mapping(integration.get("requestParameters"))


def _with_mappings(draft: Draft, route: dict[str, Any], integration: Mapping[str, Any], path: Path) -> None:
    """Add the mappings of headers, parameters and the path to a route; note those that are not done."""
    found = {}
    for name, source in _parameters(integration).items():
        rule, value = _rule(name, source)
        if rule is None:
            continue
        try:
            Transform({rule: value})
        except ValueError:
            draft.template.note(path, f"the mapping {name!r} is not emulated")
            continue
        found[rule] = value
    if found:
        route["request"] = found
    if integration.get("responseParameters"):
        draft.template.note(path, "mappings of answers by status are not emulated")


def _rule(name: str, source: Any) -> tuple[str | None, str]:
    text = str(source)
    if re.match(r"(append|overwrite|remove):", name):
        return name, text.replace("${request", "$request")
    _, _, target = name.partition("integration.request.")
    place, _, field = target.partition(".")
    if place == "path" or (text == f"method.request.{target}" and place == "querystring"):  # done without a rule
        return None, ""
    if place not in ("header", "querystring"):
        return name, text
    value = as_template(text)
    return f"overwrite:{place}.{field}", text if value is None else value


def as_template(source: Any) -> str | None:
    """Return the source of a mapping as a text with `$variables`; None for one that cannot be read."""
    text = str(source)
    if re.fullmatch("'.*'", text):
        return text[1:-1]
    if text.startswith("method.request."):
        return "$" + text.removeprefix("method.")
    if text.startswith("context."):
        return f"${text}"
    return "${" + text + "}" if text.startswith("stageVariables.") else None


# --- mocks


def _mock(draft: Draft, api: ApiDraft, integration: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return a mock whose templates are plain; one with VTL is not emulated."""
    templates = as_mapping(integration.get("requestTemplates"))
    request = str(next(iter(templates.values()), ""))
    if api.kind == "websocket":
        if any(re.sub(r"[\s\"']", "", str(one)) != "{statusCode:200}" for one in templates.values()):
            draft.template.note(path, "the templates of this mock have no effect")
        return {"mock": {}}
    found = re.search(r"""["']?statusCode["']?\s*:\s*(\d{3})\b""", request)
    if _VTL.search(request):
        return draft.not_implemented(path, "mapping templates (VTL) are not emulated")
    if found is None:
        draft.template.note(path, "this mock answers 500, as there: its request template has no statusCode of digits")
        return {"mock": {"status": 500, "body": '{"message": "Internal server error"}'}}
    status = found[1]
    response = _response(integration, status)
    status = str(response.get("statusCode") or status)
    headers: dict[str, str] = {}
    for name, value in as_mapping(response.get("responseParameters")).items():
        if re.fullmatch("'[^']*'", str(value)) and is_header(name.rpartition("header.")[2], str(value)[1:-1]):
            headers[name.rpartition("header.")[2]] = str(value)[1:-1]
        else:
            draft.template.note(path, f"the mapping {name!r} is not emulated")
    templates = as_mapping(response.get("responseTemplates"))
    body = next((str(_as_text(text)) for text in templates.values()), "")
    if _VTL.search(body) or not _is_text(body):
        return draft.not_implemented(path, "mapping templates (VTL) are not emulated")
    mock: dict[str, Any] = {"status": int(status) if 200 <= int(status) <= 599 else 200}
    kind = next(iter(templates), "application/json")
    if kind != "application/json":
        headers.setdefault("content-type", kind)
    return {"mock": {**mock, **({"headers": headers} if headers else {}), **({"body": body} if body else {})}}


def _response(integration: Mapping[str, Any], status: str) -> dict[str, Any]:
    """Return the response that is selected for a status, or else the default one."""
    given = integration.get("responses") or integration.get("integrationResponses") or {}
    if isinstance(given, dict):
        entries = [(str(pattern), lowered(as_mapping(one))) for pattern, one in given.items()]
    else:
        listed = [lowered(as_mapping(one)) for one in as_list(given)]
        entries = [(str(one.get("selectionPattern") or "default"), one) for one in listed]
    for pattern, one in entries:
        try:
            if pattern != "default" and re.fullmatch(pattern, status):
                return one
        except re.error:
            continue
    same = [one for _, one in entries if str(one.get("statusCode")) == status]
    default = [one for pattern, one in entries if pattern == "default"]
    return next(iter([*same, *default, *(one for _, one in entries)]), {})


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _is_text(text: str) -> bool:
    try:
        Text(text)
    except ValueError:
        return False
    return True
