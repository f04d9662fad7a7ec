"""The metadata of a table, in the first half of its first page.

It is written when the table is made, and checked by every process that attaches. Only the quota may change later.

A *revision* is a quota that was in force, with the number of the change (32 bits) and the ticket of the attempt that
made it (32 bits). The ticket's last digit is the place of its entry among `QUOTAS`. An entry is complete before the
header's revision makes it the one in force. Each of its words carries the revision, and is only replaced by a
compare-and-swap, so a process that is stopped inside a change cannot damage a later one. See attachment.pyx.

*Declared* are the quotas that limiters were made with. A limiter that attaches with one that was never declared puts
it in force. With one that was declared before, it follows the table: it was restarted after a change.
"""

import os
import zlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from .._engine.constants import (
    HEADER_OFFSET,
    LARGEST_UNIT,
    LAYOUT,
    LOG_CAPACITY,
    MOMENT_BITS,
    PAGE_BYTES,
    SLOT_BYTES,
    Algorithm,
)
from ..errors import CorruptTable
from .memory import Bytes

MAGIC = b"RATELIMT"
QUOTAS = 16
DECLARATIONS = 32  # that a table remembers

BYTES_PER_KEY = 24  # 1.5 slots, including the first page
DEFAULT_KEYS = 4_000_000
PRIVATE_ADDRESSES, FILE_ADDRESSES = 64 << 30, 4 << 30  # that a table may take by default; memory only as it grows
FIXED_KEYS, FIXED_BYTES = 500_000, 32 << 20  # of a file that has all of its memory from the start
SMALL_TABLE = 1024  # up to here a table has max_keys slots, and a search may visit them all
WINDOW = 256  # slots of a level that a search may visit
BASE_SLOTS = 15_360  # of the lowest level, 240 KB; of a sliding log as many as that memory holds with their rings
SMALLEST_BASE = 64

Starts = Literal["fresh", "spent"]

COUNTS = "keep", "scale", "reset"  # what a change of the quota does with what keys have spent

# The values of an entry: limit, period_ns and maximum of the quota; when it came into force, and in the upper two bits
# what it did with the counts; the revision before; a checksum.
ENTRY_WORDS = 6
_COUNTS_SHIFT = 62
_WORD = np.dtype([("value", "<u8"), ("revision", "<u8")])
_METADATA = np.dtype(
    [
        ("magic", "S8"),
        ("layout", "<u4"),
        ("checksum", "<u4"),  # of the fields below, up to the quotas
        ("algorithm", "<u2"),
        ("own_clock", "<u2"),  # 1: the library's clock, 0: one given as clock=
        ("base", "<u4"),  # slots of the lowest level
        ("born", "<u8"),  # when the table was made, plus one, if it started spent; otherwise 0
        ("unit", "<u8"),
        ("period", "<u8"),
        ("capacity", "<u8"),
        ("max_keys", "<u8"),
        ("seed", "<u8", 2),
        ("quotas", _WORD, (QUOTAS, ENTRY_WORDS)),
        ("version", "<u8"),  # of the declarations, see Table
        ("declared", "<u8", DECLARATIONS),  # hashes of quotas; 0 in a place not yet used
        ("calendar", "S96"),
        ("calendar_checksum", "<u8"),  # of a table that has a calendar
    ]
)
QUOTAS_OFFSET: int = _METADATA.fields["quotas"][1]  # type: ignore[index]
_FIXED = slice(_METADATA.fields["algorithm"][1], _METADATA.fields["quotas"][1])  # type: ignore[index]
assert _METADATA.itemsize <= HEADER_OFFSET
assert QUOTAS_OFFSET % _WORD.itemsize == 0  # a compare-and-swap of 128 bits needs it


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


class TableKind(NamedTuple):
    """The algorithm of a table, and the period of the quota that it was made with."""

    algorithm: int
    period: int


TAKEN = TableKind(-1, -1)  # a file that is not a table of this layout, or cannot be read


def slots_for(max_keys: int) -> int:
    """Return the number of slots of a table for so many keys."""
    return max_keys if max_keys <= SMALL_TABLE else (max_keys * BYTES_PER_KEY - PAGE_BYTES) // SLOT_BYTES


def window_for(max_keys: int) -> int:
    """Return the number of slots that a search may visit."""
    return max_keys if max_keys <= SMALL_TABLE else WINDOW


def base_for(capacity: int, min_keys: int = 0) -> int:
    """Return the number of slots of the lowest level of a table: two for each of `min_keys`, so that no other opens."""
    return max(SMALLEST_BASE, BASE_SLOTS // (1 + capacity), min(2 * min_keys, 2**32 - 1))


def default_max_keys(capacity: int, is_mapped: bool, grows: bool) -> int:
    """Return the number of keys of a table for which no number is given.

    A table takes memory as it grows. Where a mapped file cannot grow, it takes 12 MB, and a sliding log with its rings
    32 MB at most.
    """
    keys, size = DEFAULT_KEYS, FILE_ADDRESSES if is_mapped else PRIVATE_ADDRESSES
    if is_mapped and not grows:
        keys, size = FIXED_KEYS, FIXED_BYTES
    return max(SMALL_TABLE, min(keys, size // (BYTES_PER_KEY * (1 + capacity))))


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
        self.base = int(row["base"])
        self.format = TableFormat(
            int(row["algorithm"]),
            bool(row["own_clock"]),
            int(row["unit"]),
            int(row["period"]),
            int(row["capacity"]),
            self._calendar(),
        )
        self.seed: tuple[int, int] = tuple(row["seed"].tolist())
        self.born = int(row["born"])

    @staticmethod
    def write(
        memory: Bytes,
        made: TableFormat,
        max_keys: int,
        quota: StoredQuota,
        version: int = 0,
        born: int = 0,
        min_keys: int = 0,
    ) -> None:
        """Write the metadata of a table that no other thread or process can see yet."""
        row: Any = memory[: _METADATA.itemsize].view(_METADATA)[0]
        row["magic"], row["layout"] = MAGIC, LAYOUT
        for name, value in made._asdict().items():
            row[name] = value
        row["calendar_checksum"] = zlib.crc32(made.calendar.encode())
        row["max_keys"], row["born"] = max_keys, born
        row["base"] = base_for(made.capacity, min_keys)
        row["seed"] = np.frombuffer(os.urandom(16), "<u8")
        row["quotas"][0]["value"] = entry_values(0, quota, changed_word(0, "keep"), 0)
        row["declared"][0], row["version"] = _hash_of(quota), version
        row["checksum"] = zlib.crc32(memory[_FIXED].data)

    def _check(self, size: int) -> None:
        row, source = self._row, self.source
        if bytes(row["magic"]) != MAGIC:
            raise CorruptTable(f"{source} is not a ratelimit table: it does not begin with {MAGIC!r}")
        if row["layout"] != LAYOUT:
            raise CorruptTable(
                f"{source} has layout {row['layout']}; this version of ratelimit reads {LAYOUT}; use another file, or "
                "remove this one when no process uses it: its counts start again"
            )
        if row["checksum"] != zlib.crc32(self._fixed.data):
            raise CorruptTable(f"{source} is damaged: the checksum of its metadata is wrong")
        # A hostile file can have a correct checksum: no value may lead out of the memory or to a division by zero.
        if not (
            row["algorithm"] in list(Algorithm)
            and 1 <= row["max_keys"] < 2**48
            and row["base"] >= 1
            and 1 <= row["unit"] <= LARGEST_UNIT
            and row["capacity"] <= LOG_CAPACITY
            and row["born"] < 2**MOMENT_BITS
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
            CorruptTable: the quota was not written, was replaced, or is damaged.
        """
        return StoredQuota(*self._entry(revision)[:3])

    def change(self, revision: int) -> tuple[int, str]:
        """Return when the quota of `revision` came into force, in nanoseconds, and what it did with the counts.

        Raises:
            CorruptTable: as for `quota`.
        """
        changed = self._entry(revision)[3]
        if changed >> _COUNTS_SHIFT >= len(COUNTS):
            raise CorruptTable(f"{self.source} is damaged: its change of the quota is not valid")
        return changed & ((1 << _COUNTS_SHIFT) - 1), COUNTS[changed >> _COUNTS_SHIFT]

    def previous(self, revision: int) -> int:
        """Return the revision before.

        Raises:
            CorruptTable: as for `quota`.
        """
        return self._entry(revision)[4]

    def changes(self, since: int, until: int) -> list[int] | None:
        """Return the revisions after `since`, up to `until`; None if the table no longer remembers them all."""
        found: list[int] = []
        while until != since:
            if len(found) == QUOTAS:
                return None
            found.insert(0, until)
            try:
                until = self._entry(until)[4]
            except CorruptTable:
                return None
        return found

    def _entry(self, revision: int) -> list[int]:
        entry = self._row["quotas"][revision % QUOTAS].copy()
        values: list[int] = entry["value"].tolist()
        if (entry["revision"] != revision).any() or values != entry_values(revision, values[:3], *values[3:5]):
            raise CorruptTable(f"{self.source} is damaged: the checksum of its quota is wrong")
        return values

    def is_declared(self, quota: StoredQuota) -> bool:
        """Return whether a limiter was ever made with this quota, as far as the table remembers."""
        return bool((self._row["declared"] == _hash_of(quota)).any())

    def declare(self, quota: StoredQuota, number: int) -> None:
        """Remember the quota, as the one of this number."""
        self._row["declared"][number % DECLARATIONS] = _hash_of(quota)

    @property
    def starts(self) -> Starts:
        """Whether each key had its whole quota when the table was made, or nothing."""
        return "spent" if self.born else "fresh"

    @property
    def version(self) -> int:
        """The highest `version=` of a table with which a limiter was made."""
        return int(self._row["version"])

    @version.setter
    def version(self, version: int) -> None:
        self._row["version"] = version

    def require(
        self,
        wanted: TableFormat,
        max_keys: int | None,
        starts: Starts | None,
        any_period: bool = False,
        min_keys: int | None = None,
    ) -> None:
        """Check that a limiter's states fit the slots. Its quota may still differ.

        Args:
            max_keys, min_keys, starts: of the limiter's table. None: what this one was made with.
            any_period: the wanted quota is one of which the period means nothing.

        Raises:
            ValueError: naming the difference.
        """
        here = self.format
        pairs: list[tuple[str, object, object]] = [
            ("algorithm", algorithm_name(here.algorithm), algorithm_name(wanted.algorithm)),
            ("max_keys", self.max_keys, self.max_keys if max_keys is None else max_keys),
            ("min_keys", self.base, self.base if min_keys is None else base_for(here.capacity, min_keys)),
            ("clock", _clock(here), _clock(wanted)),
            ("starts", self.starts, starts or self.starts),
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


def entry_values(revision: int, quota: Sequence[int], changed: int, previous: int) -> list[int]:
    """Return the values of an entry's words; `changed` is of `changed_word`."""
    values = [*quota, changed, previous]
    return [*values, zlib.crc32(np.array([*values, revision], "<u8").data)]


def changed_word(changed_ns: int, counts: str) -> int:
    """Return when a quota came into force and what it did with the counts, as an entry keeps them."""
    return changed_ns | COUNTS.index(counts) << _COUNTS_SHIFT


def bytes_of_slots(page: Bytes, size: int) -> int:
    """Return the bytes of a table before the rings of a sliding log, from its first page and its size."""
    row: Any = page[: _METADATA.itemsize].view(_METADATA)[0]
    return min(size, bytes_for(int(row["max_keys"]) % 2**48, 0)) if bytes(row["magic"]) == MAGIC else PAGE_BYTES


def kind_of(page: Bytes) -> TableKind:
    """Return what the table with this first page can serve."""
    if len(page) < _METADATA.itemsize:
        return TAKEN
    row: Any = page[: _METADATA.itemsize].view(_METADATA)[0]
    sound = bytes(row["magic"]) == MAGIC and row["layout"] == LAYOUT
    return TableKind(int(row["algorithm"]), int(row["period"])) if sound else TAKEN


def _hash_of(quota: StoredQuota) -> int:
    """Return 64 bits, not 0, that identify a quota."""
    mixed = 0
    for number in quota:
        mixed = (mixed ^ number) * 0x9E3779B97F4A7C15 % 2**64
        mixed ^= mixed >> 29
    return mixed or 1


class Mapping(NamedTuple):
    """A table in this process's address space."""

    memory: Bytes
    metadata: TableMetadata
