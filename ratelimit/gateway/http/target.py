"""The target of a request, and the host that it is for (RFC 9112, 3.2)."""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

_ABSOLUTE = re.compile(rb"https?://([^/?]*)([^?]*)(?:\?(.*))?", re.IGNORECASE)
_AUTHORITY = re.compile(rb"(\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9_~-]+(?:\.[A-Za-z0-9_~-]+)*\.?)?)(?::([0-9]{0,5}))?")

MAX_AUTHORITY = 260  # bytes; a name of the DNS has 253, and a port 5


class BadTarget(ValueError):
    """A target or a host that RFC 9112 does not allow."""


def parse_target(target: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Split a request target in origin form or absolute form.

    Returns: path and query as sent, and the authority of a target in absolute form, else None.

    Raises: BadTarget.
    """
    if b"#" in target or not target.isascii():
        raise BadTarget("the target has a fragment or a byte that is not ASCII")
    if target[:1] == b"/":
        path, _, query = target.partition(b"?")
        return path, query, None
    found = _ABSOLUTE.fullmatch(target)
    if found is None or not host_name(found[1]):
        raise BadTarget("the target is neither a path nor an http or https URL with a host")
    return found[2] or b"/", found[3] or b"", found[1]


@lru_cache(1_024)
def host_name(authority: bytes) -> str:
    """Return the host of a Host header in lower case, without its port.

    The value is a name, an IPv4 address or an IPv6 address in brackets, perhaps with a port.

    RFC 3986 also allows percent-encodings and `!$&'()*+,;=` in a name. No host needs them, and programs read some of
    them as the end of the name, so they are refused. An empty value is allowed.

    Raises: BadTarget.
    """
    found = _AUTHORITY.fullmatch(authority) if len(authority) <= MAX_AUTHORITY else None
    if found is None or int(found[3] or 0) > 65_535:
        raise BadTarget(f"invalid host {authority[:MAX_AUTHORITY]!r}")
    if found[2]:
        try:
            IPv6Address(found[2].decode())
        except AddressValueError as error:
            raise BadTarget(f"invalid host {authority[:MAX_AUTHORITY]!r}") from error
    return found[1].decode().lower().removesuffix(".")
