"""The throttle chain: one atomic decision over all levels that a request passes.

Each level (plan, method, stage, account) has one limiter, whose keys are what is limited at that level and whose
quotas come with each request. So a rate that is changed by a reload finds the counts of before.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from .. import All, FixedWindow, Limiter, Quota, TokenBucket
from .model import Throttle

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
    from .. import Table

    max_keys = options.pop("max_keys")
    place, _, base = where.partition(":")
    if place == "shared":
        table = Table.shared(f"{base}.{name}", max_keys=max_keys)
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
        def make(kind: type[FixedWindow | TokenBucket], quota: Quota, name: str) -> Limiter:
            return make_limiter(kind, quota, name, where, max_keys=max_keys, clock=clock)

        self.counts = make(FixedWindow, FOREVER, "counts")
        self.of: dict[str, Limiter] = {
            level: make(FixedWindow, FOREVER, level) if level == "quota" else make(TokenBucket, Quota(1, 1), level)
            for level in LEVELS
        }
        self.now_ns: Callable[[], int] = self.counts.now_ns


def add(counter: Limiter, key: str, many: int = 1) -> None:
    """Count `many` more."""
    counter.hit(key, many)


def read(counter: Limiter, key: str) -> int:
    """How many were counted."""
    decision = counter.peek(key)
    return int(decision.limit - decision.remaining)


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

    @classmethod
    def of(cls, level: str, key: str, throttle: Throttle, shadow: bool = False) -> "Step":
        """A level that is a token bucket; its window is the time that an empty bucket takes to be full."""
        window = max(1, ceil(throttle.burst / throttle.rate)) if throttle.quota else 1
        return cls(level, key, throttle.quota, window, shadow=shadow or throttle.shadow)


class Ruling(NamedTuple):
    """What the chain says about one request.

    Attributes:
        allowed: whether it passes.
        level: the level that refused, or else the one with the least remaining; empty without levels.
        remaining: of that level.
        limit: of that level.
        more_after_ns: until that level has more to give: None when it is full, or when no wait will do.
        shadow: a level in shadow mode that would have refused, or empty.
    """

    allowed: bool
    level: str = ""
    remaining: int = 0
    limit: int = 0
    more_after_ns: int | None = None
    shadow: str = ""


class Chain:
    """The levels that a request passes, decided all or nothing; usable alone.

        chain = Chain(Limiters(), [Step.of("method", "GET /pets", Throttle(5, 10))])
        chain.hit().allowed

    Args:
        limiters: see Limiters.
        steps: from plan to account.
        used: a counter of the requests that are admitted.

    What one level refuses costs nothing at the others. Levels in shadow mode are decided apart, all or nothing
    among themselves, for requests that the others admit. Thread-safety: as for All.
    """

    __slots__ = ("counts", "policy", "real", "shadow", "used")

    def __init__(self, limiters: Limiters, steps: Sequence[Step], used: str = "") -> None:
        self.counts = limiters.counts
        self.used = used
        real = [step for step in steps if not step.shadow]
        shadow = [step for step in steps if step.shadow]
        self.real = _Together(limiters, real) if real else None
        self.shadow = _Together(limiters, shadow) if shadow else None
        policy = ", ".join(f'"{step.level}";q={limit_of(step)};w={step.window}' for step in real)
        self.policy = (b"ratelimit-policy", policy.encode())

    def hit(self) -> Ruling:
        """Spend one request at every level, or at none."""
        ruling = Ruling(True) if self.real is None else self.real.hit()
        if not ruling.allowed:
            return ruling
        if self.used:
            self.counts.allow(self.used)
        if self.shadow is None:
            return ruling
        would = self.shadow.hit()
        return ruling if would.allowed else ruling._replace(shadow=would.level)


class _Together:
    """Some levels as one limiter, with their keys and quotas."""

    __slots__ = ("all", "closed", "keys", "limiters", "quotas", "told")

    def __init__(self, limiters: Limiters, steps: Sequence[Step]) -> None:
        self.limiters = limiters
        self.closed = next((step for step in steps if step.quota is None), None)
        self.all = All(*(limiters.of[step.level] for step in steps))
        self.keys = tuple(step.key for step in steps)
        self.quotas = tuple(step.quota for step in steps)
        self.told = {limiters.of[step.level]: (step.level, step.until_ns, _interval(step)) for step in steps}

    def hit(self) -> Ruling:
        if self.closed is not None:
            until = self.closed.until_ns
            return Ruling(False, self.closed.level, more_after_ns=until and until - self.limiters.now_ns())
        decision = self.all.hit_each(self.keys, 1, quotas=self.quotas)
        level, until_ns, interval = self.told[decision.limiter]
        allowed, remaining, limit = decision.allowed, decision.remaining, decision.limit
        more: int | None = None
        if until_ns is not None:
            more = until_ns - self.limiters.now_ns()
        elif not allowed:
            more = decision.retry_after_ns
        elif remaining < limit:
            more = ceil(decision.reset_after_ns - (limit - remaining - 1) * interval)
        return Ruling(allowed, level, remaining, limit, more)


def limit_of(step: Step) -> int:
    """The most that a level gives at one moment."""
    return 0 if step.quota is None else step.quota.burst or step.quota.limit


def _interval(step: Step) -> float:
    """Nanoseconds for each request of a token bucket."""
    return step.quota.period_ns / step.quota.limit if step.quota else 0.0
