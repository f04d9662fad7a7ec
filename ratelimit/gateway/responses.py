"""What the gateway itself says: its answers by type, and the fields that tell about limits."""

import json
from collections.abc import Iterable

from .exchange import Exchange, Refusal, Response
from .mapping import Template, clean
from .model import GatewayResponse

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
Header = tuple[bytes, bytes]
JSON = b"application/json"
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
        self.problem_json = problem_json
        self._ready: dict[str, tuple[bytes, list[Header]]] = {}
        self._own = {type: self._of(type, given) for type in TYPES}

    def _of(
        self, type: str, given: dict[str, GatewayResponse]
    ) -> tuple[int, list[tuple[bytes, Template]], Template | None]:
        fallback = given.get("DEFAULT_4XX" if TYPES[type][0] < 500 else "DEFAULT_5XX", GatewayResponse())
        own = given.get(type, GatewayResponse())
        body = fallback.body if own.body is None else own.body
        headers = [
            (name.lower().encode(), Template(text)) for name, text in {**fallback.headers, **own.headers}.items()
        ]
        escape = (lambda text: json.dumps(text)[1:-1]) if body and body.lstrip().startswith("{") else str
        template = None if body is None else Template(body, escape)
        return own.status or fallback.status or TYPES[type][0], headers, template

    def answer(self, exchange: Exchange, refusal: Refusal) -> Response:
        """The response of one refusal, without the fields about limits."""
        type = refusal.type
        status, _, body = self._own[type]
        exchange.error, exchange.error_type, exchange.status = TYPES[type][1], type, status
        if type in self._ready and not refusal.headers:
            content, headers = self._ready[type]
            return Response(status, [*headers], content)
        if body is not None:
            return self._made(type, JSON, body.fill(exchange), exchange, refusal.headers)
        if self.problem_json and status in (429, 503):
            problem = self._problem(exchange, status, TYPES[type][1])
            return self._made(type, b"application/problem+json", problem, exchange, refusal.headers)
        return self._made(type, JSON, f'{{"message":"{TYPES[type][1]}"}}', exchange, refusal.headers)

    def _made(self, type: str, kind: bytes, text: str, exchange: Exchange, more: Iterable[Header]) -> Response:
        status, templates, _ = self._own[type]
        given = [(name, clean(name.decode(), template.fill(exchange))) for name, template in templates]
        names = {name for name, _ in given}
        headers = [(b"content-type", kind), (b"x-amzn-errortype", TYPES[type][2].encode()), *more]
        content = text.encode()
        headers = [header for header in headers if header[0] not in names] + given
        response = Response(status, [*headers, (b"content-length", b"%d" % len(content))], content)
        if not templates and not more and self._own[type][2] is None and kind is JSON:
            self._ready[type] = content, response.headers[:]  # the same each time
        return response

    def _problem(self, exchange: Exchange, status: int, message: str) -> str:
        problem = {"title": message, "status": status}
        if status == 429:
            problem["type"] = PROBLEM + "quota-exceeded"
            if exchange.ruling is not None:
                problem["violated-policies"] = [exchange.ruling.level]
        else:
            problem["type"] = PROBLEM + "temporary-reduced-capacity"
        return json.dumps(problem)


def limit_fields(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), and Retry-After of a refusal.

    RateLimit tells about the level that refused, or else the one with the least remaining.
    """
    style, chain, ruling = exchange.flow.configuration.headers, exchange.chain, exchange.ruling
    if ruling is None or chain is None or not ruling.level or style == "none":
        return []
    level = ruling.level
    more = ruling.more_after_ns
    seconds = 0 if more is None else -(-more // 1_000_000_000)
    fields = []
    if style != "legacy":
        wait = "" if more is None else f";t={seconds}"
        fields.append((b"ratelimit-policy", chain.policy))
        fields.append((b"ratelimit", f'"{level}";r={ruling.remaining}{wait}'.encode()))
    if style != "draft":
        fields.append((b"x-ratelimit-limit", b"%d" % ruling.limit))
        fields.append((b"x-ratelimit-remaining", b"%d" % ruling.remaining))
        fields.append((b"x-ratelimit-reset", b"%d" % seconds))
    if not ruling.allowed and more is not None:
        fields.append((b"retry-after", b"%d" % seconds))
    return fields
