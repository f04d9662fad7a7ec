from .headers import Headers

def stripped_by_name(headers: Headers) -> dict[bytes, bytes] | None:
    """Return the last value of each name, or None if a value begins or ends with a blank."""

def without_prefix(headers: Headers, prefix: bytes) -> Headers:
    """Return the headers whose names do not begin with a prefix."""

def whole_answer(status_line: bytes, headers: Headers, body: bytes, with_body: bool) -> bytes | None:
    """Return an answer as it is sent; None if its headers are invalid, or frame it otherwise than by the length."""
