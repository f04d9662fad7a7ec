"""The target of a request, and the host that it is for (RFC 9112, 3.2)."""

import re
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

_ABSOLUTE = re.compile(rb"https?://([^/?]*)([^?]*)(?:\?(.*))?", re.IGNORECASE)
_AUTHORITY = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|[A-Za-z0-9._~-]*)(?::([0-9]{0,5}))?")


class BadTarget(ValueError):
    """A target or a host that RFC 9112 does not allow."""


class Target(NamedTuple):
    """A request target: path and query as sent, and the authority of a target in absolute form, else None."""

    path: bytes
    query: bytes
    authority: bytes | None


def parse_target(target: bytes) -> Target:
    """Split a request target in origin form or absolute form.

    Raises: BadTarget.
    """
    if b"#" in target or not target.isascii():
        raise BadTarget("the target has a fragment or a byte that is not ASCII")
    if target[:1] == b"/":
        path, _, query = target.partition(b"?")
        return Target(path, query, None)
    found = _ABSOLUTE.fullmatch(target)
    if found is None or not found[1]:
        raise BadTarget("the target is neither a path nor an http or https URL with a host")
    check_authority(found[1])
    return Target(found[2] or b"/", found[3] or b"", found[1])


def check_authority(authority: bytes) -> None:
    """Accept the value of a Host header: a name, an IPv4 address or an IPv6 address in brackets, perhaps with a port.

    RFC 3986 also allows percent-encodings and `!$&'()*+,;=` in a name. No host needs them, and programs read some of
    them as the end of the name, so they are refused. An empty value is allowed.

    Raises: BadTarget.
    """
    found = _AUTHORITY.fullmatch(authority)
    if found is None or int(found[2] or 0) > 65_535:
        raise BadTarget(f"invalid host {authority!r}")
    if found[1]:
        try:
            IPv6Address(found[1].decode())
        except AddressValueError as error:
            raise BadTarget(f"invalid host {authority!r}") from error
