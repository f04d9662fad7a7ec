"""Days and periods by UTC."""

from datetime import date, timedelta

DAY_NS = 86_400 * 10**9
EPOCH = date(1970, 1, 1)
MAX_DAYS = {"DAY": 1, "WEEK": 7, "MONTH": 31}  # of a period


def day_of(now_ns: int) -> date:
    """Return the day of a moment."""
    return EPOCH + timedelta(now_ns // DAY_NS)


def start_ns(day: date) -> int:
    """Return the moment at which a day begins."""
    return (day - EPOCH).days * DAY_NS


def period_of(period: str, day: date) -> tuple[date, date]:
    """Return the first day of the period in which a day is, and the first day after that period."""
    if period == "DAY":
        return day, day + timedelta(1)
    if period == "WEEK":
        monday = day - timedelta(day.weekday())
        return monday, monday + timedelta(7)
    first = day.replace(day=1)
    return first, (first + timedelta(31)).replace(day=1)
