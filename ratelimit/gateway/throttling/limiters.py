"""One limiter for each level, whose keys are what is limited there.

The quotas come with each request. So after a reload that changes a rate, what was counted before still counts.
"""

from collections.abc import Callable
from typing import Any

from ... import FixedWindow, Limiter, Quota, Table, TokenBucket
from .counters import FOREVER, FOREVER_ON_ENGINE, Counters
from .levels import LEVELS


class Limiters:
    """The tables of a gateway.

    Args:
        where: "memory", or as for `Table.at`.
        max_keys: API keys and routes; on an engine, the counters of the metrics alone.
        clock: as for a limiter.

    Attributes:
        of: the limiter of each level, by its name.
        counters: usage by day.
        meters: the counters of the metrics, on this host: the same as `counters` unless those are on an engine.
        quotas: the usage of calendar quotas.
        asks: whether an engine keeps the tables.
    """

    def __init__(self, where: str = "memory", max_keys: int = 100_000, clock: Any = None) -> None:
        def make(kind: type[FixedWindow | TokenBucket], quota: Quota, name: str, on_full: str = "raise") -> Limiter:
            options: dict[str, Any] = {"clock": clock, "on_full": on_full}
            if where == "memory":
                return kind(quota, max_keys=max_keys, **options)
            return kind(quota, table=Table.at(where, name, max_keys=max_keys, unreachable="raise"), **options)

        forever = FOREVER_ON_ENGINE if "://" in where else FOREVER
        self.counters = Counters(make(FixedWindow, forever, "counts", "deny"))  # to lose a count is not a failure
        self.meters = self.counters
        remote = self.counters.limiter.table.remote
        self.asks = remote is not None
        if remote is not None:
            table = Table.shared(remote.options.name, max_keys=max_keys)
            self.meters = Counters(FixedWindow(FOREVER, table=table, on_full="deny"))
        self.of: dict[str, Limiter] = {
            level: make(FixedWindow, forever, level) if level == "quota" else make(TokenBucket, Quota(1, 1), level)
            for level in LEVELS
        }
        self.quotas = Counters(self.of["quota"])
        self.now_ns: Callable[[], int] = self.counters.limiter.now_ns
