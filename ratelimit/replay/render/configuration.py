"""A suggested limit as configuration: for this library and its gateway, and for other programs.

Other programs count by algorithms of their own. What they call their limit is filled in so that it comes closest, and a
comment says where it differs.
"""

from collections.abc import Callable
from math import ceil

from ..report import Answer, Suggestion

PERIODS = {1: "second", 60: "minute", 3_600: "hour", 86_400: "day"}


def configurations(answer: Answer) -> list[tuple[str, str]]:
    """The first suggestion in each form that can express it: (name, text) pairs."""
    if not answer.suggestions:
        return []
    best = answer.suggestions[0]
    return [(name, write(best)) for name, write in FORMS.items()]


def _seconds(limit: Suggestion) -> float:
    return limit.period


def _python(limit: Suggestion) -> str:
    return f'from ratelimit import parse\n\nlimiter = parse("{limit.limit}")\nif not limiter.allow(client):\n    ...  # 429'


def _gateway(limit: Suggestion) -> str:
    return f"# in a stage or a route of the gateway's configuration\nthrottle: {limit.limit!r}"


def _nginx(limit: Suggestion) -> str:
    per_minute = ceil(limit.number * 60 / _seconds(limit))
    rate = f"{per_minute // 60}r/s" if per_minute % 60 == 0 else f"{per_minute}r/m"
    return (
        f"limit_req_zone $binary_remote_addr zone=clients:10m rate={rate};\n"
        f"limit_req zone=clients burst={max(limit.at_once - 1, 0)} nodelay;\nlimit_req_status 429;"
    )


def _envoy(limit: Suggestion) -> str:
    return (
        "# envoy.filters.http.local_ratelimit; one bucket for each remote address takes a descriptor\n"
        f"token_bucket:\n  max_tokens: {limit.at_once}\n  tokens_per_fill: {limit.number}\n"
        f"  fill_interval: {_seconds(limit):g}s"
    )


def _text(limit: Suggestion) -> str:
    """As the library `limits` writes it, which Flask-Limiter and slowapi use."""
    seconds = _seconds(limit)
    unit, size = max((size, name) for size, name in PERIODS.items() if seconds % size == 0) if seconds >= 1 else (1, "second")
    count = max(int(seconds // unit), 1)
    return f"{limit.number} per {size}" if count == 1 else f"{limit.number} per {count} {size}"


def _flask(limit: Suggestion) -> str:
    return f'Limiter(get_remote_address, app=app, default_limits=["{_text(limit)}"], strategy="moving-window")'


def _slowapi(limit: Suggestion) -> str:
    return f'Limiter(key_func=get_remote_address, default_limits=["{_text(limit)}"], strategy="moving-window")'


def _usage_plan(limit: Suggestion) -> str:
    rate = limit.number / _seconds(limit)
    return (
        "# by API key; API Gateway counts by second\n"
        f"aws apigateway create-usage-plan --name clients --throttle rateLimit={rate:.3g},burstLimit={limit.at_once}"
    )


def _cloudflare(limit: Suggestion) -> str:
    period = min((10, 60, 120, 300, 600, 3_600), key=lambda size: abs(size - _seconds(limit)))
    requests = ceil(limit.number * period / _seconds(limit))
    return (
        "# http_ratelimit phase\n"
        f'"ratelimit": {{"characteristics": ["cf.colo.id", "ip.src"], "period": {period}, '
        f'"requests_per_period": {requests}, "mitigation_timeout": {period}}}'
    )


FORMS: dict[str, Callable[[Suggestion], str]] = {
    "Python": _python,
    "ratelimit gateway": _gateway,
    "nginx": _nginx,
    "Envoy": _envoy,
    "Flask-Limiter": _flask,
    "slowapi": _slowapi,
    "AWS API Gateway": _usage_plan,
    "Cloudflare": _cloudflare,
}
