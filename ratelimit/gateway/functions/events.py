"""Events, as Amazon API Gateway passes them to functions. Each belongs to one call: none of its parts is shared."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

from ..exchange import Exchange
from ..http.body import is_utf8
from ..http.headers import Headers, combine
from ..http.paths import SLASH

ACCOUNT, REGION = "123456789012", "us-east-1"
TEXT_TYPES = ("text/*", "application/json", "application/*+json", "application/javascript", "application/xml",
              "application/*+xml")  # fmt: skip
_SPELLINGS = {"dnt": "DNT", "etag": "ETag", "te": "TE", "www-authenticate": "WWW-Authenticate"}
_IDENTITY = (
    "accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType",
    "cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId", "user", "userArn",
)  # fmt: skip


class Events:
    """Makes the events of one API.

    Args:
        kind: of the API: http, rest or websocket.
        format: of the payload. A REST API has 1.0 alone; that of a WebSocket API is like it.
        binary_types: of a REST API, the content types of bodies that are binary, such as `image/*`.
    """

    def __init__(self, kind: str, format: str = "2.0", binary_types: Sequence[str] = ()) -> None:
        self.kind = kind
        self.format = format if kind == "http" else "1.0"
        self._binary_types = binary_types

    def make(
        self,
        exchange: Exchange,
        body: bytes,
        headers: Headers | None = None,
        path: str = "",
        query: bytes | None = None,
    ) -> dict[str, Any]:
        """Return the event of a request.

        Args:
            exchange: the request.
            body: of the request.
            headers: in place of those that the client sent.
            path: within the stage, encoded, in place of that of the request.
            query: encoded, likewise.
        """
        request = exchange.request
        headers = request.vouched_headers() if headers is None else headers
        query = request.raw_query if query is None else query
        if self.kind == "websocket":
            return _websocket(exchange, body, headers, query)
        content, encoded = self._body(body, request.header("content-type") or "")
        make = _v2 if self.format == "2.0" else _v1
        event = make(exchange, headers, path, query, self.kind)
        if content is not None or self.format == "1.0":
            event["body"] = content
        event["isBase64Encoded"] = encoded
        return event

    def for_authorizer(self, exchange: Exchange, form: str, identity: Sequence[str]) -> dict[str, Any]:
        """Return the event of an authorizer.

        Args:
            exchange: the request.
            form: "token", "1.0" or "2.0".
            identity: the values of the identity sources.
        """
        arn, query = method_arn(exchange), exchange.request.raw_query
        if form == "token":
            return {"type": "TOKEN", "authorizationToken": identity[0] if identity else "", "methodArn": arn}
        if form == "2.0":
            event = _v2(exchange, exchange.request.vouched_headers(), "", query, self.kind)
            return {**event, "type": "REQUEST", "routeArn": arn, "identitySource": list(identity)}
        if self.kind == "websocket":
            event = _websocket(exchange, b"", exchange.request.vouched_headers(), query)
            del event["isBase64Encoded"]
        else:
            event = _v1(exchange, exchange.request.vouched_headers(), "", query, self.kind)
        if self.kind == "http":
            event.update(identitySource=",".join(identity), authorizationToken=identity[0] if identity else "")
        return {**event, "type": "REQUEST", "methodArn": arn}

    def _body(self, body: bytes, content_type: str) -> tuple[str | None, bool]:
        """Return the body as text, and whether it is base64."""
        if not body:
            return None, False
        kind = content_type.partition(";")[0].strip().lower()
        if self.kind == "rest":
            encoded = matches(kind, self._binary_types)
        else:
            encoded = not matches(kind, TEXT_TYPES) if kind else not is_utf8(body)
        return (base64.b64encode(body).decode() if encoded else body.decode("utf-8", "replace")), encoded

    def is_binary(self, exchange: Exchange, headers: Mapping[str, Any]) -> bool:
        """Whether a base64 answer is decoded: in a REST API only if the client accepts one of the binary types."""
        if self.kind != "rest":
            return True
        accept = exchange.request.header("accept") or str(headers.get("content-type", ""))
        first = accept.partition(",")[0].partition(";")[0].strip().lower()
        return matches(first, self._binary_types)


def matches(kind: str, patterns: Sequence[str]) -> bool:
    """Whether a content type is one of those that patterns such as `image/*` name; `*/*` is also a missing one."""
    return "*/*" in patterns or any(fnmatchcase(kind, pattern.lower()) for pattern in patterns)


def whole_path(exchange: Exchange, path: str) -> str:
    """Return the path, encoded, that begins with the name of the stage, unless that is `$default`."""
    stage = exchange.destination.stage
    within = path or "/" + "/".join(exchange.raw_segments())
    return within if stage == "$default" else f"/{stage}{within}"


def method_arn(exchange: Exchange) -> str:
    """Return the name of a request in IAM policies."""
    destination = exchange.destination
    path = destination.path.replace(SLASH, "/")
    if destination.greedy_start < 0 and not destination.route.endswith(("/", "$default")):
        path = path.removesuffix("/")  # a statement about `/a` holds for `/a/`, which is the same route
    what = f"{exchange.request.method}{path}"
    if exchange.request.websocket.connection:
        what = destination.route
    return f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{destination.api}/{destination.stage}/{what}"


def resource_of(route: str) -> str:
    """Return the path of a route key."""
    return route.partition(" ")[2] or route


def _parameters(query: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found


def _host(exchange: Exchange) -> tuple[str, str]:
    """Return the domain by which the client came, and its first part."""
    host = exchange.request.header("host") or ""
    return host, host.partition(".")[0].partition(":")[0]


def spelled(headers: Headers) -> dict[str, list[str]]:
    """Return the values of headers under the names that HTTP/1.1 clients write, such as `User-Agent`."""
    found: dict[str, list[str]] = {}
    for raw, value in headers:
        name = raw.decode("latin-1")
        text = _SPELLINGS.get(name) or name.title().replace("Websocket", "WebSocket")
        found.setdefault(text, []).append(value.decode("latin-1"))
    return found


# --- format 2.0


def _v2(exchange: Exchange, headers: Headers, path: str, query: bytes, kind: str) -> dict[str, Any]:
    request, destination = exchange.request, exchange.destination
    raw_path = whole_path(exchange, path)
    domain, prefix = _host(exchange)
    cookies = [one for name, value in headers if name == b"cookie" for one in value.decode("latin-1").split("; ")]
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": destination.route,
        "rawPath": raw_path,
        "rawQueryString": query.decode("latin-1"),
        "headers": combine([one for one in headers if one[0] != b"cookie"], ","),
        "requestContext": {
            "accountId": ACCOUNT, "apiId": destination.api, "domainName": domain, "domainPrefix": prefix,
            "http": {
                "method": request.method, "path": raw_path, "protocol": f"HTTP/{request.version}",
                "sourceIp": request.client, "userAgent": request.header("user-agent") or "",
            },
            "requestId": request.id, "routeKey": destination.route, "stage": destination.stage,
            "time": exchange.lookup("context.requestTime"), "timeEpoch": exchange.lookup("context.requestTimeEpoch"),
        },
    }  # fmt: skip
    parameters = {name: ",".join(values) for name, values in _parameters(query).items()}
    optional = {
        "cookies": cookies,
        "queryStringParameters": parameters,
        "pathParameters": dict(destination.path_variables),
        "stageVariables": dict(destination.stage_variables),
    }
    event.update((name, value) for name, value in optional.items() if value)
    if exchange.caller.authorizer:
        event["requestContext"]["authorizer"] = authorizer_v2(exchange.caller.authorizer)
    return event


def authorizer_v2(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an authorizer found as format 2.0 nests it."""
    kind = "jwt" if "claims" in given else "lambda"
    return {kind: deepcopy(dict(given))}


# --- format 1.0, and the events of WebSocket APIs


def _v1(exchange: Exchange, headers: Headers, path: str, query: bytes, kind: str) -> dict[str, Any]:
    request, destination, caller = exchange.request, exchange.destination, exchange.caller
    resource = resource_of(destination.route)
    whole = whole_path(exchange, "")
    within = destination.path.replace(SLASH, "/")
    if kind == "http" or path:  # its path has that of the stage, too
        within = whole_path(exchange, path)
    context = {
        **_context(exchange),
        "accountId": ACCOUNT, "resourceId": f"{zlib.crc32(resource.encode()):08x}", "resourcePath": resource,
        "httpMethod": request.method, "path": whole, "protocol": f"HTTP/{request.version}",
    }  # fmt: skip
    context["identity"].update(dict.fromkeys(_IDENTITY))
    if caller.key:
        context["identity"].update(apiKeyId=caller.key, apiKey=request.header("x-api-key"))
    event = {
        "resource": resource,
        "path": within,
        "httpMethod": request.method,
        **_multi(headers, query),
        "pathParameters": dict(destination.path_variables) or None,
        "stageVariables": dict(destination.stage_variables) or None,
        "requestContext": context,
    }
    return {"version": "1.0", **event} if kind == "http" else event


def _multi(headers: Headers, query: bytes) -> dict[str, Any]:
    fields, parameters = spelled(headers), _parameters(query)
    return {
        "headers": {name: values[-1] if name != "Cookie" else "; ".join(values) for name, values in fields.items()},
        "multiValueHeaders": fields,
        "queryStringParameters": {name: values[-1] for name, values in parameters.items()} or None,
        "multiValueQueryStringParameters": parameters or None,
    }


def _context(exchange: Exchange) -> dict[str, Any]:
    request, destination, caller = exchange.request, exchange.destination, exchange.caller
    domain, prefix = _host(exchange)
    context: dict[str, Any] = {
        "apiId": destination.api, "domainName": domain, "domainPrefix": prefix, "extendedRequestId": request.id,
        "identity": {"sourceIp": request.client, "userAgent": request.header("user-agent")},
        "requestId": request.id, "requestTime": exchange.lookup("context.requestTime"),
        "requestTimeEpoch": exchange.lookup("context.requestTimeEpoch"), "stage": destination.stage,
    }  # fmt: skip
    if caller.authorizer:
        context["authorizer"] = deepcopy(dict(caller.authorizer))
    return context


def _websocket(exchange: Exchange, body: bytes, headers: Headers, query: bytes) -> dict[str, Any]:
    request, destination = exchange.request, exchange.destination
    websocket = request.websocket
    context = {
        **_context(exchange),
        "connectedAt": websocket.connected_ms, "connectionId": websocket.connection, "eventType": websocket.type,
        "messageDirection": "IN", "routeKey": destination.route,
    }  # fmt: skip
    event: dict[str, Any] = {"requestContext": context, "isBase64Encoded": False}
    if websocket.type == "MESSAGE":
        context["messageId"] = request.id
        encoded = not is_utf8(body)
        event.update(body=base64.b64encode(body).decode() if encoded else body.decode(), isBase64Encoded=encoded)
    elif websocket.type == "CONNECT":
        event.update((name, value) for name, value in _multi(headers, query).items() if value)
    else:
        context.update(disconnectStatusCode=websocket.code, disconnectReason=websocket.reason)
        event.update(_multi([one for one in headers if one[0] in (b"host", b"x-api-key")], query))
        del event["queryStringParameters"], event["multiValueQueryStringParameters"]
    if destination.stage_variables:
        event["stageVariables"] = dict(destination.stage_variables)
    return event
