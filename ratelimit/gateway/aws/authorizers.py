"""Authorizers, CORS and gateway responses of templates."""

import re
from collections.abc import Mapping
from typing import Any

from ..._configuration.problems import ConfigurationError, Path, Problem
from ..templates.gateway_responses import TYPES
from ..templates.template import Template as Text
from .draft import ApiDraft, Draft
from .integrations import as_template, is_header, lowered
from .intrinsics import REGION
from .resource import Resource
from .values import as_list, as_mapping, as_number, is_true

AUTHORIZED = ("CUSTOM", "JWT", "COGNITO_USER_POOLS")  # the types of authorization that an authorizer gives
HEADER = "$request.header.Authorization"


def add_authorizer(draft: Draft, api: ApiDraft, name: str, made: dict[str, Any] | None, path: Path) -> None:
    """Add an authorizer to an API, if it could be made."""
    if made is not None:
        api.add("authorizers", name, made, path)


def secure(draft: Draft, api: ApiDraft, route: dict[str, Any], resource: Resource) -> None:
    """Require the authorizer that a method or a route of CloudFormation names, or close it if that is not here."""
    kind, name = str(resource.get("AuthorizationType", "NONE")).upper(), str(resource.get("AuthorizerId", ""))
    of_tokens = "COGNITO_USER_POOLS" if api.kind == "rest" else "JWT"
    if kind in ("CUSTOM", of_tokens) and name in api.authorizers:
        api.require(route, name, as_list(resource.get("AuthorizationScopes")))
    elif kind in AUTHORIZED:
        draft.close(route, resource.path, name)
    elif kind != "NONE":
        draft.template.note(resource.path, f"the authorization {kind} is not checked")


def of_function(
    draft: Draft, uri: Any, identity: Any, ttl: Any, event: str, path: Path, pattern: Any = None
) -> dict[str, Any]:
    """Return an authorizer that calls a function."""
    sources = [source for one in as_list(identity) if _is_source(draft, source := source_of(str(one)), path)]
    made: dict[str, Any] = {"function": draft.declared(uri, path), "event": event}
    seconds = 300 if ttl is None else as_number(ttl)
    made["identity"] = sources or ([HEADER] if event == "token" else [])
    made["ttl"] = seconds if made["identity"] else 0
    if pattern:
        try:
            re.compile(str(pattern))
            made["pattern"] = str(pattern)
        except re.error as error:
            draft.template.note(path, f"the expression {pattern!r} is not checked: {error}")
    return made


def _is_source(draft: Draft, source: str, path: Path) -> bool:
    return _is_text(draft, source, path, f"the identity source {source!r}")


def source_of(text: str) -> str:
    """Return an identity source as a variable: `method.request.header.X` is `$request.header.X`."""
    text = text.strip().removeprefix("method.").removeprefix("route.")
    return text if text.startswith("$") else f"${text}"


def jwt(issuer: Any, audience: Any, identity: Any = None) -> dict[str, Any]:
    """Return an authorizer that checks JSON Web Tokens."""
    made: dict[str, Any] = {"issuer": str(issuer)}
    audiences = [str(one) for one in as_list(audience)]
    if audiences:
        made["audience"] = audiences
    sources = [source_of(str(one)) for one in as_list(identity)]
    return {"jwt": made, "identity": sources or [HEADER]}


def cognito(draft: Draft, arns: Any, identity: Any, expression: Any, path: Path) -> dict[str, Any]:
    """Return an authorizer for the tokens of a user pool. An expression is about their audience."""
    pools = [str(one) for one in as_list(arns)]
    arn = pools[0] if pools else ""
    for one in pools[1:]:
        draft.template.note(path, f"the tokens of the user pool {one} are refused: only those of {arn} are accepted")
    audience = str(expression) if expression and re.fullmatch(r"[\w-]+", str(expression)) else None
    if expression and audience is None:
        draft.template.note(path, f"the audience of tokens is not matched with {str(expression)!r}")
    pool = arn.rpartition("/")[2]
    if not re.fullmatch(r"[\w-]+_[A-Za-z0-9]+", pool):  # a parameter that is not given, or a resource of the template
        draft.template.note(path, f"no token is accepted: {arn!r} names no user pool of an account")
    parts = arn.split(":")
    region = parts[3] if len(parts) > 5 and parts[3] else REGION
    return jwt(f"https://cognito-idp.{region}.amazonaws.com/{pool}", audience, identity)


def from_scheme(draft: Draft, scheme: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
    """Return the authorizer of a security scheme; None for a scheme without one."""
    given = scheme.get("x-amazon-apigateway-authorizer")
    if not isinstance(given, dict):
        return None
    kind, identity = str(given.get("type", "")).lower(), given.get("identitySource")
    if kind == "cognito_user_pools" or (kind == "token" and not identity):
        identity = f"$request.header.{scheme.get('name', 'Authorization')}"
    return from_resource(draft, {**given, "identitySource": identity}, path)


def from_resource(draft: Draft, properties: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
    """Return the authorizer of a CloudFormation resource of either version."""
    given = lowered(properties)
    kind = str(given.get("type") or given.get("authorizerType") or "").upper()
    identity = given.get("identitySource")
    sources = [one for text in as_list(identity) for one in str(text).split(",")]
    ttl = given.get("authorizerResultTtlInSeconds")
    if kind == "JWT":
        settings = lowered(as_mapping(given.get("jwtConfiguration")))
        return jwt(settings.get("issuer"), settings.get("audience"), sources)
    if kind == "COGNITO_USER_POOLS":
        return cognito(draft, given.get("providerARNs"), sources, given.get("identityValidationExpression"), path)
    if kind not in ("TOKEN", "REQUEST"):
        return None
    event = "token" if kind == "TOKEN" else str(given.get("authorizerPayloadFormatVersion") or "1.0")
    pattern = given.get("identityValidationExpression")
    return of_function(draft, given.get("authorizerUri"), sources, ttl, event, path, pattern)


def from_sam(draft: Draft, api: ApiDraft, given: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
    """Return the authorizer of `Auth.Authorizers` of a SAM API."""
    identity = as_mapping(given.get("Identity"))
    settings = lowered(as_mapping(given.get("JwtConfiguration")))
    header = f"$request.header.{identity.get('Header', 'Authorization')}"
    if settings:
        return jwt(settings.get("issuer"), settings.get("audience"), given.get("IdentitySource"))
    if "UserPoolArn" in given:
        return cognito(draft, given["UserPoolArn"], header, identity.get("ValidationExpression"), path)
    if "FunctionArn" not in given and "AuthArn" not in given:
        return None
    sources = [
        f"${kind}.{name}"
        for kind, label in (("request.header", "Headers"), ("request.querystring", "QueryStrings"),
                            ("stageVariables", "StageVariables"), ("context", "Context"))
        for name in as_list(identity.get(label))
    ] + [source_of(str(one)) for one in as_list(given.get("IdentitySource"))]  # fmt: skip
    event = (
        "token" if api.kind == "rest" and str(given.get("FunctionPayloadType", "TOKEN")).upper() == "TOKEN" else "1.0"
    )
    if api.kind == "http":
        event = str(given.get("AuthorizerPayloadFormatVersion") or "2.0")
    if event == "token":
        sources = [header]
    uri, ttl = given.get("FunctionArn", given.get("AuthArn")), identity.get("ReauthorizeEvery")
    return of_function(draft, uri, sources, ttl, event, path, identity.get("ValidationExpression"))


# --- CORS


def with_cors(api: ApiDraft, given: Mapping[str, Any]) -> None:
    """Set the CORS of an HTTP API."""
    names = {
        "alloworigins": "allow_origins", "allowmethods": "allow_methods", "allowheaders": "allow_headers",
        "exposeheaders": "expose_headers", "maxage": "max_age", "allowcredentials": "allow_credentials",
    }  # fmt: skip
    found: dict[str, Any] = {}
    for name, value in given.items():
        ours = names.get(name.lower())
        if ours in ("max_age", "allow_credentials"):
            found[ours] = as_number(value) if ours == "max_age" else is_true(value)
        elif ours:
            found[ours] = [str(one) for one in as_list(value)]
    if found.get("allow_origins"):
        api.settings["cors"] = found


def preflights(api: ApiDraft, cors: Any, path: Path) -> None:
    """Add an OPTIONS method to each path of a REST API, as SAM does for its property Cors."""
    given = {"AllowOrigin": "'*'", **cors} if isinstance(cors, dict) else {"AllowOrigin": cors}
    credentials = is_true(given.get("AllowCredentials"))
    if credentials and _unquoted(given["AllowOrigin"]) == "*":
        raise ConfigurationError([Problem(path, "expected an AllowOrigin other than '*' with AllowCredentials")])
    paths: dict[str, list[str]] = {}
    for key in api.routes:
        method, _, place = key.partition(" ")
        paths.setdefault(place, []).append(method)
    for place, methods in paths.items():
        if "OPTIONS" in methods or not place:
            continue
        every = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"] if "ANY" in methods else methods
        headers = {
            "Access-Control-Allow-Origin": _unquoted(given.get("AllowOrigin")),
            "Access-Control-Allow-Methods": _unquoted(given.get("AllowMethods"))
            or ",".join(sorted({*every, "OPTIONS"})),
            "Access-Control-Allow-Headers": _unquoted(given.get("AllowHeaders")),
            "Access-Control-Max-Age": _unquoted(given.get("MaxAge")),
            "Access-Control-Allow-Credentials": "true" if credentials else "",
        }  # fmt: skip
        sent = {name: text for name, text in headers.items() if text and is_header(name, text)}
        api.add("routes", f"OPTIONS {place}", {"mock": {"headers": sent}}, path)


def _unquoted(value: Any) -> str:
    text = "" if value is None else str(value)
    return text[1:-1] if re.fullmatch("'.*'", text) else text


# --- gateway responses


def gateway_responses(draft: Draft, api: ApiDraft, given: Mapping[str, Any], path: Path) -> None:
    """Set the gateway responses of an API: those of types that can occur here."""
    found = api.settings.setdefault("responses", {})
    for kind, response in given.items():
        made = _gateway_response(draft, as_mapping(response), (*path, kind))
        if kind.upper() in (*TYPES, "DEFAULT_4XX", "DEFAULT_5XX"):
            found[kind.upper()] = made
        else:
            draft.template.note((*path, kind), f"answers of the kind {kind} do not occur here")


def _gateway_response(draft: Draft, given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    response = lowered(given)
    made: dict[str, Any] = {}
    status = str(response.get("statusCode") or "")
    if re.fullmatch("[45][0-9][0-9]", status):
        made["status"] = int(status)
    elif status:
        draft.template.note(path, f"the status {status} is not used: it is not from 400 to 599")
    parameters = as_mapping(response.get("responseParameters"))
    nested = as_mapping(parameters.get("Headers"))  # SAM's form
    flat = {name.rpartition("header.")[2]: value for name, value in parameters.items() if "header." in name}
    headers: dict[str, str] = {}
    for name, source in {**flat, **nested}.items():
        text = as_template(source)
        if text is not None and is_header(name, text):
            headers[name] = text
        else:
            draft.template.note(path, f"the header {name!r} with {source!r} is not sent")
    body = next((str(text) for text in as_mapping(response.get("responseTemplates")).values()), None)
    if headers:
        made["headers"] = headers
    if body is not None and _is_text(draft, body, path, "a part of this gateway response"):
        made["body"] = body
    return made


def _is_text(draft: Draft, text: str, path: Path, what: str) -> bool:
    try:
        Text(text)
    except ValueError as error:
        draft.template.note(path, f"{what} is not emulated: {error}")
        return False
    return True
