"""The text of a moment, as integer nanoseconds since the Unix epoch."""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

NS = 1_000_000_000
BROKEN = -1  # what cannot be read, or lies before 1970
LATEST = 2**62 - 2
LATEST_YEAR = 2116  # in which that is
CLF_SIZE = len("17/May/2015:10:05:03 +0000")
DIGITS = [0, 1, *range(7, 11), 12, 13, 15, 16, 18, 19, *range(22, 26)]
MARKS = {2: "/", 6: "/", 11: ":", 14: ":", 17: ":", 20: " "}
NAMES = np.array([int.from_bytes(name) for name in b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()])
BY_NAME = np.argsort(NAMES)


def from_clf(texts: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """Moments such as `17/May/2015:10:05:03 +0000`, an array of 26 bytes each.

    A whole array at a time, and by position: neither the locale nor the month's spelling in it matters.
    """
    rows = np.ascontiguousarray(texts, f"S{CLF_SIZE}").view(np.uint8).reshape(-1, CLF_SIZE)
    places = np.ascontiguousarray(rows.T)
    digits = places - np.uint8(ord("0"))  # what is no digit becomes more than 9
    known = np.all(digits[DIGITS] <= 9, axis=0)
    for place, mark in MARKS.items():
        known &= places[place] == ord(mark)

    def number(begin: int, end: int, least: int, most: int) -> NDArray[np.int64]:
        value: NDArray[np.int64] = digits[begin].astype(np.int64)
        for place in range(begin + 1, end):
            value = 10 * value + digits[place]
        np.logical_and(known, (value >= least) & (value <= most), out=known)
        return value

    day, year = number(0, 2, 1, 31), number(7, 11, 1970, 2100)
    hour, minute, second = number(12, 14, 0, 23), number(15, 17, 0, 59), number(18, 20, 0, 60)
    east = number(22, 24, 0, 23) * 3_600 + number(24, 26, 0, 59) * 60
    east = np.where(places[21] == ord("-"), -east, east)
    name = (places[3].astype(np.int64) << 16) + (places[4].astype(np.int64) << 8) + places[5]
    month = BY_NAME[np.searchsorted(NAMES, name, sorter=BY_NAME) % 12]
    known &= (NAMES[month] == name) & ((places[21] == ord("-")) | (places[21] == ord("+")))
    first = (12 * (np.where(known, year, 1970) - 1970) + month).astype("datetime64[M]")
    date = first.astype("datetime64[D]") + (day - 1)
    known &= date.astype("datetime64[M]") == first  # no 31st of June
    seconds = date.astype(np.int64) * 86_400 + hour * 3_600 + minute * 60 + second - east
    return np.where(known & (seconds >= 0), seconds * NS, BROKEN)


def from_text(text: str) -> int:
    """A moment as other logs write it: seconds (or, if it is so large, milli-, micro- or nanoseconds) since the
    epoch, ISO 8601 (UTC where it names no zone), or as common logs do."""
    try:
        moment = _epoch_ns(Decimal(text))
    except InvalidOperation:
        moment = _written_ns(text.strip())
    return moment if 0 <= moment <= LATEST else BROKEN


def _epoch_ns(number: Decimal) -> int:
    if not number.is_finite() or not 0 <= number <= LATEST:  # also before it becomes an int of a billion digits
        return BROKEN
    for unit, below in ((NS, 10**11), (10**6, 10**14), (10**3, 10**17)):
        if number < below:  # of seconds, 10**11 is the year 5138; of milliseconds, 1973
            return int(number * unit)
    return int(number)


def _written_ns(text: str) -> int:
    if len(text) == CLF_SIZE and text[2] == "/":
        return int(from_clf(np.array([text.encode()]))[0])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return BROKEN
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * NS + since.microseconds * 1_000
