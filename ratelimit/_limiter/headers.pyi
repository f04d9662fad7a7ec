from typing import Any, Literal

Style = Literal["draft", "legacy"] | None
STYLES: tuple[Style, ...]

# A decision is a Decision, whose module imports this one.

def limit_fields(decision: Any, style: Style) -> list[tuple[bytes, bytes]]:
    """Return the header fields of a decision.

    Args:
        style: "draft" for RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), "legacy" for
            X-RateLimit-Limit, -Remaining and -Reset (seconds from now), None for no fields.

    A refusal also has Retry-After, unless no wait is long enough. Without a limit there are no fields.
    """

def text_fields(decision: Any, style: Style) -> list[tuple[str, str]]:
    """Return the same fields as text, their names with capitals."""

def check_style(style: object, name: str = "style") -> None:
    """Refuse another style than those of `limit_fields`."""
