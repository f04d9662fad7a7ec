"""The answer to a refused request."""

import json

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
TITLES = {429: "Too Many Requests", 503: "Service Unavailable"}


def refusal(status: int, accept: str) -> tuple[str, bytes]:
    """Return the content type and body of a refused answer: problem details (RFC 9457) if the client accepts JSON."""
    title = TITLES[status]
    if "json" not in accept.lower():
        return "text/plain; charset=utf-8", f"{title}\n".encode()
    problem = {"type": QUOTA_EXCEEDED if status == 429 else "about:blank", "title": title, "status": status}
    return "application/problem+json", json.dumps(problem).encode()
