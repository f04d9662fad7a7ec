"""The metadata of a table, in the first half of its first page.

It is written when the table is made, and checked by every process that attaches. Only the quota may change later: each
new quota is written into the next of `QUOTAS` entries, before the header's revision makes it the one in force.
"""

import secrets
import zlib
from typing import Any, NamedTuple

import numpy as np

from .._engine.constants import HEADER_OFFSET, LARGEST_UNIT, LOG_CAPACITY, PAGE_BYTES, SLOT_BYTES, Algorithm
from ..errors import CorruptTable
from .memory import Bytes

MAGIC, LAYOUT = b"RATELIMT", 1
QUOTAS = 16

BYTES_PER_KEY = 24  # 1.5 slots, including the first page
SMALL_TABLE = 1024  # up to here a table has max_keys slots, and a search may visit them all
WINDOW = 256  # slots that a search may visit; the longest run seen with max_keys live keys is 130

COUNTS = "keep", "scale", "reset"  # what a change of the quota does with what keys have spent

_QUOTA = np.dtype(
    [
        ("limit", "<u8"),
        ("period_ns", "<u8"),
        ("maximum", "<u8"),
        ("changed_ns", "<u8"),  # when it came into force
        ("counts", "<u8"),  # the index in COUNTS
        ("checksum", "<u8"),
    ]
)
_METADATA = np.dtype(
    [
        ("magic", "S8"),
        ("layout", "<u4"),
        ("checksum", "<u4"),  # of the fields below, except the quotas, which have their own
        ("algorithm", "<u8"),
        ("own_clock", "<u8"),  # 1: the library's clock, 0: one given as clock=
        ("unit", "<u8"),
        ("period", "<u8"),
        ("capacity", "<u8"),
        ("max_keys", "<u8"),
        ("seed", "<u8", 2),
        ("quotas", _QUOTA, QUOTAS),
        ("calendar", "S96"),
        ("calendar_checksum", "<u8"),  # of a table that has a calendar
    ]
)
_FIXED = slice(_METADATA.fields["algorithm"][1], _METADATA.fields["quotas"][1])  # type: ignore[index]
assert _METADATA.itemsize <= HEADER_OFFSET


class StoredQuota(NamedTuple):
    """A quota as a table keeps it.

    Attributes:
        limit, period_ns: of the quota.
        maximum: the most that can be spent at one moment: the limit, a burst, or a leaky bucket's capacity and one.
    """

    limit: int
    period_ns: int
    maximum: int


class TableFormat(NamedTuple):
    """The properties with which a table is made, beside its size. They never change.

    Attributes:
        algorithm: see constants.pxd.
        own_clock: whether the library's clock decides, and not one that was given as clock=.
        unit: ticks per nanosecond, for token and leaky buckets.
        period: of the windows, in nanoseconds.
        capacity: of a sliding log, in requests per key; otherwise 0.
        calendar: the unit and zone of a calendar's windows, such as "month in Europe/Berlin".
    """

    algorithm: int
    own_clock: bool
    unit: int
    period: int
    capacity: int
    calendar: str = ""


def slots_for(max_keys: int) -> int:
    """Return the number of slots of a table for so many keys."""
    return max_keys if max_keys <= SMALL_TABLE else (max_keys * BYTES_PER_KEY - PAGE_BYTES) // SLOT_BYTES


def window_for(max_keys: int) -> int:
    """Return the number of slots that a search may visit."""
    return max_keys if max_keys <= SMALL_TABLE else WINDOW


def bytes_for(max_keys: int, capacity: int) -> int:
    """Return the size of a table: a page, the slots, and the sliding log's `capacity` words a slot."""
    return PAGE_BYTES + slots_for(max_keys) * SLOT_BYTES * (1 + capacity)


class TableMetadata:
    """The metadata of a mapped table.

    Args:
        memory: the whole table, an array of bytes.
        source: the table's name in error messages.

    Raises:
        CorruptTable: the bytes are not metadata that this version can have written.
    """

    def __init__(self, memory: Bytes, source: str) -> None:
        self.source = source
        if len(memory) < PAGE_BYTES:
            raise CorruptTable(f"{source} is not a ratelimit table: it has {len(memory)} bytes, less than a page")
        self._row: Any = memory[: _METADATA.itemsize].view(_METADATA)[0]
        self._fixed = memory[_FIXED]
        self._check(len(memory))
        row = self._row
        self.max_keys = int(row["max_keys"])
        self.format = TableFormat(
            int(row["algorithm"]),
            bool(row["own_clock"]),
            int(row["unit"]),
            int(row["period"]),
            int(row["capacity"]),
            self._calendar(),
        )
        self.seed: tuple[int, int] = tuple(row["seed"].tolist())

    @staticmethod
    def write(memory: Bytes, made: TableFormat, max_keys: int, quota: StoredQuota) -> None:
        """Write the metadata of a table that no other thread or process can see yet."""
        row: Any = memory[: _METADATA.itemsize].view(_METADATA)[0]
        row["magic"], row["layout"] = MAGIC, LAYOUT
        for name, value in made._asdict().items():
            row[name] = value
        row["calendar_checksum"] = zlib.crc32(made.calendar.encode())
        row["max_keys"] = max_keys
        row["seed"] = secrets.randbits(64), secrets.randbits(64)
        row["quotas"][0] = _entry(quota)
        row["checksum"] = zlib.crc32(memory[_FIXED].data)

    def _check(self, size: int) -> None:
        row, source = self._row, self.source
        if bytes(row["magic"]) != MAGIC:
            raise CorruptTable(f"{source} is not a ratelimit table: it does not begin with {MAGIC!r}")
        if row["layout"] != LAYOUT:
            raise CorruptTable(f"{source} has layout {row['layout']}; this version of ratelimit reads {LAYOUT}")
        if row["checksum"] != zlib.crc32(self._fixed.data):
            raise CorruptTable(f"{source} is damaged: the checksum of its metadata is wrong")
        # A hostile file can have a correct checksum: no value may lead out of the memory or to a division by zero.
        if not (
            row["algorithm"] in list(Algorithm)
            and 1 <= row["max_keys"] < 2**48
            and 1 <= row["unit"] <= LARGEST_UNIT
            and row["capacity"] <= LOG_CAPACITY
        ):
            raise CorruptTable(f"{source} is damaged: its metadata describes an impossible table")
        wanted = bytes_for(int(row["max_keys"]), int(row["capacity"]))
        if size != wanted:
            raise CorruptTable(f"{source} is damaged: expected {wanted:,} bytes, got {size:,}")

    def _calendar(self) -> str:
        text = bytes(self._row["calendar"])
        if self._row["algorithm"] != Algorithm.CALENDAR_WINDOW:
            return ""
        if not text or not text.isascii() or self._row["calendar_checksum"] != zlib.crc32(text):
            raise CorruptTable(f"{self.source} is damaged: the checksum of its calendar is wrong")
        return text.decode()

    def quota(self, revision: int) -> StoredQuota:
        """Return the quota that is in force since `revision`.

        Raises:
            CorruptTable: the quota was not written, or is damaged.
        """
        entry = self._entry(revision)
        return StoredQuota(int(entry["limit"]), int(entry["period_ns"]), int(entry["maximum"]))

    def _entry(self, revision: int) -> Any:
        entry = self._row["quotas"][revision % QUOTAS].copy()
        if entry["checksum"] != _checksum(entry):
            raise CorruptTable(f"{self.source} is damaged: the checksum of its quota is wrong")
        return entry

    def change(self, revision: int) -> tuple[int, str]:
        """Return when the quota of `revision` came into force, in nanoseconds, and what it did with the counts.

        Raises:
            CorruptTable: as for `quota`.
        """
        entry = self._entry(revision)
        if entry["counts"] >= len(COUNTS):
            raise CorruptTable(f"{self.source} is damaged: its change of the quota is not valid")
        return int(entry["changed_ns"]), COUNTS[int(entry["counts"])]

    def write_quota(self, revision: int, quota: StoredQuota, changed_ns: int, counts: str) -> None:
        """Write the quota of a revision to come, and the change that brings it."""
        self._row["quotas"][revision % QUOTAS] = _entry(quota, changed_ns, COUNTS.index(counts))

    def require(self, wanted: TableFormat, max_keys: int | None, any_period: bool = False) -> None:
        """Check that a limiter's states fit the slots. Its quota may still differ.

        Args:
            any_period: the wanted quota is one of which the period means nothing.

        Raises:
            ValueError: naming the difference.
        """
        here = self.format
        pairs: list[tuple[str, object, object]] = [
            ("algorithm", algorithm_name(here.algorithm), algorithm_name(wanted.algorithm)),
            ("max_keys", self.max_keys, self.max_keys if max_keys is None else max_keys),
            ("clock", _clock(here), _clock(wanted)),
        ]
        if wanted.algorithm not in (Algorithm.TOKEN_BUCKET, Algorithm.LEAKY_BUCKET) and not any_period:
            pairs.append(("period in ns", here.period, wanted.period))
            pairs.append(("calendar", here.calendar or "none", wanted.calendar or "none"))
        for name, found, expected in pairs:
            if found != expected:
                raise ValueError(f"{self.source} was made with another {name}: expected {expected}, got {found}")


def algorithm_name(algorithm: int) -> str:
    """Return the name of an algorithm, such as `token-bucket`."""
    return Algorithm(algorithm).name.lower().replace("_", "-")


def _clock(made: TableFormat) -> str:
    return "ratelimit's own" if made.own_clock else "one given as clock="


def _entry(quota: StoredQuota, changed_ns: int = 0, counts: int = 0) -> Any:
    entry = np.zeros((), _QUOTA)
    entry["limit"], entry["period_ns"], entry["maximum"] = quota
    entry["changed_ns"], entry["counts"] = changed_ns, counts
    entry["checksum"] = _checksum(entry)
    return entry


def _checksum(entry: Any) -> int:
    return zlib.crc32(entry.tobytes()[: _QUOTA.fields["checksum"][1]])  # type: ignore[index]
