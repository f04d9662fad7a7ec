"""The levels at which requests are throttled, and their limiters.

Each level (plan, method, stage, account) has one limiter, whose keys are what is limited at that level and whose
quotas come with each request. So a rate that is changed by a reload finds the counts of before.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from ... import FixedWindow, Limiter, Quota, TokenBucket
from ..config.model import Throttle

LEVELS = ("plan", "plan-method", "quota", "method", "stage", "account")  # in the order in which they apply
FOREVER = Quota(2**62, Fraction(2**62, 10**9))  # one window from 1970 to 2116: a counter


def make_limiter(kind: type[FixedWindow | TokenBucket], quota: Quota, name: str, where: str, **options: Any) -> Limiter:
    """A limiter whose table is in memory, or shared by name or file with the other workers.

    Args:
        where: "memory", "shared:NAME" or "file:FOLDER".
        name: of this limiter, among those in the same place.
    """
    if where == "memory":
        return kind(quota, **options)
    from ... import Table

    max_keys = options.pop("max_keys")
    place, _, base = where.partition(":")
    if place == "shared":
        table = Table.shared(f"{base}.{name}", max_keys=max_keys)
    elif place != "file":
        raise ValueError(f"tables must be memory, shared:NAME or file:FOLDER, not {where!r}")
    else:
        os.makedirs(base, exist_ok=True)
        table = Table.open(os.path.join(base, f"{name}.tbl"), max_keys=max_keys)
    return kind(quota, table=table, **options)


class Limiters:
    """One limiter for each level, and counters for calendar quotas and metrics.

    Args:
        where: as for `make_limiter`.
        max_keys: API keys and routes.
        clock: as for a limiter.
    """

    def __init__(self, where: str = "memory", max_keys: int = 100_000, clock: Any = None) -> None:
        def make(kind: type[FixedWindow | TokenBucket], quota: Quota, name: str, on_full: str = "raise") -> Limiter:
            return make_limiter(kind, quota, name, where, max_keys=max_keys, clock=clock, on_full=on_full)

        self.counts = make(FixedWindow, FOREVER, "counts", "deny")  # to lose one is no failure
        self.of: dict[str, Limiter] = {
            level: make(FixedWindow, FOREVER, level) if level == "quota" else make(TokenBucket, Quota(1, 1), level)
            for level in LEVELS
        }
        self.now_ns: Callable[[], int] = self.counts.now_ns


def add(counter: Limiter, key: str, many: int = 1) -> None:
    """Count `many` more."""
    counter.hit(key, many)


def read(counter: Limiter, key: str) -> int:
    """How many were counted; 0 of a key for which a full table has no room."""
    decision = counter.peek(key)
    counted = int(decision.limit - decision.remaining)
    return counted if counted < decision.limit else 0  # which nothing is ever counted up to


@dataclass(frozen=True, slots=True)
class Step:
    """One level of a chain.

    Args:
        level: one of LEVELS.
        key: what is limited, such as a route.
        quota: how much of it; None admits nothing.
        window: seconds, for the RateLimit-Policy field.
        until_ns: when a calendar's quota turns; None for a token bucket.
        shadow: count what it would have refused, and let it pass.
    """

    level: str
    key: str
    quota: Quota | None
    window: int = 1
    until_ns: int | None = None
    shadow: bool = False

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, not {self.level!r}")

    @property
    def most(self) -> int:
        """The most that it gives at one moment."""
        return 0 if self.quota is None else self.quota.burst or self.quota.limit

    @classmethod
    def of(cls, level: str, key: str, throttle: Throttle, shadow: bool = False) -> "Step":
        """A level that is a token bucket; its window is the time that an empty bucket takes to be full."""
        window = max(1, ceil(throttle.burst / throttle.rate)) if throttle.quota else 1
        return cls(level, key, throttle.quota, window, shadow=shadow or throttle.shadow)
