"""Addresses of clients as programs write them, in one canonical spelling."""

import re
import socket
from functools import lru_cache

V4_MAPPED = bytes(10) + b"\xff\xff"
_BRACKETED = re.compile(r"\[([^\]]*)\](?::\d+)?")
_V4_PORT = re.compile(r"((?:[0-9A-Fa-f:]*:)?\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}")
_V6_PORT = re.compile(r"([0-9A-Fa-f:]+(?:%\w+)?)[:#]\d{1,5}")
_NAME_PORT = re.compile(r"([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+):\d{1,5}")


@lru_cache(1 << 12)
def address(text: bytes, v4: int = 32, v6: int = 128) -> bytes:
    """Return the first bits of an address in its canonical form; any other text is not changed.

    A port, brackets and quotes are removed, and of a list of addresses the first is taken. `::ffff:192.0.2.1` is the
    IPv4 address that it holds.
    """
    bare = text.decode("latin-1").split(",")[0].strip(" \t\"'")
    packed, zone = _packed(bare)
    if packed is None:
        return _NAME_PORT.sub(r"\1", bare).encode("latin-1")
    family, bits = (socket.AF_INET, v4) if len(packed) == 4 else (socket.AF_INET6, v6)
    rest = 8 * len(packed) - bits
    prefix = (int.from_bytes(packed) >> rest << rest).to_bytes(len(packed))
    end = f"/{bits}" if rest else zone  # whole: in each zone an address of its own
    return (socket.inet_ntop(family, prefix) + end).encode()


def is_address(text: bytes) -> bool:
    """Return whether this is an address, in any spelling."""
    return _packed(text.decode("latin-1").split(",")[0].strip(" \t\"'"))[0] is not None


def _packed(text: str) -> tuple[bytes | None, str]:
    """Return the bytes of an address without its port, and its zone."""
    for form in (None, _BRACKETED, _V4_PORT, _V6_PORT):
        found = form.fullmatch(text) if form else None
        if form and not found:
            continue
        bare, mark, zone = (found[1] if found else text).partition("%")
        try:
            packed = socket.inet_pton(socket.AF_INET6 if ":" in bare else socket.AF_INET, bare)
        except (OSError, ValueError):
            continue
        if packed.startswith(V4_MAPPED):
            packed = packed[len(V4_MAPPED) :]
        return packed, mark + zone
    return None, ""
