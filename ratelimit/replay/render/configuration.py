"""A suggested limit as configuration: for this library and its gateway, and for other programs.

Other programs have their own algorithms. Their settings are those that come closest to the limit, and a comment names
the difference.
"""

from collections.abc import Callable
from math import ceil

from ..report import Suggestion

PERIODS = {1: "second", 60: "minute", 3_600: "hour", 86_400: "day"}


def configuration(limit: Suggestion, form: str) -> str:
    """Return a suggestion in one of FORMS."""
    return FORMS[form](limit)


def _python(limit: Suggestion) -> str:
    lines = ["from ratelimit import parse", "", f'limiter = parse("{limit.limit}")']
    return "\n".join([*lines, "if not limiter.allow(client):", "    ...  # 429"])


def _gateway(limit: Suggestion) -> str:
    rate = limit.number / limit.period
    return (
        "# ratelimit gateway: by API key, in a usage plan; a bucket by second\n"
        f"plans:\n  clients:\n    throttle: {{rate: {rate:.4g}, burst: {limit.at_once}}}"
    )


def _serve(limit: Suggestion) -> str:
    return f"# ratelimit serve: ask /check/clients\nlimits:\n  clients: {limit.limit}"


def nginx_limit(limit: Suggestion) -> tuple[str, int]:
    """Return the rate and the burst of nginx that come closest."""
    per_minute = ceil(limit.number * 60 / limit.period)
    rate = f"{per_minute // 60}r/s" if per_minute % 60 == 0 else f"{per_minute}r/m"
    return rate, max(limit.at_once - 1, 0)


def _nginx(limit: Suggestion) -> str:
    rate, burst = nginx_limit(limit)
    return (
        f"limit_req_zone $binary_remote_addr zone=clients:10m rate={rate};\n"
        f"limit_req zone=clients burst={burst} nodelay;\nlimit_req_status 429;"
    )


def _envoy(limit: Suggestion) -> str:
    return (
        "# envoy.filters.http.local_ratelimit; one bucket for each remote address takes a descriptor\n"
        f"token_bucket:\n  max_tokens: {limit.at_once}\n  tokens_per_fill: {limit.number}\n"
        f"  fill_interval: {limit.period:g}s"
    )


def _text(limit: Suggestion) -> str:
    """As the library `limits` writes it, which Flask-Limiter and slowapi use."""
    seconds = limit.period
    whole = [size for size in PERIODS if seconds % size == 0] or [1]
    count = max(int(seconds // whole[-1]), 1)
    return (
        f"{limit.number} per {count} {PERIODS[whole[-1]]}" if count > 1 else f"{limit.number} per {PERIODS[whole[-1]]}"
    )


def _flask(limit: Suggestion) -> str:
    return f'Limiter(get_remote_address, app=app, default_limits=["{_text(limit)}"], strategy="moving-window")'


def _slowapi(limit: Suggestion) -> str:
    return f'Limiter(key_func=get_remote_address, default_limits=["{_text(limit)}"], strategy="moving-window")'


def _usage_plan(limit: Suggestion) -> str:
    rate = limit.number / limit.period
    return (
        "# by API key; API Gateway counts by second\n"
        f"aws apigateway create-usage-plan --name clients --throttle rateLimit={rate:.3g},burstLimit={limit.at_once}"
    )


def _cloudflare(limit: Suggestion) -> str:
    period = min((10, 60, 120, 300, 600, 3_600), key=lambda size: abs(size - limit.period))
    requests = ceil(limit.number * period / limit.period)
    return (
        "# http_ratelimit phase\n"
        f'"ratelimit": {{"characteristics": ["cf.colo.id", "ip.src"], "period": {period}, '
        f'"requests_per_period": {requests}, "mitigation_timeout": {period}}}'
    )


FORMS: dict[str, Callable[[Suggestion], str]] = {
    "python": _python,
    "gateway": _gateway,
    "serve": _serve,
    "nginx": _nginx,
    "envoy": _envoy,
    "flask-limiter": _flask,
    "slowapi": _slowapi,
    "api-gateway": _usage_plan,
    "cloudflare": _cloudflare,
}
