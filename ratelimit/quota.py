"""How much in how long: a limit, a period in integer nanoseconds, and perhaps a burst."""

import re
from dataclasses import dataclass
from datetime import timedelta
from numbers import Integral
from operator import index
from typing import TYPE_CHECKING

from ._engine.constants import MOMENT_BITS, NS_PER_SECOND
from .errors import shortened, unknown

if TYPE_CHECKING:  # imported when a number is not whole: they take a tenth of the time of the whole package
    from decimal import Decimal
    from fractions import Fraction

LONGEST = 200  # characters of a text that may be a quota
MOST = 2**63 - 1  # requests
LARGEST = 1 << MOMENT_BITS  # of periods and capacities, in nanoseconds: 146 years

_UNITS = {
    1: ("ns", "nanosecond"),
    1_000: ("us", "microsecond"),
    1_000_000: ("ms", "millisecond"),
    NS_PER_SECOND: ("s", "sec", "second"),
    60 * NS_PER_SECOND: ("m", "min", "minute"),
    3_600 * NS_PER_SECOND: ("h", "hr", "hour"),
    86_400 * NS_PER_SECOND: ("d", "day"),
    7 * 86_400 * NS_PER_SECOND: ("w", "week"),
    30 * 86_400 * NS_PER_SECOND: ("month",),
    365 * 86_400 * NS_PER_SECOND: ("y", "year"),
}
_NS = {name: ns for ns, names in _UNITS.items() for name in names} | {
    name + "s": ns for ns, names in _UNITS.items() for name in names if len(name) > 1 and name[-1] != "s"
}  # a symbol has no plural: ms are milliseconds
_DIGITS = r"\d+(?:_\d+)*"
QUOTA = re.compile(  # `r/` is nginx's
    rf"\s*(?P<limit>{_DIGITS})\s*(?:r?/|\bper\b)\s*(?P<count>{_DIGITS}(?:\.\d+)?)?\s*(?P<unit>[a-z]+)\s*(?:\bin\s+(?P<zone>[\w+/-]+)\s*)?",
    re.ASCII | re.IGNORECASE,
)
QUOTA_EXAMPLES = "such as '100/minute', '100 per minute', '5/10s' or '10 per 2 hours'"


@dataclass(frozen=True, slots=True, init=False)
class Quota:
    """`limit` requests in each `period`. `UNLIMITED` is the quota without a limit.

    Args:
        limit: requests, a whole number from 0 to 2**63 - 1. A limit of 0 refuses everything, and for ever.
        period: seconds as int, float, Fraction or Decimal, or a timedelta; a whole number of nanoseconds
            from 1 to 2**62. Or a calendar's `"day"`, `"week"`, `"month"` or `"year"`, such as `"month in
            Europe/Berlin"`, for a FixedWindow; then `period_ns` is nominal, with months of 30 days.
        burst: the most at one moment, for algorithms that know one (a token bucket's size, a leaky
            bucket's capacity); by default theirs.

    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted.

    Immutable, hashable, and safe to share between threads.
    """

    limit: int
    period_ns: int
    burst: int | None
    calendar: str | None

    def __init__(
        self, limit: int, period: "int | float | Fraction | Decimal | timedelta | str", burst: int | None = None
    ) -> None:
        calendar = period if isinstance(period, str) and " in " in period else None
        object.__setattr__(self, "limit", checked_int(limit, "limit", least=0))
        if calendar is None:
            object.__setattr__(self, "period_ns", _period_ns(period))
        else:
            object.__setattr__(self, "period_ns", _nominal_ns(calendar))
        object.__setattr__(self, "calendar", calendar)
        object.__setattr__(self, "burst", None if burst is None else checked_int(burst, "burst"))

    @classmethod
    def parse(cls, text: str) -> "Quota":
        """Read one quota, such as `"100/minute"`, `"100 per minute"`, `"5/10s"` or `"10 per 2 hours"`.

        Units: ns, us, ms, s, m, h, d, w and their names; a month is 30 days and a year 365. `"unlimited"` is UNLIMITED.
        `"1000/month in Europe/Berlin"` is by the calendar of a time zone.
        """
        if not isinstance(text, str):
            raise TypeError(f"quota: expected a str {QUOTA_EXAMPLES} or a Quota, got {text!r}")
        if len(text) <= LONGEST and text.strip().lower() == "unlimited":
            return UNLIMITED
        found = QUOTA.fullmatch(text) if len(text) <= LONGEST else None
        if found is None:
            begin = QUOTA.match(text)
            more = f"; use ratelimit.parse({shortened(text)}) for options and several limits"
            raise ValueError(
                f"quota {shortened(text)}: expected a single quota {QUOTA_EXAMPLES}"
                + (more if begin and begin.end() < len(text) else "")
            )
        unit = _NS.get(found["unit"].lower())
        if unit is None:
            raise ValueError(f"quota {text!r}: {unknown('unit', found['unit'], _NS)}")
        if found["zone"]:
            return cls._of_calendar(text, found, unit)
        try:
            return cls(int(found["limit"]), seconds_of(_exact(found["count"] or 1) * unit))
        except ValueError as error:
            raise ValueError(f"quota {text!r}: {error}") from None

    @classmethod
    def _of_calendar(cls, text: str, found: re.Match[str], unit: int) -> "Quota":
        """Return a quota by the calendar: one unit of it, such as `"1000/month in Europe/Berlin"`."""
        name = _UNITS[unit][-1]
        if name not in ("day", "week", "month", "year") or found["count"]:
            raise ValueError(f"quota {text!r}: expected one day, week, month or year in a time zone")
        try:
            return cls(int(found["limit"]), f"{name} in {found['zone']}")
        except ValueError as error:
            raise ValueError(f"quota {text!r}: {error}") from None

    @classmethod
    def of(cls, quota: "Quota | str") -> "Quota":
        """Return the quota itself, or the text parsed."""
        return quota if isinstance(quota, Quota) else cls.parse(quota)

    def with_burst(self, burst: int | None, name: str = "burst") -> "Quota":
        """Return the same limit and period with another burst; None changes nothing."""
        if burst is None or self.is_unlimited:
            return self
        return Quota(self.limit, self._period, checked_int(burst, name))

    def without_burst(self) -> "Quota":
        """Return the same limit and period."""
        if self.burst is None:
            return self
        return Quota(self.limit, self._period)

    @property
    def _period(self) -> "int | Fraction | str":
        return self.calendar or seconds_of(self.period_ns)

    @classmethod
    def per_second(cls, limit: int, burst: int | None = None) -> "Quota":
        return cls(limit, 1, burst)

    @classmethod
    def per_minute(cls, limit: int, burst: int | None = None) -> "Quota":
        return cls(limit, 60, burst)

    @classmethod
    def per_hour(cls, limit: int, burst: int | None = None) -> "Quota":
        return cls(limit, 3_600, burst)

    @classmethod
    def per_day(cls, limit: int, burst: int | None = None) -> "Quota":
        return cls(limit, 86_400, burst)

    @property
    def is_unlimited(self) -> bool:
        """Whether this is UNLIMITED, whose `limit` is 2**63 and whose period means nothing."""
        return self.limit > MOST

    @property
    def period(self) -> float:
        """Seconds."""
        return self.period_ns / NS_PER_SECOND

    def __str__(self) -> str:
        if self.is_unlimited:
            return "unlimited"
        if self.calendar:
            return f"{self.limit}/{self.calendar}"
        for ns in sorted(_UNITS, reverse=True):
            if self.period_ns % ns == 0 and ns not in _CALENDAR:
                many = self.period_ns // ns
                return f"{self.limit}/{many if many > 1 else ''}{_UNITS[ns][-1 if many == 1 else 0]}"
        raise AssertionError("every period is a whole number of nanoseconds")

    def __repr__(self) -> str:
        if self.is_unlimited:
            return "UNLIMITED"
        burst = "" if self.burst is None else f", burst={self.burst}"
        if self.calendar:
            return f"Quota({self.limit}, {self.calendar!r}{burst})"
        period = self.period_ns // NS_PER_SECOND if self.period_ns % NS_PER_SECOND == 0 else self.period
        return f"Quota({self.limit}, {period!r}{burst})"


def _unlimited() -> Quota:
    quota = object.__new__(Quota)
    object.__setattr__(quota, "limit", MOST + 1)
    object.__setattr__(quota, "period_ns", NS_PER_SECOND)
    object.__setattr__(quota, "burst", None)
    object.__setattr__(quota, "calendar", None)
    return quota


UNLIMITED = _unlimited()  # admits everything, and spends nothing
_CALENDAR = {30 * 86_400 * NS_PER_SECOND, 365 * 86_400 * NS_PER_SECOND}


def _nominal_ns(calendar: str) -> int:
    from ._calendar import UNITS, read_calendar  # few limits follow a calendar

    unit, _ = read_calendar(calendar)
    return UNITS[unit] * 86_400 * NS_PER_SECOND


def checked_int(value: int, name: str, least: int = 1, bits: int = 63) -> int:
    """Return the value if it is a whole number from `least` to 2**bits - 1; otherwise raise an error with its name."""
    accepted = f"{name}: expected a whole number from {least} to 2**{bits} - 1, got {value!r}"
    try:
        number = index(value)
    except TypeError:
        raise TypeError(accepted) from None
    if not least <= number < 2**bits:
        raise ValueError(accepted)
    return number


def seconds_to_ns(seconds: object, name: str) -> int:
    """Return a time of zero or more in whole nanoseconds, rounded down and at most 2**62."""
    accepted = "finite seconds of zero or more, or a timedelta"
    ns = _exact_ns(seconds, name, accepted)
    if ns < 0:
        raise ValueError(f"{name}: expected {accepted}, got {seconds!r}")
    return min(int(ns), LARGEST)


def _period_ns(period: object) -> int:
    accepted = "seconds or a timedelta, a whole number of nanoseconds from 1 to 2**62"
    ns = _exact_ns(period, "period", accepted)
    if ns.denominator != 1 or not 1 <= ns <= LARGEST:
        raise ValueError(f"period: expected {accepted}, got {period!r}")
    return int(ns)


def seconds_of(ns: "int | Fraction") -> "int | Fraction":
    """Return exact seconds, as an int if they are whole."""
    whole, rest = divmod(ns, NS_PER_SECOND)
    if rest == 0:
        return int(whole)
    from fractions import Fraction

    return Fraction(ns) / NS_PER_SECOND


def _exact(number: str | int) -> "int | Fraction":
    """Return the value of a number; a Fraction if it is not written as an int."""
    if isinstance(number, int) or "." not in number:
        return int(number)
    from fractions import Fraction

    return Fraction(number)


def _exact_ns(seconds: object, name: str, accepted: str) -> "int | Fraction":
    """Return exact nanoseconds. A float is taken as the decimal number that it is written as: 0.1 is a tenth."""
    if type(seconds) is int:
        return seconds * NS_PER_SECOND
    if isinstance(seconds, timedelta):
        return seconds // timedelta(microseconds=1) * 1_000
    from decimal import Decimal
    from fractions import Fraction

    if isinstance(seconds, bool) or not isinstance(seconds, (Integral, float, Fraction, Decimal)):
        raise TypeError(f"{name}: expected {accepted}, got {seconds!r}")
    try:
        exact = Fraction(repr(float(seconds)) if isinstance(seconds, float) else seconds)
    except (ValueError, OverflowError):  # infinite, or not a number
        raise ValueError(f"{name}: expected {accepted}, got {seconds!r}") from None
    return exact * NS_PER_SECOND
