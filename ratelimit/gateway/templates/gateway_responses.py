"""What the gateway itself says: its answers by type."""

import json
from collections.abc import Iterable

from ..config.model import GatewayResponse
from ..exchange import Exchange, Refusal, Response
from ..templates.transform import Template, clean, in_json

# type -> status, message, and the value of x-amzn-ErrorType
TYPES: dict[str, tuple[int, str, str]] = {
    "ACCESS_DENIED": (403, "Forbidden", "AccessDeniedException"),
    "AUTHORIZER_FAILURE": (500, "Internal Server Error", "AuthorizerConfigurationException"),
    "BAD_REQUEST": (400, "Bad Request", "BadRequestException"),
    "FUNCTION_FAILURE": (502, "Internal server error", "InternalServerErrorException"),
    "INTEGRATION_FAILURE": (504, "Network error communicating with endpoint", "InternalServerErrorException"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out", "InternalServerErrorException"),
    "INTERNAL_ERROR": (500, "Internal Server Error", "InternalServerErrorException"),
    "INVALID_API_KEY": (403, "Forbidden", "ForbiddenException"),
    "LIMITER_FAILURE": (503, "Service Unavailable", "ServiceUnavailableException"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token", "MissingAuthenticationTokenException"),
    "QUOTA_EXCEEDED": (429, "Limit Exceeded", "LimitExceededException"),
    "REQUEST_TIMEOUT": (408, "Request Timeout", "RequestTimeoutException"),
    "REQUEST_TOO_LARGE": (413, "Request Too Long", "RequestEntityTooLargeException"),
    "RESOURCE_NOT_FOUND": (404, "Not Found", "NotFoundException"),
    "THROTTLED": (429, "Too Many Requests", "TooManyRequestsException"),
    "UNAUTHORIZED": (401, "Unauthorized", "UnauthorizedException"),
}
RESULTS = {"THROTTLED": "throttled", "QUOTA_EXCEEDED": "quota_exceeded"}  # in the metrics; others are by status
Header = tuple[bytes, bytes]
PROBLEM = "https://iana.org/assignments/http-problem-types#"


class Responses:
    """Gateway responses by type, with DEFAULT_4XX and DEFAULT_5XX for what is not given.

    Args:
        given: those of the API over those of all.
        problem_json: 429 and 503 bodies by RFC 9457 where none is given.
    """

    def __init__(self, given: dict[str, GatewayResponse], problem_json: bool = False) -> None:
        known = {*TYPES, "DEFAULT_4XX", "DEFAULT_5XX"}
        for type in given:
            if type not in known:
                raise ValueError(f"{type!r} is none of the gateway responses: {', '.join(sorted(known))}")
        self._own = {type: _Own(type, given, problem_json) for type in TYPES}

    def answer(self, exchange: Exchange, refusal: Refusal) -> Response:
        """The response of one refusal, without the fields about limits."""
        own = self._own[refusal.type]
        exchange.error, exchange.error_type = own.message, refusal.type
        exchange.status, exchange.result = own.status, own.result
        return own.ready if own.ready and not refusal.headers else own.made(exchange, refusal.headers)


class _Own:
    """The response of one type. `ready` is made in advance where nothing of the request is in it."""

    def __init__(self, type: str, given: dict[str, GatewayResponse], problem_json: bool) -> None:
        status, self.message, self._error_type = TYPES[type]
        fallback = given.get("DEFAULT_4XX" if status < 500 else "DEFAULT_5XX", GatewayResponse())
        own = given.get(type, GatewayResponse())
        self.status = own.status or fallback.status or status
        self.result = RESULTS.get(type, "denied" if self.status < 500 else "failed")
        body, self._kind = fallback.body if own.body is None else own.body, b"application/json"
        if body is None and problem_json and self.status in (429, 503):
            body, self._kind = problem(self.status, self.message), b"application/problem+json"
        elif body is None:
            body = f'{{"message":"{self.message}"}}'
        self._body = Template(body, in_json if body.lstrip().startswith("{") else str)
        headers = {**fallback.headers, **own.headers}
        self._headers = [(name.lower().encode(), Template(text)) for name, text in headers.items()]
        constant = not any(template.names for template in (self._body, *(template for _, template in self._headers)))
        self.ready = self.made(None) if constant else None

    def made(self, exchange: Exchange | None, more: Iterable[Header] = ()) -> Response:
        """The response, with the values of an exchange."""
        content = self._body.fill(exchange).encode()
        given = [(name, clean(name.decode(), template.fill(exchange))) for name, template in self._headers]
        headers = {b"content-type": self._kind, b"x-amzn-errortype": self._error_type.encode(), **dict(more)}
        kept = [header for header in headers.items() if header[0] not in dict(given)]
        return Response(self.status, [*kept, *given, (b"content-length", b"%d" % len(content))], content)


def problem(status: int, message: str) -> str:
    """A template of a body by RFC 9457."""
    if status == 503:
        return json.dumps({"title": message, "status": status, "type": PROBLEM + "temporary-reduced-capacity"})
    violated = ["$context.throttle.level"]
    kind = PROBLEM + "quota-exceeded"
    return json.dumps({"title": message, "status": status, "type": kind, "violated-policies": violated})
