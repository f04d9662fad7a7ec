"""Every algorithm beside its oracle, and how to compare their answers."""

from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import oracle

import ratelimit

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


@dataclass(frozen=True)
class Algorithm:
    """One algorithm and its oracle."""

    name: str
    limiter: type
    oracle: type
    options: dict[str, Any] = field(default_factory=dict)  # that make the limiter so

    def make(self, quota, clock=None, **options):
        return self.limiter(quota, clock=clock, **self.options, **options)

    def __repr__(self):
        return self.name


ALGORITHMS = [
    Algorithm("token bucket", ratelimit.TokenBucket, oracle.TokenBucket),
    Algorithm("leaky bucket", ratelimit.LeakyBucket, oracle.LeakyBucket),
    Algorithm("fixed window", ratelimit.FixedWindow, oracle.FixedWindow),
    Algorithm("first window", ratelimit.FixedWindow, oracle.FirstWindow, options={"anchor": "first"}),
    Algorithm("sliding window", ratelimit.SlidingWindow, oracle.SlidingWindow),
    Algorithm("sliding log", ratelimit.SlidingLog, oracle.SlidingLog),
]


@dataclass(frozen=True, repr=False)
class Calendar(Algorithm):
    """A fixed window of a calendar; `period` is its nominal length and `start` a moment shortly before an odd one."""

    calendar: str = ""
    period: int = 0
    start: int = 0

    def make(self, quota, clock=None, **options):
        return self.limiter(ratelimit.Quota(quota.limit, self.calendar), clock=clock, **options)


def calendar(unit, days, zone, *moment):
    start = int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp()) * SECOND
    name = f"{unit} in {zone}"
    oracle_of = partial(oracle.CalendarWindow, unit=unit, zone=zone)
    period = days * 86_400 * SECOND
    return Calendar(name, ratelimit.FixedWindow, oracle_of, calendar=name, period=period, start=start)


CALENDARS = [
    calendar("day", 1, "America/New_York", 2028, 3, 11, 12),  # the next day has 23 hours
    calendar("week", 7, "Australia/Lord_Howe", 2028, 3, 30),  # the week has half an hour more
    calendar("month", 30, "Europe/Berlin", 2028, 1, 31),
    calendar("year", 365, "UTC", 2027, 12, 31),
]


def quota_of(limit, period_ns, burst=None):
    return ratelimit.Quota(limit, Fraction(period_ns, SECOND), burst)


def answer_of(decision):
    return oracle.Answer(
        decision.allowed,
        decision.limit,
        decision.remaining,
        decision.retry_after_ns,
        decision.reset_after_ns,
        decision.delay_ns,
    )
