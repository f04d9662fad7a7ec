"""The address of a client as a key to limit by, for all adapters."""

from collections.abc import Iterable

from .._configuration.addresses import UNKNOWN, Networks, client_address, client_key

__all__ = ["UNKNOWN", "ClientAddress"]


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
        if isinstance(trusted_proxies, (str, bytes)) or not isinstance(trusted_proxies, Iterable):
            raise TypeError(f"trusted_proxies: expected a list of networks, got {trusted_proxies!r}")
        given = list(trusted_proxies)
        if not all(isinstance(network, str) for network in given):  # an int would be an address, too
            raise TypeError(f"trusted_proxies: expected texts, got {given!r}")
        try:
            self._trusted = Networks(given)
        except ValueError as error:
            raise ValueError(f"trusted_proxies: expected addresses or networks, got {given!r} ({error})") from None
        self.trusts_any = bool(given)

    def __call__(self, peer: str | None, forwarded: Iterable[str] = ()) -> str:
        """Return the rightmost address that was not written by a trusted proxy.

        Args:
            peer: the address of the connection; None or empty for a Unix socket.
            forwarded: the values of the X-Forwarded-For fields, in order; empty elements do not count.

        Returns: the address. An IPv6 address is returned as its /64 network, and an IPv4 address that is mapped into
        IPv6 as the IPv4 address. `"unknown"`, if a client has no address: all such clients share one limit.
        """
        if not self.trusts_any:
            return client_key(peer or "")
        return client_key(client_address(peer or "", forwarded, self._trusted))
