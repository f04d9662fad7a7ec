"""The names of the `$variables` that a template may have."""

from ..http.errors import BadValue

CONTEXT = (
    "requestId", "requestTime", "requestTimeEpoch", "identity.sourceIp", "identity.apiKeyId", "identity.userAgent",
    "httpMethod", "path", "routeKey", "stage", "status", "protocol", "responseLength", "responseLatency",
    "integration.status", "integration.latency", "integration.error", "error.message", "error.responseType",
    "error.reason", "error.validationErrorString", "domainName", "apiId", "deployment", "isCanaryRequest",
    "throttle.level", "throttle.shadow", "connectionId", "eventType", "identity.caller", "identity.user",
    "resourcePath", "extendedRequestId", "integrationErrorMessage", "integrationStatus", "integrationLatency",
)  # fmt: skip
REQUEST = ("header", "path", "querystring", "body")


def check_name(name: str) -> None:
    """Raise a BadValue for an unknown variable. One without a dot is a variable of the route."""
    space, dot, rest = name.partition(".")
    kind, _, inner = rest.partition(".")
    if space == "context" and rest not in CONTEXT and not (kind == "authorizer" and inner):
        raise BadValue(f"$context has no {rest!r}, but {', '.join(CONTEXT)}, error.messageString and authorizer.NAME")
    if space == "request" and not (kind in REQUEST and inner):
        raise BadValue(f"$request has no {rest!r}, but {', '.join(f'{one}.NAME' for one in REQUEST)}")
    if dot and space not in ("context", "request", "stageVariables"):
        raise BadValue(f"variable: expected one of context, request or stageVariables, got {name!r}")
