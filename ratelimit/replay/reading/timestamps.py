"""The text of a time, as integer nanoseconds since the Unix epoch.

A column is read at once where its form allows: the common log's times by position, ISO 8601 and numbers by Arrow.
Every other text goes through `from_text`, which knows the forms of FORMS. A text without a zone is UTC.
"""

import re
from calendar import isleap
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._engine.constants import NS_PER_SECOND as NS

if TYPE_CHECKING:
    import pyarrow as pa

BROKEN = -1  # a text that is not a time, or a time before 1970
LATEST = 2**62 - 2
LATEST_YEAR = 2116  # the year of LATEST
LONGEST = 64  # bytes of a text that can be a time
CLF_SIZE = len("17/May/2015:10:05:03 +0000")
DIGITS = [0, 1, *range(7, 11), 12, 13, 15, 16, 18, 19, *range(22, 26)]
MARKS = {2: "/", 6: "/", 11: ":", 14: ":", 17: ":", 20: " "}
MONTH_NAMES = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
MONTHS = {name.decode().lower(): number for number, name in enumerate(MONTH_NAMES, 1)}
NAMES = np.array([int.from_bytes(name) for name in MONTH_NAMES])
BY_NAME = np.argsort(NAMES)
# Hours east of Greenwich. Names that mean several zones, such as IST, are not here.
ZONES = {"Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3,
         "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}  # fmt: skip

_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,:](?P<fraction>\d{1,9})\d*)?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_ZONE = r" ?(?P<zone>[+-]\d\d(?::?\d\d)?|[A-Za-z]{1,4})?(?:\[[\w/+-]+\])?"
_DAY_NAME = r"(?:[A-Za-z]{3,9},? +)?"
# The forms: a date and a time of day, in the order in which programs write them.
FORMS = [
    re.compile(form, re.ASCII)
    for form in (
        # 2026-01-05 00:00:01
        rf"(?P<year>\d{{4}})([-/.])(?P<month>\d\d)\2(?P<day>\d\d)(?:[T_:]|,? +@? ?){_CLOCK}{_ZONE}",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)T?(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
        rf"(?:[.,](?P<fraction>\d{{1,9}})\d*)?{_ZONE}",  # 20260105T000001Z
        rf"{_DAY_NAME}(?P<day>\d{{1,2}})[/ -](?P<name>[A-Za-z]{{3,9}})[/ -](?P<year>\d{{4}})[: T,]+{_CLOCK}{_ZONE}",
        rf"{_DAY_NAME}(?P<name>[A-Za-z]{{3,9}})\.? +(?P<day>\d{{1,2}}),?(?: +(?P<year>\d{{4}}),?)? +(?:@ )?{_CLOCK}"
        rf"{_ZONE}(?: +(?P<late_year>\d{{4}}))?",  # Mon Jan 05 00:00:01 2026; Jan 5, 2026 @ 00:00:01.000
        rf"(?P<year>\d{{4}}) +(?P<name>[A-Za-z]{{3}}) +(?P<day>\d{{1,2}}) +{_CLOCK}{_ZONE}",  # 2026 Jan  5 00:00:01
        rf"(?P<day>\d\d)\.(?P<month>\d\d)\.(?P<year>\d{{4}}),? +{_CLOCK}{_ZONE}",  # 05.01.2026 00:00:01
        # 1/5/2026 1:00 PM
        rf"(?P<month>\d{{1,2}})/(?P<day>\d{{1,2}})/(?P<year>\d{{4}}),? +(?=.*[AaPp]\.?[Mm]){_CLOCK}{_ZONE}",
    )
]


def times_of(column: "pa.Array") -> NDArray[np.int64]:
    """Parse a column of timestamps (bytes, or null); the result is BROKEN where the text is not a time."""
    encoded: Any = column.dictionary_encode(null_encoding="encode")
    texts = [(value or b"")[:LONGEST] for value in encoded.dictionary.to_pylist()]
    if not texts:
        return np.empty(0, np.int64)
    array = np.array(texts)
    times = from_clf(array)
    others = np.flatnonzero((times == BROKEN) | (np.char.str_len(array) != CLF_SIZE))
    if len(others) > 1:
        read = _read_alike([texts[other] for other in others.tolist()])
        if read is not None:
            times[others] = read
            others = others[read == BROKEN]
    for other in others.tolist():
        times[other] = from_text(texts[other].decode("utf-8", "replace"))
    rows: NDArray[np.int64] = times[encoded.indices.to_numpy()]
    return rows


def _read_alike(texts: list[bytes]) -> NDArray[np.int64] | None:
    """All of these texts at once, if they are of one form that Arrow reads."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        column = pa.array(texts, pa.binary()).cast(pa.string())
        if pc.all(pc.match_substring_regex(column, r"^\d{1,18}(\.\d{1,18})?$")).as_py():
            whole = pc.replace_substring_regex(column, r"\..*", "").cast(pa.int64()).to_numpy()
            digits = pc.utf8_rpad(pc.replace_substring_regex(column, r"^\d*\.?", ""), 9, "0")
            return _epoch_column(whole, pc.utf8_slice_codeunits(digits, 0, 9).cast(pa.int64()).to_numpy())
        for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
            try:
                return _bounded(column.cast(kind).cast(pa.int64()).to_numpy())
            except pa.ArrowInvalid:
                continue
    except pa.ArrowInvalid:  # not UTF-8
        return None
    return None


def _epoch_column(whole: NDArray[np.int64], billionths: NDArray[np.int64]) -> NDArray[np.int64]:
    seconds, milli, micro = whole < 10**11, whole < 10**14, whole < 10**17
    units = np.select([seconds, milli, micro], [NS, 10**6, 10**3], 1)
    fits = whole <= LATEST // units
    return _bounded(np.where(fits, np.where(fits, whole, 0) * units + billionths * units // NS, BROKEN))


def _bounded(times: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where((times >= 0) & (times <= LATEST), times, BROKEN)


def from_clf(texts: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """Parse times such as `17/May/2015:10:05:03 +0000`, an array of 26 bytes each.

    A whole array at a time, and by position: neither the locale nor the month's spelling in it matters.
    """
    rows = np.ascontiguousarray(texts, f"S{CLF_SIZE}").view(np.uint8).reshape(-1, CLF_SIZE)
    places = np.ascontiguousarray(rows.T)
    digits = places - np.uint8(ord("0"))  # any other character becomes more than 9
    valid = np.all(digits[DIGITS] <= 9, axis=0)
    for place, mark in MARKS.items():
        valid &= places[place] == ord(mark)

    def number(begin: int, end: int, least: int, most: int) -> NDArray[np.int64]:
        value: NDArray[np.int64] = digits[begin].astype(np.int64)
        for place in range(begin + 1, end):
            value = 10 * value + digits[place]
        np.logical_and(valid, (value >= least) & (value <= most), out=valid)
        return value

    day, year = number(0, 2, 1, 31), number(7, 11, 1970, 2100)
    hour, minute, second = number(12, 14, 0, 23), number(15, 17, 0, 59), number(18, 20, 0, 60)
    east = number(22, 24, 0, 23) * 3_600 + number(24, 26, 0, 59) * 60
    east = np.where(places[21] == ord("-"), -east, east)
    name = (places[3].astype(np.int64) << 16) + (places[4].astype(np.int64) << 8) + places[5]
    month = BY_NAME[np.searchsorted(NAMES, name, sorter=BY_NAME) % 12]
    valid &= (NAMES[month] == name) & ((places[21] == ord("-")) | (places[21] == ord("+")))
    first = (12 * (np.where(valid, year, 1970) - 1970) + month).astype("datetime64[M]")
    days = first.astype("datetime64[D]") + (day - 1)
    valid &= days.astype("datetime64[M]") == first  # not the 31st of June
    seconds = days.astype(np.int64) * 86_400 + hour * 3_600 + minute * 60 + second - east
    return np.where(valid & (seconds >= 0), seconds * NS, BROKEN)


def from_text(text: str, today: Callable[[], date] = lambda: datetime.now(UTC).date()) -> int:
    """Parse a time in any form that logs use: a date and a time of day, or a number since the epoch.

    The size of the number decides whether it is in seconds, milli-, micro- or nanoseconds.

    Args:
        today: for forms without a year, as in syslog: the latest year in which the date is not after tomorrow.
    """
    try:
        time = _epoch_ns(Decimal(text))
    except InvalidOperation:
        time = _written_ns(text.strip(' \t\r\n[]"'), today)
    return time if 0 <= time <= LATEST else BROKEN


def _epoch_ns(number: Decimal) -> int:
    if not number.is_finite() or not 0 <= number <= LATEST:  # also before it becomes an int of a billion digits
        return BROKEN
    for unit, below in ((NS, 10**11), (10**6, 10**14), (10**3, 10**17)):
        if number < below:  # of seconds, 10**11 is the year 5138; of milliseconds, 1973
            return int(number * unit)
    return int(number)


def _written_ns(text: str, today: Callable[[], date]) -> int:
    found = next((match for form in FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        return BROKEN
    parts = {name: value for name, value in found.groupdict().items() if value is not None}
    month = MONTHS.get(parts["name"][:3].lower(), 0) if "name" in parts else int(parts["month"])
    hour, minute, second = int(parts["hour"]), int(parts["minute"]), int(parts.get("second", "0"))
    east = _east(parts.get("zone", "Z"))
    if "half" in parts:
        hour = hour % 12 + 12 * (parts["half"] in "pP") if 1 <= hour <= 12 else 99
    if east is None or hour > 23 or minute > 59 or second > 60:
        return BROKEN
    try:
        day = _date(parts.get("year") or parts.get("late_year"), month, int(parts["day"]), today)
    except ValueError:
        return BROKEN
    seconds = (day.toordinal() - date(1970, 1, 1).toordinal()) * 86_400 + hour * 3_600 + minute * 60 + second - east
    return seconds * NS + int(parts.get("fraction", "0").ljust(9, "0"))


def _east(zone: str) -> int | None:
    """Seconds east of Greenwich; None for an unknown zone."""
    if zone[0] not in "+-":
        hours = ZONES.get(zone.upper())
        return None if hours is None else hours * 3_600
    digits = zone[1:].replace(":", "").ljust(4, "0")
    east = int(digits[:2]) * 3_600 + int(digits[2:]) * 60
    return -east if zone[0] == "-" else east


def _date(year: str | None, month: int, day: int, today: Callable[[], date]) -> date:
    if year is not None:
        return date(int(year), month, day)
    now = today()
    candidates = [date(now.year + more, month, day) for more in (1, 0, -1) if (month, day) != (2, 29)]
    if not candidates:  # a leap day: the latest leap year
        candidates = [date(y, 2, 29) for y in range(now.year + 1, now.year - 9, -1) if isleap(y)]
    return next(found for found in candidates if found.toordinal() <= now.toordinal() + 1)
