"""Days and periods by UTC."""

from datetime import date, timedelta

from ... import _calendar
from ..._calendar import EPOCH, start_ns

__all__ = ["DAY_NS", "EPOCH", "MAX_DAYS", "day_of", "period_of", "start_ns"]
DAY_NS = 86_400 * 10**9
MAX_DAYS = {"DAY": 1, "WEEK": 7, "MONTH": 31}  # of a period


def day_of(now_ns: int) -> date:
    """Return the day of a moment."""
    return EPOCH + timedelta(now_ns // DAY_NS)


def period_of(period: str, day: date) -> tuple[date, date]:
    """Return the first day of a DAY, WEEK or MONTH that holds a day, and the first day after it."""
    return _calendar.period_of(period.lower(), day)
