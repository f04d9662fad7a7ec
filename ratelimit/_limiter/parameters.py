"""From quotas to the parameters of rules: checked here once, so that no computation overflows later."""

from collections.abc import Callable, Mapping
from functools import cache
from inspect import Parameter, signature
from math import gcd
from typing import Any, NamedTuple

from .._engine.constants import LARGEST_UNIT, LOG_CAPACITY, MOMENT_BITS, STATE_BITS, Algorithm
from .._storage.metadata import StoredQuota, TableFormat, TableMetadata, algorithm_name
from ..errors import CorruptTable, unknown
from ..quota import LARGEST, UNLIMITED, Quota, checked_int, seconds_of

HIGHLY_COMPOSITE = 55_440  # divisible by 1 to 12: whole ticks for the usual limits and for overrides between them


class RuleParameters(NamedTuple):
    """A quota and the integers of the rule that implements it; rule.pxd describes them."""

    quota: Quota
    algorithm: int
    limit: int
    period: int
    unit: int = 1
    interval: int = 1
    tolerance: int = 1
    count_bits: int = 0
    capacity: int = 0
    unlimited: bool = False
    calendar: str = ""

    @property
    def stored(self) -> StoredQuota:
        """The quota as a table keeps it. Two rules of one algorithm are the same if their stored quotas are."""
        return StoredQuota(self.quota.limit, self.quota.period_ns, self.limit)

    def format(self, own_clock: bool) -> TableFormat:
        """Return the properties of a table for this rule."""
        return TableFormat(self.algorithm, own_clock, self.unit, self.period, self.capacity, self.calendar)


def token_bucket(quota: Quota | str, burst: int | None = None, *, base: RuleParameters | None = None) -> RuleParameters:
    """GCRA with an interval in ticks: exact if limit / gcd(limit, period in ns) is at most 65,536.

    Beyond that, and for an override whose interval is not a whole number of the ticks of `base`, the interval is
    rounded up by less than one tick, to the strict side.
    """
    quota = _by_length(Quota.of(quota).with_burst(burst))
    if quota.limit == 0 or quota.is_unlimited:
        unit = base.unit if base else HIGHLY_COMPOSITE
        return _without_limit(RuleParameters(quota, Algorithm.TOKEN_BUCKET, 0, quota.period_ns, unit), base)
    reduced = quota.limit // gcd(quota.limit, quota.period_ns)
    if base is not None:
        unit = base.unit
    elif HIGHLY_COMPOSITE % reduced == 0:
        unit = HIGHLY_COMPOSITE
    else:
        unit = reduced * (LARGEST_UNIT // reduced) or LARGEST_UNIT
    interval = -(-quota.period_ns * unit // quota.limit)
    if (interval * quota.limit - quota.period_ns * unit) * 1_000 > quota.period_ns * unit:
        raise ValueError(f"quota {quota}: expected an interval of at least 1/{unit} ns, the finest step")
    return _gcra(Algorithm.TOKEN_BUCKET, quota, quota.burst or quota.limit, unit, interval)


def leaky_bucket(
    quota: Quota | str, capacity: int | None = None, *, base: RuleParameters | None = None
) -> RuleParameters:
    """GCRA with an interval in whole nanoseconds, rounded up, so that turns are never closer than the interval.

    One request is in service and `capacity` wait; with 0, none waits.
    """
    quota = _by_length(Quota.of(quota))
    if capacity is None:
        capacity = quota.burst or quota.limit
    else:
        capacity = checked_int(capacity, "capacity", least=0)
        quota = quota.with_burst(capacity or None)
    if quota.limit == 0 or quota.is_unlimited:
        return _without_limit(RuleParameters(quota, Algorithm.LEAKY_BUCKET, 0, quota.period_ns), base)
    return _gcra(Algorithm.LEAKY_BUCKET, quota, capacity + 1, 1, -(-quota.period_ns // quota.limit))


def _by_length(quota: Quota) -> Quota:
    """Refuse a quota by the calendar, whose periods differ in length."""
    if quota.calendar:
        raise ValueError(f"quota {quota}: expected a period of one length; only a FixedWindow follows a calendar")
    return quota


def _gcra(algorithm: int, quota: Quota, burst: int, unit: int, interval: int) -> RuleParameters:
    if interval * burst > LARGEST * unit:
        raise ValueError(
            f"quota {quota}: expected a bucket that refills within 2**62 ns (146 years), got one of {burst}; "
            "lower the burst or raise the rate"
        )
    return RuleParameters(quota, algorithm, burst, quota.period_ns, unit, interval, interval * burst)


def fixed_window(quota: Quota | str, *, anchor: str = "epoch", base: RuleParameters | None = None) -> RuleParameters:
    """Return the rule that counts in windows of one period, from the epoch or from a key's first request."""
    quota = Quota.of(quota)
    if anchor not in ("epoch", "first"):
        raise ValueError(f"anchor: expected 'epoch' or 'first', got {anchor!r}")
    if base.calendar if base else quota.calendar:
        return _calendar_window(quota, anchor, base)
    if anchor == "first" or (base is not None and base.algorithm == Algorithm.FIRST_WINDOW):
        return _window(Algorithm.FIRST_WINDOW, quota, STATE_BITS - MOMENT_BITS, base)
    return _window(Algorithm.FIXED_WINDOW, quota, min(STATE_BITS - _index_bits(quota, base), 63), base)


def _calendar_window(quota: Quota, anchor: str, base: RuleParameters | None) -> RuleParameters:
    """Return the rule that counts in the windows of a calendar, which has a number for each."""
    calendar = base.calendar if base else quota.calendar or ""
    if anchor != "epoch":
        raise ValueError(f"anchor: expected 'epoch' with a calendar, got {anchor!r}")
    if quota.limit == 0 or quota.is_unlimited:
        parameters = RuleParameters(quota, Algorithm.CALENDAR_WINDOW, 0, quota.period_ns, count_bits=62)
        return _without_limit(parameters, base)._replace(calendar=calendar)
    if quota.calendar != calendar:
        example = Quota(base.limit if base else 1, calendar)
        raise ValueError(f"quota {quota}: expected the calendar of this limiter's windows, as in {example}")
    if quota.limit >= 2**62:
        raise ValueError(f"quota {quota}: expected a limit below 2**62 with a calendar")
    return RuleParameters(
        quota, Algorithm.CALENDAR_WINDOW, quota.limit, quota.period_ns, count_bits=62, calendar=calendar
    )


def sliding_window(quota: Quota | str, *, base: RuleParameters | None = None) -> RuleParameters:
    """Return the rule that counts in the current window and in the previous one."""
    quota = _by_length(Quota.of(quota))
    return _window(Algorithm.SLIDING_WINDOW, quota, (STATE_BITS - _index_bits(quota, base)) // 2, base)


def sliding_log(quota: Quota | str, *, base: RuleParameters | None = None) -> RuleParameters:
    """Return the rule that stores the time of each request in a ring of cells."""
    quota = _by_length(Quota.of(quota))
    if quota.limit == 0 or quota.is_unlimited:
        capacity = base.capacity if base else 1
        return _without_limit(RuleParameters(quota, Algorithm.SLIDING_LOG, 0, quota.period_ns, capacity=capacity), base)
    _require_period(quota, base)
    if quota.limit > LOG_CAPACITY:
        raise ValueError(f"quota {quota}: expected a limit up to {LOG_CAPACITY}; a sliding log keeps each request")
    if base is not None and quota.limit > base.capacity:
        raise ValueError(f"quota {quota}: expected a limit up to {base.capacity}, for which this log was made")
    capacity = base.capacity if base else quota.limit
    return RuleParameters(quota, Algorithm.SLIDING_LOG, quota.limit, quota.period_ns, capacity=capacity)


def _without_limit(parameters: RuleParameters, base: RuleParameters | None) -> RuleParameters:
    """Return the parameters of a quota that refuses or admits everything. Its states have the format of `base`.

    The interval is the period, for debts from other quotas.
    """
    period = parameters.period
    if base is not None and parameters.algorithm not in (Algorithm.TOKEN_BUCKET, Algorithm.LEAKY_BUCKET):
        period = base.period
    interval = period * parameters.unit
    return parameters._replace(period=period, interval=interval, tolerance=0, unlimited=parameters.quota.is_unlimited)


def check_arguments(
    cls: type, measure: Callable[..., RuleParameters], given: tuple[Any, ...], named: Mapping[str, Any]
) -> None:
    """Refuse arguments that a class of limiters does not have.

    Args:
        measure: the function of this module that is called with the arguments.

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
def _arguments_of(measure: Callable[..., RuleParameters]) -> tuple[list[str], list[str]]:
    """Return the names of the positional arguments, and of all."""
    options = [parameter for parameter in signature(measure).parameters.values() if parameter.name != "base"]
    positional = [parameter.name for parameter in options if parameter.kind == Parameter.POSITIONAL_OR_KEYWORD]
    return positional, [*(parameter.name for parameter in options), "max_keys", "table", "on_full", "clock"]


def options_of(parameters: RuleParameters) -> dict[str, int | str]:
    """Return what the algorithm's class needs beside the quota to make such a limiter; defaults are left out."""
    if parameters.limit == 0:
        return {"anchor": "first"} if parameters.algorithm == Algorithm.FIRST_WINDOW else {}
    if parameters.algorithm == Algorithm.TOKEN_BUCKET and parameters.limit != parameters.quota.limit:
        return {"burst": parameters.limit}
    if parameters.algorithm == Algorithm.LEAKY_BUCKET and parameters.limit - 1 != parameters.quota.limit:
        return {"capacity": parameters.limit - 1}
    return {"anchor": "first"} if parameters.algorithm == Algorithm.FIRST_WINDOW else {}


def text_of(parameters: RuleParameters) -> str:
    """Return the limit as `ratelimit.parse` reads it."""
    fixed = parameters.algorithm in (Algorithm.FIRST_WINDOW, Algorithm.CALENDAR_WINDOW)
    algorithm = algorithm_name(Algorithm.FIXED_WINDOW if fixed else parameters.algorithm)
    options = [f"{name} {value}" for name, value in options_of(parameters).items()]
    return " ".join([algorithm, str(parameters.quota), *options])


def restate(stored: StoredQuota, base: RuleParameters) -> RuleParameters:
    """Return the parameters of a stored quota, for a table whose states have the format of `base`."""
    if stored.limit == UNLIMITED.limit:
        quota = UNLIMITED
    elif base.calendar:
        quota = Quota(stored.limit, base.calendar)
    else:
        quota = Quota(stored.limit, seconds_of(stored.period_ns))
    if base.algorithm == Algorithm.TOKEN_BUCKET:
        return token_bucket(quota, stored.maximum if stored.maximum != stored.limit else None, base=base)
    if base.algorithm == Algorithm.LEAKY_BUCKET:
        capacity = stored.maximum - 1
        return leaky_bucket(quota, capacity if capacity not in (stored.limit, -1) else None, base=base)
    if base.algorithm == Algorithm.SLIDING_WINDOW:
        return sliding_window(quota, base=base)
    if base.algorithm == Algorithm.SLIDING_LOG:
        return sliding_log(quota, base=base)
    return fixed_window(quota, base=base)


def read_parameters(metadata: TableMetadata, revision: int) -> RuleParameters:
    """Return the parameters of the quota that a table has since `revision`.

    Raises:
        CorruptTable: the quota was not written, or is damaged.
    """
    made = metadata.format
    try:
        quota = Quota(1, seconds_of(made.period))
        base = RuleParameters(
            quota, made.algorithm, 1, made.period, made.unit, capacity=made.capacity, calendar=made.calendar
        )
        return restate(metadata.quota(revision), base)
    except CorruptTable:
        raise
    except (ValueError, ZeroDivisionError) as error:
        raise CorruptTable(f"{metadata.source} is damaged: its quota is not valid ({error})") from None


def _index_bits(quota: Quota, base: RuleParameters | None) -> int:
    """Return the number of bits for the number of the last window before the end of time."""
    return (LARGEST // (base.period if base else quota.period_ns)).bit_length()


def _window(algorithm: int, quota: Quota, count_bits: int, base: RuleParameters | None) -> RuleParameters:
    if quota.limit == 0 or quota.is_unlimited:
        return _without_limit(RuleParameters(quota, algorithm, 0, quota.period_ns, count_bits=count_bits), base)
    _require_period(quota, base)
    maximum = 2**count_bits - 1
    if quota.limit > maximum:
        raise ValueError(
            f"quota {quota}: expected a limit up to {maximum} with this algorithm and period; a TokenBucket takes more"
        )
    return RuleParameters(quota, algorithm, quota.limit, quota.period_ns, count_bits=count_bits)


def _require_period(quota: Quota, base: RuleParameters | None) -> None:
    if base is not None and (quota.period_ns != base.period or quota.calendar):
        example = Quota(base.limit, seconds_of(base.period))
        raise ValueError(f"quota {quota}: expected the period of this limiter's windows, as in {example}")
