"""The HTTP form of a decision: header fields, and the answer to a refused request."""

import json
from math import ceil, inf
from typing import Literal

from .._core import Limiter
from .._engine.constants import NS_PER_SECOND
from .._limiter.decision import Decision
from ..composite import All
from ..quota import Quota

Style = Literal["draft", "legacy"] | None
Fields = list[tuple[bytes, bytes]]
MAX_TEXTS = 1_024
STYLES = ("draft", "legacy", None)
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
TITLES = {429: "Too Many Requests", 503: "Service Unavailable"}


def limit_fields(decision: Decision, limiter: Limiter | All, style: Style) -> Fields:
    """Return the header fields of an answer as bytes, their names in lower case.

    Args:
        decision: the decision on the request.
        limiter: the limiter that decided; its limits are the policies.
        style: "draft" for RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), "legacy" for
            X-RateLimit-Limit, -Remaining and -Reset (seconds from now), None for no fields.

    A refusal also has Retry-After, unless no wait is long enough.
    """
    if style is None:
        return []
    more = decision.more_after
    if style == "draft":
        _, name, policies = _text(decision.limiter.quota)
        if isinstance(limiter, All):
            policies = b", ".join([_text(one.quota)[2] for one in limiter.limiters])
        until = b";t=%d" % ceil(more) if 0 < more < inf else b""
        fields = [(b"ratelimit-policy", policies), (b"ratelimit", b"%b;r=%d%b" % (name, decision.remaining, until))]
    else:
        fields = [
            (b"x-ratelimit-limit", b"%d" % decision.limit),
            (b"x-ratelimit-remaining", b"%d" % decision.remaining),
        ]
        if more < inf:
            fields.append((b"x-ratelimit-reset", b"%d" % ceil(more)))
    if not decision.allowed and decision.retry_after < inf:
        fields.append((b"retry-after", b"%d" % ceil(decision.retry_after)))
    return fields


def text_fields(decision: Decision, limiter: Limiter | All, style: Style) -> list[tuple[str, str]]:
    """Return the same fields as text, their names with capitals."""
    return [(name.decode().title(), value.decode()) for name, value in limit_fields(decision, limiter, style)]


_texts: dict[int, tuple[Quota, bytes, bytes]] = {}  # by the id of a quota, which is not used again while it is here


def _text(quota: Quota) -> tuple[Quota, bytes, bytes]:
    """Return a quota, the name of its policy, and its RateLimit-Policy."""
    text = _texts.get(id(quota))
    if text is None:
        if len(_texts) >= MAX_TEXTS:
            _texts.clear()
        name = f'"{quota}"'
        text = _texts[id(quota)] = (quota, name.encode(), f"{name};q={quota.limit}{_window(quota)}".encode())
    return text


def _window(quota: Quota) -> str:
    """Return the parameter w. It counts whole seconds, so other periods have none."""
    return "" if quota.period_ns % NS_PER_SECOND else f";w={quota.period_ns // NS_PER_SECOND}"


def refusal(status: int, accept: str) -> tuple[str, bytes]:
    """Return the content type and body of a refused answer: problem details (RFC 9457) if the client accepts JSON."""
    title = TITLES[status]
    if "json" not in accept.lower():
        return "text/plain; charset=utf-8", f"{title}\n".encode()
    problem = {"type": QUOTA_EXCEEDED if status == 429 else "about:blank", "title": title, "status": status}
    return "application/problem+json", json.dumps(problem).encode()


def check_style(style: object) -> None:
    if style not in STYLES:
        raise ValueError(f"headers: expected 'draft', 'legacy' or None, got {style!r}")
