from .headers import Headers

def stripped_by_name(headers: Headers) -> dict[bytes, bytes] | None:
    """Return the last value of each name, or None if a value begins or ends with a blank."""
