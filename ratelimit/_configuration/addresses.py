"""Which client a request comes from, behind any number of proxies: the one rule of the gateway and all middlewares.

The client is the address of the connection. Where that is a trusted proxy, it is the rightmost address in
X-Forwarded-For that no trusted proxy has: any client could have written what is to the left of it. Empty elements of
the list do not count (RFC 9110, 5.6.1). An element that is not an address, such as `unknown`, makes the client
unknown: it must not pass for the proxy. As a key to limit by, an IPv6 address is its /64 network, and all unknown
clients are one.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

UNIX = "unix"  # in a list of networks, a peer without an address
UNKNOWN = "unknown"  # the key of all clients without an address
IPV6_PREFIX = 64  # one customer of a provider has all addresses of such a network
LONGEST = 64  # characters of a text that may be an address

Address = IPv4Address | IPv6Address
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?|([^:\[\]]*):[0-9]{1,5}")


class Networks:
    """A list of networks; usable alone.

    Args:
        networks: such as `"10.0.0.0/8"` or `"2001:db8::/32"`. An IPv4 address or network that is mapped into IPv6
            counts as IPv4. `"unix"` is a peer without an address, as a proxy has one that connects over a Unix socket.

    Raises: ValueError for a text that is not a network.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        if isinstance(networks, str):
            raise ValueError(f"networks: expected a list of texts, got {networks!r}")
        given = list(networks)
        self._networks = [_unmapped(ip_network(network)) for network in given if network != UNIX]
        self._unix = UNIX in given

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __contains__(self, address: str) -> bool:
        """Whether a text is an address in one of the networks; an empty one is a peer without an address."""
        if not address:
            return self._unix
        ip = parse_address(address)
        return ip is not None and any(ip in network for network in self._networks)


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return IPv4Network((mapped, network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network


def parse_address(text: str) -> Address | None:
    """Read an address, perhaps with a port or in brackets; return None for another text."""
    return _parsed(text.strip()) if len(text) <= LONGEST else None


@lru_cache(10_000)
def _parsed(text: str) -> Address | None:
    found = _WITH_PORT.fullmatch(text)
    try:
        ip = ip_address(text if found is None else IPv6Address(found[1]) if found[1] else found[2])
    except ValueError:
        return None
    if isinstance(ip, IPv6Address):
        return ip.ipv4_mapped or IPv6Address(int(ip))  # without a zone, which is any text
    return ip


def client_address(peer: str, forwarded: Iterable[str], trusted: Networks) -> str:
    """Return the address that a request comes from.

    Args:
        peer: the address of the connection; empty for a Unix socket.
        forwarded: the X-Forwarded-For headers, in order.
        trusted: proxies that are believed.

    Returns: an address. It is empty, and so in no network, when a trusted proxy does not give one, as in "unknown"
        or "unix:".
    """
    if peer not in trusted:
        return peer
    client = peer
    for text in reversed(",".join(forwarded).split(",")):
        text = text.strip()
        if not text:
            continue
        ip = parse_address(text)
        if ip is None:
            return ""
        client = str(ip)
        if client not in trusted:
            break
    return client


def client_key(address: str, ipv4: int = 32, ipv6: int = IPV6_PREFIX) -> str:
    """Return what the client with an address is limited by: the address, an IPv6 address's /64, or `"unknown"`.

    Args:
        ipv4, ipv6: bits of its network, in place of 32 and 64.
    """
    return _key(address, ipv4, ipv6) if len(address) <= LONGEST else UNKNOWN


@lru_cache(10_000)
def _key(address: str, ipv4: int, ipv6: int) -> str:
    ip = parse_address(address)
    if ip is None:
        return UNKNOWN
    if ip.version == 6:
        return str(IPv6Network((int(ip), ipv6), strict=False))
    return str(IPv4Network((int(ip), ipv4), strict=False)) if ipv4 < 32 else str(ip)
