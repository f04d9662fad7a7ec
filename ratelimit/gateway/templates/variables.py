"""What `$context.x` stands for, and which `$variables` there are."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..routing.table import BadValue

if TYPE_CHECKING:
    from ..exchange import Exchange


CONTEXT: dict[str, Callable[["Exchange"], Any]] = {
    "requestId": lambda x: x.id,
    "requestTime": lambda x: datetime.fromtimestamp(x.came_ns // 10**9, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
    "requestTimeEpoch": lambda x: x.came_ns // 1_000_000,
    "identity.sourceIp": lambda x: x.client,
    "identity.apiKeyId": lambda x: x.key,
    "identity.userAgent": lambda x: x.header("user-agent"),
    "httpMethod": lambda x: x.scope.get("method", "GET"),
    "path": lambda x: (x.scope.get("raw_path") or x.scope["path"].encode()).decode("latin-1"),
    "routeKey": lambda x: x.route and x.route.key,
    "stage": lambda x: x.side and x.side.stage.name,
    "status": lambda x: x.status,
    "protocol": lambda x: f"HTTP/{x.scope.get('http_version', '1.1')}",
    "responseLength": lambda x: str(x.response_length),
    "responseLatency": lambda x: x.age_ns // 1_000_000,
    "integration.status": lambda x: x.integration_status or None,
    "integration.latency": lambda x: x.integration_ns // 1_000_000,
    "integration.error": lambda x: x.integration_error,
    "error.message": lambda x: x.error,
    "error.responseType": lambda x: x.error_type,
    "domainName": lambda x: x.header("host"),
    "apiId": lambda x: x.api_name,
    "deployment": lambda x: x.side and (x.side.deployment or "current"),
    "isCanaryRequest": lambda x: str(bool(x.side and x.side.canary)).lower(),
    "throttle.level": lambda x: x.ruling and x.ruling.level,
    "throttle.shadow": lambda x: x.ruling and x.ruling.shadow,
    "connectionId": lambda x: x.connection,
    "eventType": lambda x: x.event_type,
}
REQUEST = ("header", "path", "querystring", "body")


def check_name(name: str) -> None:
    """Raise a BadValue for a variable that there never is. One without a dot is a route's."""
    space, dot, rest = name.partition(".")
    kind, _, inner = rest.partition(".")
    if space == "context" and rest not in CONTEXT and not (kind == "authorizer" and inner):
        raise BadValue(f"$context has no {rest!r}, but {', '.join(CONTEXT)}, error.messageString and authorizer.NAME")
    if space == "request" and not (kind in REQUEST and inner):
        raise BadValue(f"$request has no {rest!r}, but {', '.join(f'{one}.NAME' for one in REQUEST)}")
    if dot and space not in ("context", "request", "stageVariables"):
        raise BadValue(f"a variable is of context, request or stageVariables, not {name!r}")
