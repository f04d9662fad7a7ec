"""How many connections clients may have."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit

from ..._configuration.addresses import Networks, client_address, client_key
from ..http.headers import Headers

log = logging.getLogger("ratelimit.gateway")
MAX_CONNECTIONS = 20_000
OTHER_FILES = 64  # such as tables, logs, and connections that are kept
INTERVAL = 60.0  # seconds between two lines in the log


def raise_open_files() -> None:
    """Let this process and its workers open as many files as the system permits."""
    _, hard = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (hard, hard))


def max_connections() -> int:
    """How many clients a process may serve: each may need a connection to a backend, and other files are open, too."""
    soft, _ = getrlimit(RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == RLIM_INFINITY else max(1, min(MAX_CONNECTIONS, (soft - OTHER_FILES) // 2))


class Admission:
    """Bounds the connections of clients, in all and of each; and logs once a minute how many were refused.

    Args:
        max_connections: in all.
        max_per_client: of one address.
        trusted: proxies, whose connections belong to many clients. A WebSocket belongs to one of them.
        clock: seconds.
    """

    def __init__(
        self,
        max_connections: int,
        max_per_client: int,
        trusted: Networks | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_connections = max_connections
        self.max_per_client = max_per_client
        self.trusted = trusted
        self._clock = clock
        self._by_client: Counter[str] = Counter()
        self._total = self._refused = 0
        self._next_line = 0.0

    def enter(self, client: str) -> str | None:
        """Count a connection of an address until `leave`; why it is to be refused, if it is."""
        self._total += 1
        self._by_client[client_key(client)] += 1
        if self._total > self.max_connections:
            return self._refuse(f"more than {self.max_connections} connections")
        return self._refuse(self._too_many()) if self._is_over(client) else None

    def leave(self, client: str) -> None:
        self._total -= 1
        self._uncount(client)

    def client_of(self, peer: str, headers: Headers) -> str:
        """Return the address of the client of a connection, behind trusted proxies."""
        forwarded = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
        return client_address(peer, forwarded, self.trusted) if self.trusted else peer

    def move(self, peer: str, client: str) -> str | None:
        """Count a connection of a proxy as that of a client; why it is refused, if it is: then nothing changes."""
        if client == peer:
            return None
        self._by_client[client_key(client)] += 1
        if self._is_over(client):
            self._uncount(client)
            return self._refuse(self._too_many())
        self._uncount(peer)
        return None

    def _is_over(self, client: str) -> bool:
        over = self._by_client[client_key(client)] > self.max_per_client
        return over and client not in (self.trusted or ())

    def _too_many(self) -> str:
        return f"more than {self.max_per_client} connections of one client"

    def _refuse(self, reason: str) -> str:
        self._refused += 1
        if self._clock() >= self._next_line:
            log.warning("%d connections refused: %s", self._refused, reason)
            self._refused, self._next_line = 0, self._clock() + INTERVAL
        return reason

    def _uncount(self, client: str) -> None:
        key = client_key(client)
        self._by_client[key] -= 1
        if not self._by_client[key]:
            del self._by_client[key]
