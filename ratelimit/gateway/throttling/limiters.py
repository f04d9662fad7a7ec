"""One limiter for each level, whose keys are what is limited there.

The quotas come with each request. So after a reload that changes a rate, what was counted before still counts.
"""

import os
from collections.abc import Callable
from typing import Any

from ... import FixedWindow, Limiter, Quota, Table, TokenBucket
from .counters import FOREVER, Counters
from .levels import LEVELS


class Limiters:
    """The tables of a gateway.

    Args:
        where: "memory", "shared:NAME" or "file:FOLDER".
        max_keys: API keys and routes.
        clock: as for a limiter.

    Attributes:
        of: the limiter of each level, by its name.
        counters: usage by day, and the counters of the metrics.
        quotas: the usage of calendar quotas.
    """

    def __init__(self, where: str = "memory", max_keys: int = 100_000, clock: Any = None) -> None:
        def make(kind: type[FixedWindow | TokenBucket], quota: Quota, name: str, on_full: str = "raise") -> Limiter:
            options: dict[str, Any] = {"clock": clock, "on_full": on_full}
            if where == "memory":
                return kind(quota, max_keys=max_keys, **options)
            return kind(quota, table=_table(where, name, max_keys), **options)

        self.counters = Counters(make(FixedWindow, FOREVER, "counts", "deny"))  # to lose a count is not a failure
        self.of: dict[str, Limiter] = {
            level: make(FixedWindow, FOREVER, level) if level == "quota" else make(TokenBucket, Quota(1, 1), level)
            for level in LEVELS
        }
        self.quotas = Counters(self.of["quota"])
        self.now_ns: Callable[[], int] = self.counters.limiter.now_ns


def _table(where: str, name: str, max_keys: int) -> Table:
    """Open the table of one limiter, among those in the same place."""
    place, _, base = where.partition(":")
    if place == "shared":
        return Table.shared(f"{base}.{name}", max_keys=max_keys)
    if place != "file":
        raise ValueError(f"tables must be memory, shared:NAME or file:FOLDER, not {where!r}")
    os.makedirs(base, exist_ok=True)
    return Table.open(os.path.join(base, f"{name}.tbl"), max_keys=max_keys)
