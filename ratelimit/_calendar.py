"""Days, weeks, months and years of a time zone.

A window of a calendar has a number, which does not depend on the zone or on when its rules change. The moments at which
windows begin are computed for all of time at once, up to the year 2116, by the zone data that is installed.
"""

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from ._engine.constants import MOMENT_BITS, NS_PER_SECOND
from .errors import shortened, unknown

UNITS = {"day": 1, "week": 7, "month": 30, "year": 365}  # their nominal days
MAX_LENGTH = 90  # characters of a calendar
EPOCH = date(1970, 1, 1)
ORIGIN = date(1968, 1, 1)  # a Monday; the number of each window that holds it is 0
END = 1 << MOMENT_BITS
SECOND = timedelta(seconds=1)


def read_calendar(text: str) -> tuple[str, str]:
    """Return the unit and the zone of a calendar such as `"month in Europe/Berlin"`.

    Raises:
        ValueError: the unit or the zone does not exist.
    """
    unit, _, zone = text.partition(" in ")
    if unit not in UNITS:
        raise ValueError(unknown("unit of a calendar", unit, UNITS))
    if len(text) > MAX_LENGTH:
        raise ValueError(f"zone: expected at most {MAX_LENGTH} characters with the unit, got {shortened(text)}")
    zone_of(zone)
    return unit, zone


@cache
def zone_of(name: str) -> tzinfo:
    """Return a time zone.

    Raises:
        ValueError: the zone does not exist.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"zone: expected a time zone of the installed zone data, such as 'Europe/Berlin', got {shortened(name)}"
        ) from None


def period_of(unit: str, day: date) -> tuple[date, date]:
    """Return the first day of the period that holds a day, and the first day after it. Weeks begin on Monday."""
    if unit == "day":
        return day, day + timedelta(1)
    if unit == "week":
        monday = day - timedelta(day.weekday())
        return monday, monday + timedelta(7)
    if unit == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(31)).replace(day=1)
    return date(day.year, 1, 1), date(day.year + 1, 1, 1)


def start_ns(day: date, zone: tzinfo = UTC) -> int:
    """Return the first moment at which the clocks of a zone show a day, or a later one if they skip it."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    if midnight.utcoffset() != midnight.replace(fold=1).utcoffset():  # the clocks skip midnight, or show it twice
        return int(_first_shown(day, zone, midnight.astimezone(UTC)).timestamp()) * NS_PER_SECOND
    return int(midnight.timestamp()) * NS_PER_SECOND


def _first_shown(day: date, zone: tzinfo, start: datetime) -> datetime:
    if _shows(start - SECOND, day, zone):
        before = start - timedelta(1)
        while start - before > SECOND:
            middle = before + (start - before) // SECOND // 2 * SECOND
            before, start = (before, middle) if _shows(middle, day, zone) else (middle, start)
    return start


def _shows(moment: datetime, day: date, zone: tzinfo) -> bool:
    return moment.astimezone(zone).date() >= day


@cache
def starts_of(calendar: str) -> Any:
    """Return when each window of a calendar begins, in nanoseconds by its number, up to the end of time."""
    unit, name = read_calendar(calendar)
    zone = zone_of(name)
    starts: list[int] = []
    day = period_of(unit, ORIGIN)[0]
    while not starts or starts[-1] < END:
        starts.append(min(max(start_ns(day, zone), 0), END))
        day = period_of(unit, day)[1]
    return np.maximum.accumulate(np.array(starts, np.uint64))
