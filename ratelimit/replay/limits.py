"""The limits that a replay decides by, and the bounds that their algorithms guarantee."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from .. import All, Limiter
from ..language import LimitSpec, make_limiter, parse_limits

EXAMPLE = "'token-bucket 10/second burst 20'"


class LogClock:
    """The clock of a replay, in which each request has its own time. It is never read.

    With the clock of this host, a table would keep the keys of a log from a host whose clock is ahead: they would lose
    their slots only when this host's clock reaches the time of the log.
    """

    def now_ns(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of a replay: one limit, or several that must all allow a request.

    `Limit.parse("token-bucket 10/second burst 20; fixed-window 600/hour")` reads the text of `ratelimit.parse`.
    """

    parts: tuple[LimitSpec, ...]

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Read a limit; the errors are those of `ratelimit.parse`."""
        return cls(parse_limits(text))

    @classmethod
    def of(cls, limit: "Limit | str") -> "Limit":
        """Return the limit itself, or parse the text."""
        if not isinstance(limit, (str, Limit)):
            raise TypeError(f"limits: expected texts such as {EXAMPLE}, or Limit, got {limit!r}")
        return limit if isinstance(limit, Limit) else cls.parse(limit)

    @classmethod
    def all_of(cls, limits: "Iterable[Limit | str] | Limit | str") -> "list[Limit]":
        """Return one or several limits as a list."""
        one = isinstance(limits, (str, Limit)) or not isinstance(limits, Iterable)
        several = [cls.of(limit) for limit in cast("Iterable[Limit | str]", [limits] if one else limits)]
        if not several:
            raise ValueError(f"limits: expected at least one, such as {EXAMPLE}, got none")
        return several

    def make(self, max_keys: int, on_full: str = "raise") -> Limiter | All:
        """Make a limiter with room for so many keys at once."""
        return make_limiter(self.parts, max_keys=max_keys, on_full=cast("Any", on_full), clock=LogClock())

    def __str__(self) -> str:
        return "; ".join(map(str, self.parts))


def at_once(spec: LimitSpec) -> int:
    """Return the largest number of requests that are admitted at one time."""
    options = dict(spec.options)
    if spec.quota.limit == 0 or spec.quota.is_unlimited:
        return spec.quota.limit
    if spec.algorithm == "leaky-bucket":
        return int(options.get("capacity", spec.quota.limit)) + 1
    return int(options.get("burst", spec.quota.limit))


def at_most(spec: LimitSpec) -> int:
    """Return the bound that docs/algorithms proves for the requests admitted in an interval of one period."""
    limit = spec.quota.limit
    if limit == 0 or spec.quota.is_unlimited:
        return limit
    return {
        "token-bucket": at_once(spec) + limit,
        "leaky-bucket": at_once(spec) + limit,
        "fixed-window": 2 * limit,
        "sliding-window": 2 * limit - 1,
        "sliding-log": limit,
    }[spec.algorithm]


def memory_ns(spec: LimitSpec) -> int:
    """How long a request can matter: a key without requests for so long is like a new one."""
    period = spec.quota.period_ns
    if spec.quota.limit == 0 or spec.quota.is_unlimited:
        return 0
    if spec.algorithm in ("token-bucket", "leaky-bucket"):
        return at_once(spec) * -(-period // spec.quota.limit)
    return 2 * period if spec.algorithm == "sliding-window" or spec.quota.calendar else period
