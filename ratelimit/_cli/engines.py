"""Lines of `ratelimit table` about tables on a Valkey or Redis server."""

from collections.abc import Iterator

from .._core import Limiter
from ..errors import RateLimitError
from ..table import Table

TIMEOUT = 5.0  # seconds


def tables_of(url: str) -> Iterator[tuple[str, str]]:
    """Return the name of each table on an engine, and its limit or why it cannot be read."""
    from .._storage.valkey.cluster import engine_of
    from .._storage.valkey.options import Safety
    from .._storage.valkey.storage import ValkeyStorage

    for name in ValkeyStorage.names_on(engine_of(url, TIMEOUT, Safety())):
        try:
            yield name, str(Limiter.of(Table.valkey(url, name=name, timeout=TIMEOUT)))
        except (RateLimitError, ValueError) as error:
            yield name, str(error)


def facts_of(limiter: Limiter) -> Iterator[tuple[str, str]]:
    """Return the facts about a table, by name."""
    remote = limiter.table.remote
    yield "engine", str(remote.engine.address)
    yield "limit", str(limiter)
    yield "keys", f"{remote.count_keys():,}"
    yield "eviction", remote.policy() or "unknown, since the engine forbids CONFIG"
