"""The levels at which requests are throttled."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Protocol

from ... import Quota
from .by_client import ByClient

# In the order in which they apply. Those of clients have one bucket for each client.
LEVELS = (
    "plan", "plan-method", "quota", "method-client", "method", "stage-client", "stage", "account-client", "account",
)  # fmt: skip


class Throttle(Protocol):
    """A token bucket: `rate` requests per second, at most `burst` at one moment."""

    @property
    def rate(self) -> float: ...
    @property
    def burst(self) -> int: ...
    @property
    def shadow(self) -> bool: ...


class ClientThrottle(Throttle, Protocol):
    """A token bucket for each client, which `by` distinguishes; see `ByClient`."""

    @property
    def by(self) -> Sequence[str]: ...


class _IdentityQuota(Quota):
    """A Quota that is equal only to itself, so that a limiter finds what it knows of it by identity."""

    __slots__ = ()
    __eq__, __hash__ = object.__eq__, object.__hash__


_identity_quota = cache(_IdentityQuota)


def bucket_quota(rate: float, burst: int) -> Quota | None:
    """Return the quota of a token bucket; None if it never admits anything. The same values give the same object."""
    exact = Fraction(repr(rate)).limit_denominator(10**9)
    return _identity_quota(exact.numerator, exact.denominator, burst) if exact and burst else None


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a chain.

    Args:
        level: one of LEVELS.
        key: what is limited, such as a route.
        quota: how much of it; None admits nothing.
        window: seconds, for the RateLimit-Policy field.
        until_ns: when the period of a calendar's quota ends; None for a token bucket.
        shadow: count the requests that it would refuse, and admit them.
        by: names the client of a request, which is then a part of the key; None for one bucket.
    """

    level: str
    key: str
    quota: Quota | None
    window: int = 1
    until_ns: int | None = None
    shadow: bool = False
    by: ByClient | None = None

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"level: expected one of {', '.join(LEVELS)}, got {self.level!r}")

    @property
    def maximum(self) -> int:
        """The most that it admits at one moment."""
        return 0 if self.quota is None else self.quota.burst or self.quota.limit

    @classmethod
    def of(cls, level: str, key: str, throttle: Throttle, shadow: bool = False, by: ByClient | None = None) -> "Level":
        """Make a level that is a token bucket; its window is the time in which an empty bucket fills."""
        quota = bucket_quota(throttle.rate, throttle.burst)
        window = max(1, ceil(throttle.burst / throttle.rate)) if quota else 1
        return cls(level, key, quota, window, shadow=shadow or throttle.shadow, by=by)
