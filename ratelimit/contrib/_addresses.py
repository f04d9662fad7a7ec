"""The address of a client, behind any number of trusted proxies."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

UNIX = "unix"  # a peer without an address, in `trusted_proxies`
UNKNOWN = "unknown"  # the key of all clients without an address
IPV6_PREFIX = 64  # one customer of a provider has all addresses of such a network
LONGEST = 64  # characters of an element of X-Forwarded-For that may be an address

_Address = IPv4Address | IPv6Address


class ClientAddress:
    """Finds the address of a client, as a key to limit by.

    Args:
        trusted_proxies: addresses or networks, such as `"10.0.0.0/8"` or `"::1"`, whose X-Forwarded-For is believed.
            `"unix"` is a peer without an address, as a proxy has one that connects over a Unix socket.

    Raises:
        TypeError, ValueError: an element is not an address or a network.

    Immutable and safe to share between threads.
    """

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        if isinstance(trusted_proxies, (str, bytes)):
            raise TypeError(f"trusted_proxies: expected a list of networks, got {trusted_proxies!r}")
        given = list(trusted_proxies)
        self._unix = UNIX in given
        try:
            self._networks = [ip_network(network) for network in given if network != UNIX]
        except ValueError as error:
            raise ValueError(f"trusted_proxies: expected addresses or networks, got {given!r} ({error})") from None
        self.trusts_any = bool(given)

    def __call__(self, peer: str | None, forwarded: Iterable[str] = ()) -> str:
        """Return the rightmost address that was not written by a trusted proxy.

        Args:
            peer: the address of the connection; None or empty for a Unix socket.
            forwarded: the values of the X-Forwarded-For fields, in order.

        Returns: the address. An IPv6 address is returned as its /64 network, and an IPv4 address that is mapped into
        IPv6 as the IPv4 address. `"unknown"`, if a client has no address: all such clients share one limit.
        """
        if not self.trusts_any:
            return _key(peer or "")
        hop = peer or ""
        elements = [element for field in forwarded for element in field.split(",")]
        while self._trusts(hop) and elements:
            hop = elements.pop().strip() or UNKNOWN
        return _key(hop)

    def _trusts(self, hop: str) -> bool:
        if not hop:
            return self._unix
        address = _parse(hop)
        return address is not None and any(address in network for network in self._networks)


def _key(text: str) -> str:
    return _cached_key(text) if len(text) <= LONGEST else UNKNOWN


def _parse(text: str) -> _Address | None:
    return _cached_address(text) if len(text) <= LONGEST else None


@lru_cache(10_000)
def _cached_key(text: str) -> str:
    address = _cached_address(text)
    if address is None:
        return UNKNOWN
    return str(IPv6Network((int(address), IPV6_PREFIX), strict=False)) if address.version == 6 else str(address)


@lru_cache(10_000)
def _cached_address(text: str) -> _Address | None:
    """Read an address, perhaps with a port or in brackets; None for anything else."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
