"""The gateway's own answers, by type."""

import json
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from ..http.headers import Header, header_value
from ..http.response import Response
from .template import Scope, Template, escape_of, in_json

# type -> status, message, and the value of x-amzn-ErrorType
TYPES: dict[str, tuple[int, str, str]] = {
    "ACCESS_DENIED": (403, "Forbidden", "AccessDeniedException"),
    "AUTHORIZER_FAILURE": (500, "Internal Server Error", "AuthorizerConfigurationException"),
    "BAD_REQUEST": (400, "Bad Request", "BadRequestException"),
    "BAD_REQUEST_BODY": (400, "Invalid request body", "BadRequestException"),
    "BAD_REQUEST_PARAMETERS": (400, "Missing required request parameters", "BadRequestException"),
    "FUNCTION_FAILURE": (502, "Internal server error", "InternalServerErrorException"),
    "HEADERS_TOO_LARGE": (431, "Request Header Fields Too Large", "RequestHeaderFieldsTooLargeException"),
    "INTEGRATION_FAILURE": (504, "Network error communicating with endpoint", "InternalServerErrorException"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out", "InternalServerErrorException"),
    "INTERNAL_ERROR": (500, "Internal Server Error", "InternalServerErrorException"),
    "INVALID_API_KEY": (403, "Forbidden", "ForbiddenException"),
    "LIMITER_FAILURE": (503, "Service Unavailable", "ServiceUnavailableException"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token", "MissingAuthenticationTokenException"),
    "OVERLOADED": (503, "Service Unavailable", "ServiceUnavailableException"),
    "QUOTA_EXCEEDED": (429, "Limit Exceeded", "LimitExceededException"),
    "REQUEST_TIMEOUT": (408, "Request Timeout", "RequestTimeoutException"),
    "REQUEST_TOO_LARGE": (413, "Request Too Long", "RequestEntityTooLargeException"),
    "RESOURCE_NOT_FOUND": (404, "Not Found", "NotFoundException"),
    "THROTTLED": (429, "Too Many Requests", "TooManyRequestsException"),
    "UNAUTHORIZED": (401, "Unauthorized", "UnauthorizedException"),
    "UNSUPPORTED_VERSION": (505, "HTTP Version Not Supported", "HttpVersionNotSupportedException"),
}
RESULTS = {"THROTTLED": "throttled", "QUOTA_EXCEEDED": "quota_exceeded"}  # in the metrics; others are by status
MESSAGE = "context.error.message"
PROBLEM = "https://iana.org/assignments/http-problem-types#"


class ResponseSettings(Protocol):
    """The settings of one type."""

    @property
    def status(self) -> int | None: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> str | None: ...


class _Message(NamedTuple):
    """The scope of an answer whose only variable is its message."""

    message: str

    def lookup(self, name: str) -> str:
        return self.message


class GatewayResponses:
    """The gateway's answers by type, with DEFAULT_4XX and DEFAULT_5XX for types that are not given.

    Args:
        given: those of the configuration.
        problem_json: 429 and 503 bodies by RFC 9457 where no body is given.

    Attributes:
        by_type: all of them.
    """

    def __init__(self, given: Mapping[str, ResponseSettings], problem_json: bool = False) -> None:
        known = {*TYPES, "DEFAULT_4XX", "DEFAULT_5XX"}
        for type in given:
            if type not in known:
                raise ValueError(f"unknown gateway response {type!r} (choose from {', '.join(sorted(known))})")
        self.by_type = {type: GatewayResponse(type, given, problem_json) for type in TYPES}


class GatewayResponse:
    """The answer of one type.

    Attributes:
        status: its status.
        message: its text, for the log.
        result: what the metrics count it as.
        constant: the answer with its own message, if it has no other variables and needs no more headers.
    """

    def __init__(self, type: str, given: Mapping[str, ResponseSettings], problem_json: bool) -> None:
        status, self.message, self._error_type = TYPES[type]
        fallback, own = given.get("DEFAULT_4XX" if status < 500 else "DEFAULT_5XX"), given.get(type)
        sources = [one for one in (own, fallback) if one is not None]  # the first that has a setting counts
        self.status = next((one.status for one in sources if one.status), status)
        self.result = RESULTS.get(type, "denied" if self.status < 500 else "failed")
        body, self._kind = next((one.body for one in sources if one.body is not None), None), b"application/json"
        if body is None and problem_json and self.status in (429, 503):
            body, self._kind = problem(self.status, self.message), b"application/problem+json"
        elif body is None:
            body = '{"message":"$context.error.message"}'
        headers = {name.lower(): text for one in reversed(sources) for name, text in one.headers.items()}
        content_type = headers.get("content-type", self._kind.decode())
        self._body = Template(body, escape_of(content_type, in_json if body.lstrip().startswith("{") else str))
        self._headers = [(name.encode(), Template(text)) for name, text in headers.items()]
        names = {name for one in (self._body, *(template for _, template in self._headers)) for name in one.names}
        self.constant = self.fill(_Message(self.message), ()) if names <= {MESSAGE} else None

    def fill(self, scope: Scope | None, more: tuple[Header, ...] = ()) -> Response:
        """Return the answer to one request; raise BadValue where a value cannot be written."""
        content = self._body.fill(scope).encode()
        given = [(name, header_value(name.decode(), template.fill(scope))) for name, template in self._headers]
        headers = {b"content-type": self._kind, b"x-amzn-errortype": self._error_type.encode(), **dict(more)}
        others = [header for header in headers.items() if header[0] not in dict(given)]
        return Response(self.status, [*others, *given, (b"content-length", b"%d" % len(content))], content)


def problem(status: int, message: str) -> str:
    """Return the template of a body by RFC 9457."""
    if status == 503:
        return json.dumps({"title": message, "status": status, "type": PROBLEM + "temporary-reduced-capacity"})
    violated = ["$context.throttle.level"]
    kind = PROBLEM + "quota-exceeded"
    return json.dumps({"title": message, "status": status, "type": kind, "violated-policies": violated})
