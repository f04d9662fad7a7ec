"""From quotas to the integers of a `Rule`: checked once, so that nothing can overflow later."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from inspect import Parameter, signature
from math import gcd
from typing import Any, NamedTuple

from ..errors import unknown
from ..quota import LARGEST, NS_PER_SECOND, Quota, count

TOKEN_BUCKET, LEAKY_BUCKET, FIXED_WINDOW, FIRST_WINDOW, SLIDING_WINDOW, SLIDING_LOG = range(6)  # as in rule.pxd
ALGORITHMS = {
    TOKEN_BUCKET: "token-bucket",
    LEAKY_BUCKET: "leaky-bucket",
    FIXED_WINDOW: "fixed-window",
    FIRST_WINDOW: "fixed-window anchor first",
    SLIDING_WINDOW: "sliding-window",
    SLIDING_LOG: "sliding-log",
}

STATE_BITS, MOMENT_BITS = 79, 62
LARGEST_UNIT = 2 ** (STATE_BITS - MOMENT_BITS - 1)  # a moment and a tolerance, both in ticks, add up in a state
HIGHLY_COMPOSITE = 55_440  # divisible by 1 to 12: whole ticks for the usual limits and for overrides between them
LOG_CAPACITY = 2 ** (STATE_BITS - MOMENT_BITS) // 3


class Sizes(NamedTuple):
    """What a `Rule` is made of; see rule.pxd."""

    quota: Quota
    algorithm: int
    limit: int
    period: int
    unit: int = 1
    interval: int = 1
    tolerance: int = 1
    count_bits: int = 0
    capacity: int = 0


def token_bucket(quota: Quota | str, burst: int | None = None, *, own: Sizes | None = None) -> Sizes:
    """GCRA with an interval in ticks: exact whenever limit / gcd(limit, period in ns) is 65,536 or less.

    Beyond that, and for an override whose interval is no whole number of the limiter's `own` ticks, the
    interval is rounded up by less than one tick, to the strict side.
    """
    quota = Quota.of(quota).with_burst(burst)
    reduced = quota.limit // gcd(quota.limit, quota.period_ns)
    if own is not None:
        unit = own.unit
    elif HIGHLY_COMPOSITE % reduced == 0:
        unit = HIGHLY_COMPOSITE
    else:
        unit = reduced * (LARGEST_UNIT // reduced) or LARGEST_UNIT
    interval = -(-quota.period_ns * unit // quota.limit)
    if (interval * quota.limit - quota.period_ns * unit) * 1_000 > quota.period_ns * unit:
        raise ValueError(f"quota {quota} is too fast: its interval is below the finest step, 1/{unit} ns")
    return _gcra(TOKEN_BUCKET, quota, quota.burst or quota.limit, unit, interval)


def leaky_bucket(quota: Quota | str, capacity: int | None = None, *, own: Sizes | None = None) -> Sizes:
    """GCRA with an interval in whole nanoseconds, rounded up, so that turns are never closer than it.

    One is in service and `capacity` wait; 0 lets none wait.
    """
    quota = Quota.of(quota)
    if capacity is None:
        capacity = quota.burst or quota.limit
    else:
        capacity = count(capacity, "capacity", least=0)
        quota = quota.with_burst(capacity or None)
    return _gcra(LEAKY_BUCKET, quota, capacity + 1, 1, -(-quota.period_ns // quota.limit))


def _gcra(algorithm: int, quota: Quota, burst: int, unit: int, interval: int) -> Sizes:
    if interval * burst > LARGEST * unit:
        raise ValueError(
            f"quota {quota} with room for {burst} would take more than 2**62 ns (146 years) to refill; "
            "lower the burst or raise the rate"
        )
    return Sizes(quota, algorithm, burst, quota.period_ns, unit, interval, interval * burst)


def fixed_window(quota: Quota | str, *, anchor: str = "epoch", own: Sizes | None = None) -> Sizes:
    quota = Quota.of(quota)
    if anchor not in ("epoch", "first"):
        raise ValueError(f"anchor must be 'epoch' or 'first', not {anchor!r}")
    if anchor == "first" or (own is not None and own.algorithm == FIRST_WINDOW):
        return _window(FIRST_WINDOW, quota, STATE_BITS - MOMENT_BITS, own)
    return _window(FIXED_WINDOW, quota, min(STATE_BITS - _index_bits(quota), 63), own)


def sliding_window(quota: Quota | str, *, own: Sizes | None = None) -> Sizes:
    quota = Quota.of(quota)
    return _window(SLIDING_WINDOW, quota, (STATE_BITS - _index_bits(quota)) // 2, own)


def sliding_log(quota: Quota | str, *, own: Sizes | None = None) -> Sizes:
    quota = Quota.of(quota)
    _same_period(quota, own)
    if quota.limit > LOG_CAPACITY:
        raise ValueError(f"quota {quota}: a sliding log keeps a moment per request, for limits up to {LOG_CAPACITY}")
    if own is not None and quota.limit > own.capacity:
        raise ValueError(f"quota {quota}: this log has room for {own.capacity} requests per key, not {quota.limit}")
    return Sizes(quota, SLIDING_LOG, quota.limit, quota.period_ns, capacity=own.capacity if own else quota.limit)


def check_arguments(cls: type, measure: Callable[..., Sizes], given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Refuse arguments that a class of limiters does not have, in the words of that class.

    Args:
        measure: the function of this module that gets the arguments.

    Raises:
        TypeError: naming the class and the argument.
    """
    positional, accepted = _arguments_of(measure)
    if len(given) > len(positional):
        raise TypeError(
            f"{cls.__name__}() expected at most {', '.join(positional)} unnamed, got {len(given)} arguments"
        )
    if not given and "quota" not in named:
        raise TypeError(f"{cls.__name__}() missing required argument quota, such as '100/minute'")
    for name in named:
        if name in positional[: len(given)]:
            raise TypeError(f"{cls.__name__}() got the argument {name} twice")
        if name not in accepted:
            raise TypeError(f"{cls.__name__}() got an {unknown('argument', name, accepted)}")


@cache
def _arguments_of(measure: Callable[..., Sizes]) -> tuple[list[str], list[str]]:
    """The names of the arguments that need no name, and of all."""
    own = [parameter for parameter in signature(measure).parameters.values() if parameter.name != "own"]
    positional = [parameter.name for parameter in own if parameter.kind == Parameter.POSITIONAL_OR_KEYWORD]
    return positional, [*(parameter.name for parameter in own), "max_keys", "table", "on_full", "clock"]


def options_of(sizes: Sizes) -> dict[str, int | str]:
    """What to give the algorithm's class beside the quota, for limits of these sizes; defaults are left out."""
    if sizes.algorithm == TOKEN_BUCKET and sizes.limit != sizes.quota.limit:
        return {"burst": sizes.limit}
    if sizes.algorithm == LEAKY_BUCKET and sizes.limit - 1 != sizes.quota.limit:
        return {"capacity": sizes.limit - 1}
    return {"anchor": "first"} if sizes.algorithm == FIRST_WINDOW else {}


def text_of(sizes: Sizes) -> str:
    """The limit as `ratelimit.parse` reads it."""
    algorithm, *_ = ALGORITHMS[sizes.algorithm].split()
    return " ".join([algorithm, str(sizes.quota), *(f"{name} {value}" for name, value in options_of(sizes).items())])


def restate(limit: int, period_ns: int, most: int, own: Sizes) -> Sizes:
    """The sizes of a quota that was written down as three numbers, for a table whose slots `own` describes."""
    quota = Quota(limit, Fraction(period_ns, NS_PER_SECOND))
    if own.algorithm == TOKEN_BUCKET:
        return token_bucket(quota, most if most != limit else None, own=own)
    if own.algorithm == LEAKY_BUCKET:
        return leaky_bucket(quota, most - 1 if most - 1 != limit else None, own=own)
    measure = {SLIDING_WINDOW: sliding_window, SLIDING_LOG: sliding_log}.get(own.algorithm, fixed_window)
    return measure(quota, own=own)


def _index_bits(quota: Quota) -> int:
    """Bits to number every window there will ever be."""
    return (LARGEST // quota.period_ns).bit_length()


def _window(algorithm: int, quota: Quota, count_bits: int, own: Sizes | None) -> Sizes:
    _same_period(quota, own)
    most = 2**count_bits - 1
    if quota.limit > most:
        raise ValueError(
            f"quota {quota}: with this algorithm and period the limit is at most {most}; a TokenBucket takes more"
        )
    return Sizes(quota, algorithm, quota.limit, quota.period_ns, count_bits=count_bits)


def _same_period(quota: Quota, own: Sizes | None) -> None:
    if own is not None and quota.period_ns != own.period:
        own_period = Quota(own.limit, Fraction(own.period, NS_PER_SECOND))
        raise ValueError(f"quota {quota} must have the period of this limiter's windows, as {own_period}")
