"""IP networks, and the address of a client behind proxies."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


class Networks:
    """A list of networks; usable alone.

    Args:
        networks: such as `"10.0.0.0/8"` or `"2001:db8::/32"`. An IPv4 address or network that is mapped into IPv6
            counts as IPv4.

    Raises: ValueError for a text that is not a network.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        if isinstance(networks, str):
            raise ValueError(f"networks must be a list of texts, not {networks!r}")
        self._networks = [_unmapped(ip_network(network)) for network in networks]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        ip = parse_address(address)
        return ip is not None and any(ip in network for network in self._networks)


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return IPv4Network((mapped, network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, perhaps with a port; return None for another text."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def client_address(peer: str, forwarded: Iterable[str], trusted: Networks) -> str:
    """Return the address that a request comes from.

    Args:
        peer: the address of the connection.
        forwarded: the X-Forwarded-For headers, in order.
        trusted: proxies that are believed. The client is the first address from the right that is not one of them;
            any client could have written those to the left of it.

    Returns: an address. It is empty, and so in no network, when a trusted proxy does not give one, as in "unknown"
        or "unix:".
    """
    if peer not in trusted:
        return peer
    client = peer
    for text in reversed(",".join(forwarded).split(",")):
        if not text.strip():  # RFC 9110, 5.6.1: an empty element of a list is not an element
            continue
        ip = parse_address(text)
        if ip is None:
            return ""  # a client that the proxy cannot name must not pass for the proxy
        client = str(ip)
        if client not in trusted:
            break
    return client
