from typing import Any

from .._limiter.decision import Decision
from .._storage.valkey.leases import Leases

def monotonic() -> int:
    """Return the moment by the clock of leases, in nanoseconds."""

def hash_of(leases: Leases, key: Any) -> int:
    """Return the hash of a key, as the leases have it."""

class Spending:
    """Adds to the verbs of a table on an engine; the class that inherits them sets `_leases` and what asks."""

    def allow(self, key: Any, /) -> bool:
        """Spend 1 if the quota admits it; return whether it did."""
    def _decide_here(self, key: Any, cost: Any, looks: bool = False) -> Decision | None:
        """Return the Decision of this host, or None if the engine has to be asked."""
